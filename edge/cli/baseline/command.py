"""``anyecg baseline``: the quiet hour of a wearer."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edge.baseline.choose import Span
from edge.baseline.file import MAX_POSTURES, MAX_SOURCES, baseline_dict, write_baseline
from edge.baseline.fit import fit_baseline
from edge.baseline.marks import checked_name
from edge.baseline.samples import STEP_S
from edge.baseline.words import baseline_text
from edge.cli.baseline.read import Read, read_inputs
from edge.cli.parser import Parser, add_json, write_json
from edge.person import unix_ns
from firmware_bridge.errors import EXIT_OK, UsageError
from firmware_bridge.text import printable

MAX_MONTAGE_CHARS = 200
_FORMS = "2026-01-31T02:00:00Z, or +1:30:00 since the start"


_SINCE = re.compile(r"\+([0-9]{1,4}):([0-5][0-9])(?::([0-5][0-9]))?")


class When(NamedTuple):
    """A time: Unix time, s, or seconds since the start of the first input."""

    seconds: float
    since_start: bool


def when(text: str) -> When:
    """Parse a time of the command line: ISO 8601 with an offset, or ``+H:MM`` or ``+H:MM:SS`` since the start."""
    since = _SINCE.fullmatch(text)
    if since is not None:
        hours, minutes, seconds = (int(part or 0) for part in since.groups())
        return When(3600.0 * hours + 60.0 * minutes + seconds, since_start=True)
    try:
        return When(unix_ns(text) * 1e-9, since_start=False)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not a time such as {_FORMS}") from None


def posture(text: str) -> tuple[str, When, When]:
    """Parse ``NAME=FROM/TO``."""
    name, _, span = text.partition("=")
    start, _, end = span.partition("/")
    if not end:
        raise ArgumentTypeError(f"{text!r} is not NAME=FROM/TO, such as standing=+0:40/+0:45")
    try:
        return checked_name(name), when(start), when(end)
    except UsageError as error:
        raise ArgumentTypeError(str(error)) from None


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg baseline --help``."""
    args = _parser().parse_args(argv)
    if (args.start is None) != (args.end is None):
        raise UsageError("--from and --to belong together", "give both, or neither")
    if args.out.exists() and not args.force:
        raise UsageError(f"{args.out} exists", "add --force to replace it, or name another file with --out")
    if len(args.input) > MAX_SOURCES:
        raise UsageError(f"{len(args.input)} inputs are too many", f"name at most {MAX_SOURCES}")
    if len(args.montage) > MAX_MONTAGE_CHARS:
        raise UsageError("the montage is too long", f"use at most {MAX_MONTAGE_CHARS} characters")
    read = read_inputs(args.input)
    stated = None if args.start is None else _span(read, args.start, args.end, "--from and --to")
    postures = [(name, _span(read, start, end, f"--posture {name}")) for name, start, end in args.posture]
    postures += read.postures
    if len({name for name, _span in postures}) > MAX_POSTURES:
        raise UsageError("there are too many postures", f"name at most {MAX_POSTURES}")
    worn = replace(read.worn, montage=printable(args.montage))
    baseline = fit_baseline(read.rows, worn, stated, postures, None if read.has_clock else read.zero_s)
    write_baseline(args.out, baseline)
    if args.json:
        write_json(baseline_dict(baseline))
    else:
        sys.stdout.write(baseline_text(baseline, str(args.out)))
    for damage in read.damage:
        sys.stderr.write(f"note: {printable(damage)}\n")
    if read.dropped:
        sys.stderr.write(
            f"note: the oldest {read.dropped * STEP_S / 3600:.0f} hours were left out: more than 14 days\n"
        )
    return EXIT_OK


def _parser() -> Parser:
    p = Parser(
        "anyecg baseline",
        "Write the quiet hour of a person, with which 'anyecg run --baseline' compares: QTc, T and R amplitudes, ST.",
    )
    p.add_argument(
        "input", metavar="SESSION|RECORDING", nargs="+", help="session folders or recordings of one person and device"
    )
    p.add_argument(
        "--out",
        metavar="FILE.json",
        type=Path,
        default=Path("baseline.json"),
        help="the baseline (default: baseline.json)",
    )
    p.add_argument(
        "--from", dest="start", metavar="TIME", type=when, help=f"start of the quiet hour: {_FORMS} (default: chosen)"
    )
    p.add_argument("--to", dest="end", metavar="TIME", type=when, help="end of the quiet hour")
    p.add_argument(
        "--posture",
        metavar="NAME=FROM/TO",
        type=posture,
        action="append",
        default=[],
        help="time in a posture or activity, such as standing=+0:40/+0:45; its effect is measured; repeatable, "
        "beside the marks of 'anyecg mark'",
    )
    p.add_argument("--montage", metavar="TEXT", default="", help="where the patch was, such as 'left of the sternum'")
    p.add_argument("--force", action="store_true", help="replace an existing baseline")
    add_json(p)
    return p


def _span(read: Read, start: When, end: When, option: str) -> Span:
    at = []
    for one in (start, end):
        if not one.since_start and not read.has_clock:
            raise UsageError(f"{option}: the recording has no clock", "write a time since its start, such as +1:30:00")
        at.append(one.seconds + (read.zero_s if one.since_start else 0.0))
    if at[1] <= at[0]:
        raise UsageError(f"{option}: the end is not after the start", "exchange them")
    return Span(*at)
