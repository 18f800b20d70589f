"""``anyecg calibrate probability``: fit the probabilities of a bundle on held-out patients."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from calibration.cli.held_out import add_data_options, add_run_options, add_threshold, read_held_out
from convert.stats.method_names import METHODS, Method
from edge.cli.parser import Parser, write_json
from firmware_bridge.errors import EXIT_OK, InputError, UsageError

if TYPE_CHECKING:
    from calibration.validate.records import CalibratedRecord

PROG = "anyecg calibrate probability"


def parser() -> Parser:
    """Return the parser of ``anyecg calibrate probability``."""
    p = Parser(PROG, "Fit probabilities, thresholds and abstention of a bundle on held-out patients.")
    add_data_options(p)
    p.add_argument("--out", type=Path, metavar="BUNDLE2", help="folder of the new bundle; default: replace the bundle")
    p.add_argument("--methods", default=",".join(METHODS), help="methods to choose from; default %(default)s")
    add_threshold(p)
    p.add_argument(
        "--abstain", type=_coverage, metavar="C", help="add a band of abstention with coverage C, such as 0.9"
    )
    add_run_options(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg calibrate probability --help``."""
    args = parser().parse_args(argv)
    from calibration.validate.recalibrate import Wanted, calibrate_heads, rewritten
    from convert.bundle.writer import write_bundle
    from convert.stats.decide import Rule
    from edge.bundle.reader import load_bundle, resolve

    wanted = Wanted(_methods(args.methods), Rule.parse(args.threshold), args.abstain, args.seed)
    if args.out is None and args.bundle == "demo":
        raise UsageError("the bundle inside the package is read-only", "add --out BUNDLE2")
    out = args.out or resolve(args.bundle)
    found = read_held_out(args, out)
    bundle = found.bundle
    made, said = calibrate_heads(bundle, found.entries, found.scores, wanted)
    if not args.json:
        sys.stdout.write(_table(said, [head.key for head in bundle.manifest.outputs]))
    if all("left" in one for one in said.values()):
        raise InputError(f"no output of {args.bundle} could be calibrated on {args.data}", "see the table above")
    write_bundle(out, rewritten(found.folder, bundle, found.data, made, said, found.overlap, found.labels))
    load_bundle(out)
    if args.json:
        write_json({"bundle": str(out), "heads": said})
    else:
        sys.stdout.write(f"{out}: written; the errors in the table are cross-validated by patient\n")
    return EXIT_OK


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
