"""What the commands share that fit a bundle on held-out patients: their options, and the scores of these patients."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from calibration.checks import defaults
from convert.cli.recording_options import add_recording_options, recording_options
from edge.cli.parser import Parser, add_json
from firmware_bridge.errors import InputError, UsageError

if TYPE_CHECKING:
    from calibration.validate.labelled import Labelled
    from calibration.validate.observe import Observed
    from calibration.validate.recalibrate import Scores
    from edge.bundle.reader import Bundle


class HeldOut(NamedTuple):
    """A bundle and its scores of held-out patients.

    Attributes:
        folder: Folder of the bundle.
        bundle: The bundle.
        entries: Heads of its ``calibration.json``, by key.
        data: The labelled recordings.
        overlap: Overlap of their patients with the training patients, in words.
        labels: Which rules made the labels, for the report.
        seen: Results of the engine of the device.
        scores: Scores with labels.
    """

    folder: Path
    bundle: Bundle
    entries: Mapping[str, Mapping[str, Any]]
    data: Labelled
    overlap: str
    labels: Mapping[str, str] | None
    seen: Observed
    scores: Scores


def add_data_options(p: Parser) -> None:
    """Add the bundle and the options that name the recordings and their labels."""
    p.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or 'demo'")
    p.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="data folder: MC-MED layout, or with labels.csv"
    )
    add_recording_options(p)
    p.add_argument("--split", choices=defaults.SPLITS, default="val", help="part of the data; default %(default)s")
    p.add_argument(
        "--label-plan", type=Path, metavar="FILE", help="rules from results to labels; default: those of the bundle"
    )


def add_threshold(p: Parser) -> None:
    """Add the rule for thresholds."""
    p.add_argument(
        "--threshold",
        default="youden",
        metavar="RULE",
        help="rule for the threshold: youden, sensitivity=0.9, ppv=0.5 or npv=0.99",
    )


def add_run_options(p: Parser) -> None:
    """Add the options of the fit, of the engine and of the output."""
    from edge.cli.run import hop

    p.add_argument("--seed", type=int, default=1, help="seed of folds and bootstrap; default %(default)s")
    p.add_argument("--hop", type=hop, default=5.0, metavar="S", help="seconds between windows; default %(default)s")
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="number of processes")
    p.add_argument("--limit", type=int, metavar="N", help="use only the first N recordings")
    p.add_argument("--one-recording-a-patient", action="store_true", help="treat each recording as a separate patient")
    p.add_argument("--quiet", action="store_true", help="show no progress")
    add_json(p)


def opened(name: str) -> tuple[Path, Bundle]:
    """Return the folder of a bundle whose files are about to be rewritten, and the verified bundle.

    Raises:
        BundleError: The bundle is damaged, or there is none.
        UsageError: The bundle is a zip file.
    """
    from edge.bundle.reader import load_bundle, resolve

    bundle, folder = load_bundle(name), resolve(name)
    if folder.is_file():
        raise UsageError(f"{folder} is a zip file", "unpack it first: the command rewrites files in the bundle")
    return folder, bundle


def read_held_out(args: argparse.Namespace, out: Path) -> HeldOut:
    """Run the bundle on the recordings that the options name; notes go to standard error.

    Args:
        args: Parsed options.
        out: Folder of the new bundle, which is checked before the recordings are read.

    Raises:
        InputError: The quality gate accepted no window, or the data cannot be used.
        UsageError: The bundle is a zip file.
    """
    # Imported on use, here and below, because the help of these commands needs none of it.
    from calibration.checks.labels import check_labelled
    from calibration.validate.labelled import heads_of, labels_header, open_labelled
    from calibration.validate.recalibrate import check_overlap, scores_of
    from convert.bundle.writer import check_place
    from convert.labels.travelling_plan import chosen_plan, read_bundle_plan

    folder, bundle = opened(args.bundle)
    check_place(out)
    chosen = chosen_plan(args.label_plan, read_bundle_plan(folder), "bundle", args.data)
    data = open_labelled(
        args.data, args.split, one_recording_a_patient=args.one_recording_a_patient, limit=args.limit,
        options=recording_options(args),
    )  # fmt: skip
    overlap = check_overlap(folder, data)
    if overlap != "none":
        sys.stderr.write(f"note: overlap with the training patients: {overlap}\n")
    for remark in check_labelled(data, heads_of(bundle), chosen.plan, None if args.quiet else sys.stderr):
        sys.stderr.write(f"note: {remark}\n")
    seen = _observed(folder, bundle, data, args)
    scores = scores_of(bundle, data, seen, chosen.plan)
    entries = json.loads((folder / "calibration.json").read_bytes())["heads"]
    return HeldOut(folder, bundle, entries, data, overlap, labels_header(data, chosen), seen, scores)


def _observed(folder: Path, bundle: Bundle, data: Labelled, args: argparse.Namespace) -> Observed:
    from calibration.validate.shards import RunPlan, key_of, run_all

    plan = RunPlan(folder, args.hop, args.jobs, sha256=bundle.sha256)
    with tempfile.TemporaryDirectory(prefix="anyecg-") as work:
        key = key_of(bundle.sha256, data.sha256, args.hop)
        rows = list(enumerate(data.recordings))
        seen = run_all(plan, rows, Path(work), key, None if args.quiet else sys.stderr)
    if not len(seen.recording):
        fix = str(seen.broken_why[0]) if len(seen.broken_why) else "use recordings with 20 clean seconds of ECG"
        raise InputError(f"the quality gate accepted no window of {args.data}", fix)
    return seen
