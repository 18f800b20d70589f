"""``anyecg calibrate fuse``: let the outputs of a bundle also read the waves of the ECG, where this is better."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from calibration.checks import defaults
from calibration.checks.labels import check_labelled
from calibration.cli.probability import observed
from calibration.fusion.run import Wanted, fuse_heads, table, wave_means
from calibration.validate.labelled import heads_of, labels_header, open_labelled
from calibration.validate.recalibrate import FUSION, check_overlap, rewritten, scores_of
from convert.bundle.writer import check_place, write_bundle
from convert.cli.recording_options import add_recording_options, recording_options
from convert.labels.travelling_plan import chosen_plan, read_bundle_plan
from convert.stats.decide import Rule
from edge.bundle.reader import load_bundle, resolve
from edge.cli.parser import Parser, add_json, write_json
from edge.cli.run import hop
from firmware_bridge.errors import EXIT_OK, InputError, UsageError

PROG = "anyecg calibrate fuse"


def parser() -> Parser:
    """Return the parser of ``anyecg calibrate fuse``."""
    p = Parser(PROG, "Fuse the outputs of a bundle with the waves of the ECG, on held-out patients.")
    p.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or 'demo'")
    p.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="data folder: MC-MED layout, or with labels.csv"
    )
    add_recording_options(p)
    p.add_argument("--split", choices=defaults.SPLITS, default="val", help="part of the data; default %(default)s")
    p.add_argument("--out", type=Path, required=True, metavar="BUNDLE2", help="folder of the new bundle")
    p.add_argument(
        "--label-plan", type=Path, metavar="FILE", help="rules from results to labels; default: those of the bundle"
    )
    p.add_argument(
        "--threshold",
        default="youden",
        metavar="RULE",
        help="rule for the threshold: youden, sensitivity=0.9, ppv=0.5 or npv=0.99",
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
    """Run the command; see ``anyecg calibrate fuse --help``."""
    args = parser().parse_args(argv)
    wanted = Wanted(Rule.parse(args.threshold), args.seed)
    folder = resolve(args.bundle)
    if folder.is_file():
        raise UsageError(f"{folder} is a zip file", "unpack it first: the command rewrites files in the bundle")
    bundle = load_bundle(args.bundle)
    check_place(args.out)
    chosen = chosen_plan(args.label_plan, read_bundle_plan(folder), "bundle", args.data)
    data = open_labelled(
        args.data, args.split, one_recording_a_patient=args.one_recording_a_patient, limit=args.limit,
        options=recording_options(args),
    )  # fmt: skip
    overlap = check_overlap(folder, data)
    notes = [] if overlap == "none" else [f"overlap with the training patients: {overlap}"]
    notes += check_labelled(data, heads_of(bundle), None if args.quiet else sys.stderr)
    sys.stderr.write("".join(f"note: {note}\n" for note in notes))
    seen = observed(folder, bundle, data, args)
    means = wave_means(seen, bundle.manifest.aggregation_minutes * 60.0)
    entries = json.loads((folder / "calibration.json").read_bytes())["heads"]
    made, said = fuse_heads(bundle, entries, scores_of(bundle, data, seen, chosen.plan), means, wanted)
    if not args.json:
        sys.stdout.write(table(said, [head.key for head in bundle.manifest.outputs]))
    if all("left" in one for one in said.values()):
        raise InputError(
            f"no output of {args.bundle} is clearly better with waves on {args.data}", "keep the bundle as it is"
        )
    write_bundle(
        args.out, rewritten(folder, bundle, data, made, said, overlap, labels_header(data, chosen), how=FUSION)
    )
    load_bundle(args.out)
    if args.json:
        write_json({"bundle": str(args.out), "heads": said})
    else:
        sys.stdout.write(f"{args.out}: written; AUROC and intervals are cross-fitted by patient\n")
    return EXIT_OK
