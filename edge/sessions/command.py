"""``anyecg sessions``: a table of the sessions in folders."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge.cli.parser import Parser, add_json, write_json
from edge.sessions.listing import DEPTH, SessionFacts, list_sessions
from edge.sessions.words import length_text, size_text
from firmware_bridge.errors import EXIT_OK
from firmware_bridge.text import printable

_HEAD = ("SESSION", "STARTED (UTC)", "DEVICE", "LENGTH", "ESTIMATES", "LOST", "SIZE", "STATE")


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg sessions --help``."""
    p = Parser("anyecg sessions", "List the sessions that 'anyecg run --session-dir' wrote, oldest first.")
    p.add_argument(
        "folder",
        metavar="FOLDER",
        type=Path,
        nargs="*",
        default=[Path()],
        help=f"session folder, or a folder that holds some, up to {DEPTH} levels below (default: this folder)",
    )
    add_json(p)
    args = p.parse_args(argv)
    found = list_sessions(args.folder)
    if args.json:
        write_json([facts.as_dict() for facts in found])
        return EXIT_OK
    if not found:
        where = ", ".join(str(folder) for folder in args.folder)
        sys.stderr.write(f"note: no session in {where}; 'anyecg run --session-dir DIR' writes one\n")
        return EXIT_OK
    sys.stdout.write(_table([_HEAD, *(_row(facts) for facts in found)]))
    for facts in found:
        if facts.problem:
            sys.stderr.write(f"note: {printable(facts.problem)}\n")
    return EXIT_OK


def _row(facts: SessionFacts) -> tuple[str, ...]:
    if facts.state == "damaged":
        return (printable(facts.path), *("-",) * (len(_HEAD) - 2), facts.state)
    runs = "" if facts.runs == 1 else f", {facts.runs} runs"
    return (
        printable(facts.path),
        "-" if facts.started is None else facts.started[:16].replace("T", " "),
        printable(facts.device),
        length_text(facts.length_s),
        f"{facts.estimates} of {facts.hops}",
        str(facts.lost_samples),
        size_text(facts.size_bytes),
        facts.state + runs,
    )


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{n}}" for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)
