"""``anyecg calibrate probability``: fit the probabilities of a bundle on held-out patients."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from calibration.checks import defaults
from calibration.checks.labels import check_labelled
from calibration.validate.labelled import Labelled, heads_of, labels_header, open_labelled
from calibration.validate.observe import Observed
from calibration.validate.recalibrate import Wanted, calibrate_heads, check_overlap, rewritten, scores_of
from calibration.validate.records import CalibratedRecord
from calibration.validate.shards import RunPlan, key_of, run_all
from convert.bundle.writer import check_place, write_bundle
from convert.cli.recording_options import add_recording_options, recording_options
from convert.labels.travelling_plan import chosen_plan, read_bundle_plan
from convert.stats.decide import Rule
from convert.stats.methods import METHODS, Method
from edge.bundle.reader import Bundle, load_bundle, resolve
from edge.cli.parser import Parser, add_json, write_json
from edge.cli.run import hop
from firmware_bridge.errors import EXIT_OK, InputError, UsageError

PROG = "anyecg calibrate probability"


def parser() -> Parser:
    """Return the parser of ``anyecg calibrate probability``."""
    p = Parser(PROG, "Fit probabilities, thresholds and abstention of a bundle on held-out patients.")
    p.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or 'demo'")
    p.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="data folder: MC-MED layout, or with labels.csv"
    )
    add_recording_options(p)
    p.add_argument("--split", choices=defaults.SPLITS, default="val", help="part of the data; default %(default)s")
    p.add_argument("--out", type=Path, metavar="BUNDLE2", help="folder of the new bundle; default: replace the bundle")
    p.add_argument(
        "--label-plan", type=Path, metavar="FILE", help="rules from results to labels; default: those of the bundle"
    )
    p.add_argument("--methods", default=",".join(METHODS), help="methods to choose from; default %(default)s")
    p.add_argument(
        "--threshold",
        default="youden",
        metavar="RULE",
        help="rule for the threshold: youden, sensitivity=0.9, ppv=0.5 or npv=0.99",
    )
    p.add_argument(
        "--abstain", type=_coverage, metavar="C", help="add a band of abstention with coverage C, such as 0.9"
    )
    p.add_argument("--seed", type=int, default=1, help="seed of folds and bootstrap; default %(default)s")
    p.add_argument("--hop", type=hop, default=5.0, metavar="S", help="seconds between windows; default %(default)s")
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="number of processes")
    p.add_argument("--limit", type=int, metavar="N", help="use only the first N recordings")
    p.add_argument("--one-recording-a-patient", action="store_true", help="treat each recording as a separate patient")
    p.add_argument("--quiet", action="store_true", help="show no progress")
    add_json(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg calibrate probability --help``."""
    args = parser().parse_args(argv)
    wanted = Wanted(_methods(args.methods), Rule.parse(args.threshold), args.abstain, args.seed)
    folder = resolve(args.bundle)
    if args.out is None and args.bundle == "demo":
        raise UsageError("the bundle inside the package is read-only", "add --out BUNDLE2")
    if folder.is_file():
        raise UsageError(f"{folder} is a zip file", "unpack it first: the command rewrites files in the bundle")
    out = args.out or folder
    bundle = load_bundle(args.bundle)
    check_place(out)
    chosen = chosen_plan(args.label_plan, read_bundle_plan(folder), "bundle", args.data)
    data = open_labelled(
        args.data, args.split, one_recording_a_patient=args.one_recording_a_patient, limit=args.limit,
        options=recording_options(args),
    )  # fmt: skip
    overlap = check_overlap(folder, data)
    if overlap != "none":
        sys.stderr.write(f"note: overlap with the training patients: {overlap}\n")
    for remark in check_labelled(data, heads_of(bundle), None if args.quiet else sys.stderr):
        sys.stderr.write(f"note: {remark}\n")
    seen = observed(folder, bundle, data, args)
    scores = scores_of(bundle, data, seen, chosen.plan)
    entries = json.loads((folder / "calibration.json").read_bytes())["heads"]
    made, said = calibrate_heads(bundle, entries, scores, wanted)
    if not args.json:
        sys.stdout.write(_table(said, [head.key for head in bundle.manifest.outputs]))
    if all("left" in one for one in said.values()):
        raise InputError(f"no output of {args.bundle} could be calibrated on {args.data}", "see the table above")
    write_bundle(out, rewritten(folder, bundle, data, made, said, overlap, labels_header(data, chosen)))
    load_bundle(out)
    if args.json:
        write_json({"bundle": str(out), "heads": said})
    else:
        sys.stdout.write(f"{out}: written; the errors in the table are cross-validated by patient\n")
    return EXIT_OK


def observed(folder: Path, bundle: Bundle, data: Labelled, args: argparse.Namespace) -> Observed:
    """Run the engine of the device on the recordings, as the options of a command say.

    Raises:
        InputError: The quality gate accepted no window.
    """
    plan = RunPlan(folder, args.hop, args.jobs, sha256=bundle.sha256)
    with tempfile.TemporaryDirectory(prefix="anyecg-") as work:
        key = key_of(bundle.sha256, data.sha256, args.hop)
        rows = list(enumerate(data.recordings))
        seen = run_all(plan, rows, Path(work), key, None if args.quiet else sys.stderr)
    if not len(seen.recording):
        fix = str(seen.broken_why[0]) if len(seen.broken_why) else "use recordings with 20 clean seconds of ECG"
        raise InputError(f"the quality gate accepted no window of {args.data}", fix)
    return seen


def _table(said: Mapping[str, CalibratedRecord], keys: Sequence[str]) -> str:
    head = f"{'output':<20} {'patients':>8} {'positive':>8}  {'method':<15} {'ECE before':>10} {'after':>6}  threshold"
    lines = [head]
    for key in keys:
        one = said[key]
        start = f"{key:<20} {one['patients']:>8} {one.get('positives', '-'):>8}  "
        if "left" in one:
            lines.append(f"{start}unchanged: {one['left']}")
        elif "mae" in one:
            lines.append(f"{start}{one['method']:<15} MAE {one['mae_before']} -> {one['mae']}")
        else:
            cut = "target not reachable" if one["threshold"] is None else f"{one['threshold']:.4f}"
            share = one.get("undecided")
            undecided = "" if share is None else f", {100 * share:.0f} % undecided"
            errors = f"{one['calibration_error_before']:>10.4f} {one['calibration_error']:>6.4f}"
            lines.append(f"{start}{one['method']:<15} {errors}  {cut}{undecided}")
    return "\n".join(lines) + "\n"


def _methods(text: str) -> tuple[Method, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    strange = [name for name in names if name not in METHODS]
    if strange or not names:
        raise UsageError(
            f"--methods {text!r} names an unknown method or none", f"use {', '.join(METHODS)}, separated by commas"
        )
    return tuple(cast("Method", name) for name in names)


def _coverage(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.5 < value < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a coverage between 0.5 and 1")
    return value
