"""``anyecg mark``: note the posture of the wearer in a session."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from edge.baseline.marks import END, FILE, add_mark, checked_name
from edge.cli.parser import Parser
from edge.person import unix_ns
from edge.records import utc_text
from edge.sessions.folder import SessionFolder
from firmware_bridge.errors import EXIT_OK, UsageError


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg mark --help``."""
    p = Parser(
        "anyecg mark",
        "Note the posture of the wearer in a session, also in a running one; 'anyecg baseline' measures its effect.",
    )
    p.add_argument("session", metavar="SESSION", type=Path, help="folder of 'anyecg run --session-dir'")
    p.add_argument(
        "posture", metavar="POSTURE", help=f"lying, sitting, standing, walking, or any word; '{END}' ends the last one"
    )
    p.add_argument("--at", metavar="TIME", help="time of the change, such as 2026-01-31T08:30:00Z (default: now)")
    args = p.parse_args(argv)
    name = checked_name(args.posture)
    session = SessionFolder(args.session)
    try:
        at_ns = time.time_ns() if args.at is None else unix_ns(args.at)
    except (ValueError, OverflowError):
        raise UsageError(f"--at {args.at[:60]!r} is not a time", "write 2026-01-31T08:30:00Z") from None
    add_mark(session.path, name, at_ns * 1e-9)
    sys.stdout.write(f"{session.path / FILE}: {name} from {utc_text(at_ns)}\n")
    return EXIT_OK
