"""``anyecg bundle``: describe, verify, compare, sign, install ... a bundle; most have their own files."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from edge.bundle.reader import Bundle, load_bundle
from edge.bundle.schema import OutputHead
from edge.bundle.trust import check_signature, signature_text
from edge.cli.extras import needs_extra
from edge.cli.parser import Parser, add_json, write_json
from edge.first_load import prove
from edge.model import BackendName, load_model
from edge.records import NOTICE
from edge.self_test import SELF_TEST_LSB, SelfTest, self_test
from edge.trial import try_chain
from firmware_bridge.errors import EXIT_OK

FURTHER = {
    "diff": ("edge.cli.bundle.diff:main", "", "show what changed between two bundles"),
    "install": ("edge.cli.bundle.install:main", "", "make a bundle the current one of a folder, or go back"),
    "keygen": ("edge.cli.bundle.sign:keygen", "", "make a pair of keys to sign bundles"),
    "make": ("convert.cli.bundle_make:main", "convert", "make a bundle from a LiteRT model"),
    "pack": ("edge.cli.bundle.install:pack", "", "write a bundle as one zip file"),
    "sign": ("edge.cli.bundle.sign:sign", "", "sign a bundle"),
}
"""``module:function``, extra and summary of the actions with options of their own, by name."""


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg bundle --help``."""
    if argv and argv[0] in FURTHER:
        return _further(argv[0], argv[1:])
    more = "; ".join(f"'anyecg bundle {name}': {summary}" for name, (_, _, summary) in FURTHER.items())
    parser = Parser("anyecg bundle", f"Show or verify a bundle. {more}.")
    parser.add_argument("action", choices=["show", "verify", *FURTHER])
    parser.add_argument("bundle", metavar="BUNDLE", help="folder, zip, or 'demo'")
    parser.add_argument("--backend", default="auto", help="interpreter for the self-test: auto, litert, tflm ...")
    parser.add_argument("--trusted", type=Path, metavar="KEYS", help="file of public keys; refuse all other bundles")
    add_json(parser)
    args = parser.parse_args(argv)
    bundle = load_bundle(args.bundle)
    signature = check_signature(bundle, args.trusted) if args.action == "verify" or args.trusted else ""
    if args.action == "show":
        if args.json:
            write_json(facts(bundle))
        else:
            sys.stdout.write(describe(bundle))
        return EXIT_OK
    _verify(bundle, args.backend, signature, as_json=args.json)
    return EXIT_OK


def _verify(bundle: Bundle, backend: BackendName, signature: str, *, as_json: bool) -> None:
    prove(bundle, backend)
    model = load_model(bundle, backend)
    tested = self_test(bundle, model)
    text = (
        f"{bundle.path}: {len(bundle.manifest.files)} files match the manifest, sha256 {bundle.sha256}\n"
        f"self-test on {model.backend}: {_differences(tested)}: ok\n"
    )
    if not as_json:
        sys.stdout.write(text)
    trial = try_chain(bundle, model)
    if as_json:
        lsb = tested.differences
        found = {"backend": model.backend, "windows": len(lsb), "outputs": lsb.size, "max_difference_lsb": tested.worst}
        write_json(
            {
                "bundle": str(bundle.path),
                "sha256": bundle.sha256,
                "files": len(bundle.manifest.files),
                "signature": signature,
                "self_test": found,
                "signal_chain": {"estimates": trial.estimates, "heart_rate_bpm": round(trial.heart_rate_bpm, 1)},
            }
        )
        return
    rate = f"heart rate {trial.heart_rate_bpm:.0f} bpm"
    sys.stdout.write(f"signal chain: {trial.estimates} estimates from a simulated ECG, {rate}: ok\n")
    sys.stdout.write(f"signature: {signature}\n")


def _further(action: str, argv: Sequence[str]) -> int:
    target, extra, _ = FURTHER[action]
    module, _, function = target.partition(":")
    with needs_extra(f"'anyecg bundle {action}'", extra):
        run = cast("Callable[[Sequence[str]], int]", getattr(importlib.import_module(module), function))
        return run(argv)


def _differences(tested: SelfTest) -> str:
    lsb = tested.differences
    what = f"{len(lsb)} golden windows"
    if not lsb.any():
        return f"{what}, all {lsb.size} outputs equal"
    found = f"{what}, {np.count_nonzero(lsb)} of {lsb.size} outputs differ, by at most {lsb.max()} LSB"
    allowed = tested.allowed.max
    return found if allowed == SELF_TEST_LSB else f"{found} ({allowed:.0f} allowed)"


def facts(bundle: Bundle) -> dict[str, object]:
    """Return the description of the bundle for JSON."""
    m, f = bundle.manifest, bundle.manifest.front_end
    outputs = [
        {
            "key": head.key,
            "lab": head.lab,
            "loinc": head.loinc,
            "unit": head.unit,
            "kind": head.kind,
            "direction": head.direction,
            "threshold": bundle.calibration[head.key].shown_threshold,
            "evidence": dataclasses.asdict(head.evidence),
            **({} if head.rhythms is None else {"rhythms": list(head.rhythms)}),
        }
        for head in m.outputs
    ]
    return {
        "name": m.name,
        "version": m.version,
        "tier": m.tier,
        "licence": m.licence,
        "sha256": bundle.sha256,
        "signature": signature_text(bundle),
        "model_bytes": len(bundle.model),
        "form": m.form,
        "front_end": {"name": f.name, "fs_hz": f.fs_hz, "window_samples": f.window_samples,
                      "group_delay_s": f.group_delay_s},
        "aggregation_minutes": m.aggregation_minutes,
        "budgets": dict(m.budgets),
        "outputs": outputs,
        "notice": NOTICE,
    }  # fmt: skip


def describe(bundle: Bundle) -> str:
    """Return a description of the bundle and a table of its outputs."""
    m = bundle.manifest
    f = m.front_end
    lines = [
        f"{m.name} {m.version}  ({m.tier} tier, {m.licence})",
        f"sha256      {bundle.sha256}",
        f"signature   {signature_text(bundle)}",
        f"model       {len(bundle.model)} bytes, form {m.form}, {len(m.outputs)} outputs",
        f"input       {list(m.input.shape)} {m.input.dtype}",
        f"front end   {f.name}: {f.window_samples} samples at {f.fs_hz:g} Hz, group delay {f.group_delay_s:g} s",
        f"aggregation {m.aggregation_minutes:g} min, weighting: {m.weighting}",
        "budgets     " + (", ".join(f"{k} {v:g}" for k, v in sorted(m.budgets.items())) or "none"),
        "",
        f"{'output':<18} {'LOINC':<9} {'unit':<8} {'AUROC (95 % CI)':<21} {'n':>6}  evidence  threshold",
    ]
    lines += [_row(head, bundle) for head in m.outputs]
    lines += rhythm_lines(m.outputs)
    return "\n".join([*lines, "", NOTICE, ""])


def rhythm_lines(heads: Sequence[OutputHead]) -> list[str]:
    """Return which outputs abstain in other rhythms than theirs; no line if none does."""
    limited: dict[str, list[str]] = {}
    for head in heads:
        if head.rhythms is not None:
            limited.setdefault(", ".join(head.rhythms), []).append(head.key)
    if not limited:
        return []
    return ["", *(f"only in {rhythms}: {', '.join(keys)}" for rhythms, keys in limited.items())]


def _row(head: OutputHead, bundle: Bundle) -> str:
    e = head.evidence
    measured = "-" if e.auroc is None else f"{e.auroc:.3f}"
    if e.auroc is not None and e.ci is not None:
        measured += f" ({e.ci[0]:.3f}-{e.ci[1]:.3f})"
    if e.auroc is None and e.mae is not None:
        measured = f"MAE {e.mae:.2f} {head.unit}"
    threshold = bundle.calibration[head.key].shown_threshold
    limit = "-" if threshold is None else f"{threshold:.3f}"
    return f"{head.key:<18} {head.loinc or '-':<9} {head.unit:<8} {measured:<21} {e.n or '-':>6}  {e.tier:<9} {limit}"
