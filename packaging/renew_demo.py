"""Puts a newly trained demonstration bundle into the package, and renews what is made from it.

python packaging/renew_demo.py my-demo               # a bundle of `anyecg train-demo` with the recipe of the package
python packaging/renew_demo.py my-demo --only list   # only list what must be looked at by hand

The stages are ``check`` (the bundle is whole, of the current recipe, and its C package is what this code makes of it),
``bundle`` (edge/bundles/demo, with model card, parity and ``micro/``), ``report`` (docs/validation), ``pictures``
(docs/img; look at each), ``notebooks`` (examples/notebooks) and ``list`` (files that quote the old bundle). Rerun a
stage with ``--only``; a stage that fails leaves the others as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

DEMO = ROOT / "edge" / "bundles" / "demo"
STAGES = ("check", "bundle", "report", "pictures", "notebooks", "list")

MEASURED = {
    "docs/demo-bundle.md": "python benchmarks/bench_real_agreement.py, and the output of train-demo",
    "docs/calibrate.md": "python benchmarks/person_anchor.py, pytest -m slow tests/unit/calibration/cli",
    "docs/explain.md": "python benchmarks/bench_reasons.py",
    "docs/glossary.md": "the calibration error of train-demo",
    "docs/micro.md": "anyecg micro-package demo, anyecg lint demo",
    "docs/recordings.md": "python benchmarks/bench_padding.py",
    "docs/sessions.md": "anyecg run with the demonstration bundle",
    "docs/waves.md": "python benchmarks/bench_fusion.py",
}
"""Pages with figures of the demonstration bundle that a command gives."""

ARCHITECTURE = ("model_bytes", "arena_bytes", "parameters")
"""Figures of the report that follow from the shape of the network. They change with the preset only."""

TEXT = {".md", ".py", ".toml", ".yml", ".c", ".h", ".sh", ".ipynb", ".svg", ".json", ".html", ".txt"}
FIGURE = re.compile(r"0\.\d{3}")
"""A short figure, which is looked for in pages only: in code it is almost always another one."""

MADE = ("edge/bundles/demo/", "docs/validation/demo.", "docs/img/live.svg", "examples/notebooks/")
"""Files that the stages write."""


class RenewalError(Exception):
    """The bundle cannot be put into the package; the text says why."""


def check(bundle: Path) -> None:
    """Check that a bundle is whole, that it is the one of the package's recipe, and that its C package is current.

    Raises:
        RenewalError: It is not.
        BundleError: It is damaged.
    """
    from convert.demo.run import IMITATED_SHA256, NAME, VERSION
    from edge.bundle.reader import load_bundle
    from edge.model import load_model
    from edge.self_test import self_test

    opened = load_bundle(bundle)
    found = f"{opened.manifest.name} {opened.manifest.version}"
    if found != f"{NAME} {VERSION}":
        raise RenewalError(f"{bundle} is {found}, and the package has {NAME} {VERSION}")
    entry = _report(bundle).get("imitated") or {}
    if entry.get("sha256") != IMITATED_SHA256:
        raise RenewalError(f"{bundle} was made from other recordings than those of the recipe")
    if not entry["source"]:
        raise RenewalError(f"{bundle} does not name the source of its recordings; rerun with --imitate-source")
    if self_test(opened, load_model(opened, "litert-reference")).worst != 0:
        raise RenewalError(f"{bundle} fails its self-test")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "micro"
        anyecg("micro-package", str(bundle), "--runtime", "c99", "--out", str(made))
        for path in sorted(made.glob("*.c")):
            shipped = bundle / "micro" / path.name
            if not shipped.is_file() or path.read_bytes() != shipped.read_bytes():
                raise RenewalError(f"{shipped} is that of another version; rerun train-demo")


def put(bundle: Path, demo: Path) -> None:
    """Replace the bundle of the package; the old one stays until the new one is complete."""
    new, old = demo.with_name(f"{demo.name}.new"), demo.with_name(f"{demo.name}.old")
    for rest in (new, old):
        shutil.rmtree(rest, ignore_errors=True)
    shutil.copytree(bundle, new)
    demo.rename(old)
    new.rename(demo)
    shutil.rmtree(old)


def anyecg(*args: str) -> None:
    """Run a command of this checkout.

    Raises:
        RenewalError: It fails.
    """
    _run([sys.executable, "-c", "import sys; from edge.cli.main import main; sys.exit(main())", *args], ROOT)


def report() -> None:
    """Write docs/validation with its own script, whose ``anyecg`` is that of this checkout."""
    with tempfile.TemporaryDirectory() as folder:
        command = Path(folder) / "anyecg"
        code = "import sys; from edge.cli.main import main; sys.exit(main())"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n', encoding="utf-8")
        command.chmod(0o755)
        _run(["sh", str(ROOT / "docs" / "validation" / "make.sh")], ROOT, folder)


def _run(command: list[str], folder: Path, path: str = "") -> None:
    places = os.pathsep.join(p for p in (path, os.environ.get("PATH", "")) if p)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": places}
    done = subprocess.run(command, cwd=folder, env=environment, check=False)
    if done.returncode:
        raise RenewalError(f"{' '.join(command[-6:])} ends with {done.returncode}")


def _report(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "validation" / "report.json").read_text(encoding="utf-8"))
    return found


def quoted(bundle: Path) -> dict[str, str]:
    """Return what texts may quote of a bundle, each with what it is: identity, hashes and figures."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    found = _report(bundle)
    out = {f"{manifest['name']} {manifest['version']}": "name and version", f'"{manifest["version"]}"': "version"}
    for name, entry in manifest["files"].items():
        digest = entry if isinstance(entry, str) else entry["sha256"]
        out[digest[:12]] = f"SHA-256 of {name}"
    out.update({str(found["size"][name]): name for name in ARCHITECTURE})
    for name, value in found["summary"].items():
        if isinstance(value, float):
            out[f"{value:.4f}"] = out[f"{value:.3f}"] = name
    out.pop(f"{found['summary']['worst_head_lost_by_int8']:.3f}", None)
    for key, head in found["heads"].items():
        for name in ("auroc_int8", "auroc_teacher"):
            if isinstance(head.get(name), float):
                out[f"{head[name]:.3f}"] = f"{name} of {key}"
    heads = json.loads((bundle / "calibration.json").read_text(encoding="utf-8"))["heads"]
    for key, entry in heads.items():
        if entry.get("threshold") is not None:
            out[f"threshold {round(100 * entry['threshold'])} %"] = f"threshold of {key}"
    return out


def mentions(tokens: dict[str, str], root: Path) -> Iterator[str]:
    """Yield each line of a tracked text file that has one of the tokens and is about the demonstration bundle."""
    git = shutil.which("git") or "git"
    listed = subprocess.run([git, "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(t)}(?![\w])" for t in sorted(tokens, key=len, reverse=True)))
    for name in listed.splitlines():
        path = root / name
        if name.startswith(MADE) or path.suffix not in TEXT or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if "demo" not in text:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for token in dict.fromkeys(pattern.findall(line)):
                if FIGURE.fullmatch(token) and path.suffix != ".md":
                    continue
                yield f"{name}:{number}: {token} ({tokens[token]})"


def main(argv: list[str] | None = None) -> int:
    """Run the stages; the exit code is 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="the trained bundle")
    parser.add_argument("--only", choices=STAGES, action="append", help="run only this stage; may be repeated")
    args = parser.parse_args(argv)
    stages = args.only or STAGES
    bundle = args.bundle.resolve()
    tokens = quoted(DEMO)
    from firmware_bridge.errors import AnyEcgError

    try:
        if "check" in stages or "bundle" in stages:
            check(bundle)
        if "bundle" in stages:
            put(bundle, DEMO)
        if "report" in stages:
            report()
        if "pictures" in stages:
            _run([sys.executable, str(ROOT / "packaging" / "pictures.py")], ROOT)
        if "notebooks" in stages:
            _run([sys.executable, str(ROOT / "packaging" / "notebooks.py")], ROOT)
    except (RenewalError, AnyEcgError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if "list" in stages:
        sys.stdout.write("Look at these lines: they have a figure of the bundle that was in the package.\n")
        sys.stdout.writelines(f"  {line}\n" for line in mentions(tokens, ROOT))
        sys.stdout.write("Measure these pages again:\n")
        sys.stdout.writelines(f"  {page}: {command}\n" for page, command in MEASURED.items())
    return 0


if __name__ == "__main__":
    sys.exit(main())
