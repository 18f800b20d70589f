"""``anyecg simulate``: write a simulated cohort in the MC-MED layout."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from convert.simulate import NOTICE
from convert.simulate_write import CohortPlan, write_cohort

_EVERY_S = 1.0
"""Progress is shown this often at most."""


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: Arguments after ``simulate``.

    Returns:
        Exit code 0.

    Raises:
        AnyEcgError: With its exit code, for the caller to print as one line.
    """
    args = _parser().parse_args(argv)
    plan = CohortPlan(args.patients, args.seed, args.seconds)
    out = Path(args.out)
    progress = None if args.quiet else _Progress()
    summary = write_cohort(plan, out, progress)
    sys.stdout.write(
        f"{out}: {summary.patients} simulated patients, {summary.visits} visits, {summary.recordings} recordings "
        f"({summary.signal_s / 3600.0:.1f} h of lead II at 500 Hz), {summary.lab_rows} laboratory rows\n{NOTICE}\n"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anyecg simulate",
        description="Write simulated patients (labs and one-lead ECG) in the MC-MED on-disk layout.",
        epilog=NOTICE,
    )
    parser.add_argument("--patients", type=int, required=True, metavar="N", help="how many patients")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the same seed gives the same bytes (default 0)"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write; must be empty or not exist")
    parser.add_argument("--seconds", type=float, default=120.0, metavar="T", help="ECG per visit (default 120)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


class _Progress:
    """One line on stderr: patients, rate, time left. Redrawn on a terminal, every tenth of the way elsewhere."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._shown = self._begin
        self._tenth = 0
        self._tty = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        tenth = 10 * done // total
        due = tenth > self._tenth if not self._tty else now - self._shown >= _EVERY_S or done == total
        if not due:
            return
        self._shown, self._tenth = now, tenth
        rate = done / max(now - self._begin, 1e-6)
        text = f"{done}/{total} patients, {rate:.1f} a second, {(total - done) / rate:.0f} s left"
        end = "\n" if not self._tty or done == total else ""
        sys.stderr.write(f"\r\x1b[K{text}{end}" if self._tty else f"{text}\n")
        sys.stderr.flush()
