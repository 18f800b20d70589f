"""``anyecg simulate``: write a simulated cohort in the MC-MED layout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from convert.compute.progress import Progress
from convert.simulate.mimic import MimicPlan, write_mimic
from convert.simulate.patient import NOTICE
from convert.simulate.write import CohortPlan, write_cohort
from firmware_bridge.cliargs import OneLineParser
from firmware_bridge.errors import UsageError

SECONDS = 120.0
TEST_SHARE = 0.1


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: Arguments after ``simulate``.

    Returns:
        Exit code 0.

    Raises:
        AnyEcgError: The command failed; the message says what to do.
    """
    args = _parser().parse_args(argv)
    if args.layout == "mimic-iv":
        return _mimic(args)
    if args.ecgs is not None or args.full:
        raise UsageError("--ecgs and --full are for --layout mimic-iv only", "leave them out")
    plan = CohortPlan(args.patients, args.seed, args.seconds, args.dirt, args.test_share, args.visits)
    out = Path(args.out)
    progress = Progress("simulate", plan.patients, "patients", None if args.quiet else sys.stderr)
    summary = write_cohort(plan, out, progress.step)
    sys.stdout.write(
        f"{out}: {summary.patients} simulated patients, {summary.visits} visits, {summary.with_ecg} "
        f"with an ECG in {summary.recordings} recordings "
        f"({summary.signal_s / 3600.0:.1f} h of lead II at 500 Hz), {summary.lab_rows} laboratory rows\n{NOTICE}\n"
    )
    return 0


def _mimic(args: argparse.Namespace) -> int:
    """Write simulated patients in the layout of MIMIC-IV and its ECGs."""
    if args.seconds != SECONDS or args.test_share != TEST_SHARE or args.visits is not None:
        raise UsageError("--seconds, --test-share and --visits are for the layout of MC-MED", "leave them out")
    default = MimicPlan()
    ecgs = default.ecgs * args.patients // default.patients if args.ecgs is None else args.ecgs
    plan = MimicPlan(args.patients, args.seed, max(ecgs, 1), full=args.full, oddities=args.dirt)
    write_mimic(plan, Path(args.out))
    sys.stdout.write(f"{args.out}: {plan.patients} simulated patients, {plan.ecgs} ECGs of 12 leads\n{NOTICE}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        "anyecg simulate", "Write simulated patients (labs and ECG) in the layout of MC-MED or MIMIC-IV.", NOTICE
    )
    parser.add_argument("--layout", choices=("mcmed", "mimic-iv"), default="mcmed", help="default %(default)s")
    parser.add_argument("--patients", type=int, required=True, metavar="N", help="number of patients")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the same seed gives the same bytes (default 0)"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder; must be new or empty")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="T", help="length of the ECG of a visit (default 120)"
    )
    parser.add_argument("--dirt", action="store_true", help="plant faults of real data, and count them in DIRT.json")
    parser.add_argument(
        "--test-share",
        type=float,
        default=TEST_SHARE,
        metavar="S",
        help="share of the patients in the part test (default 0.1)",
    )
    parser.add_argument(
        "--visits",
        type=float,
        metavar="V",
        help="mean number of visits of a patient, 1 to 4; MC-MED has 1.68 (default: 12 %% of the patients have two)",
    )
    parser.add_argument("--ecgs", type=int, metavar="N", help="ECGs in the MIMIC-IV layout")
    parser.add_argument("--full", action="store_true", help="folders as in the full MIMIC-IV-ECG, not as in its demo")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser
