"""``anyecg estimates``: the estimates of a file or session as JSON Lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge.cli.parser import Parser
from edge.store.reader import EstimateReader
from firmware_bridge.errors import EXIT_OK, InputError


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg estimates --help``."""
    p = Parser(
        "anyecg estimates", "Write the estimates of a session or file to standard output, as one line of JSON each."
    )
    p.add_argument(
        "path",
        metavar="FILE|FOLDER",
        type=Path,
        nargs="+",
        help="folder of 'anyecg run --session-dir', a file of it, or a file of 'anyecg run --out'",
    )
    args = p.parse_args(argv)
    broken = []
    for path in args.path:
        reader = EstimateReader(path)
        for line in reader.lines():
            sys.stdout.write(f"{line}\n")
        if reader.damage:
            sys.stderr.write(f"note: {path}: {reader.damage}\n")
        if reader.lost_lines or reader.damaged_bytes:
            broken.append(str(path))
    sys.stdout.flush()
    if broken:
        raise InputError(f"estimates are missing in {', '.join(broken)}", "all that could be read was written")
    return EXIT_OK
