"""``anyecg report``: a session as one page."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge.baseline.file import load_baseline
from edge.cli.parser import Parser
from edge.process.files import output_error, write_atomically
from edge.sessions.ecg_view import view_ecg
from edge.sessions.folder import SessionFolder
from edge.sessions.page import session_page
from edge.sessions.trends import Trends
from edge.sessions.words import size_text
from firmware_bridge.errors import EXIT_OK, OutputError, UsageError
from firmware_bridge.reading import resolved
from firmware_bridge.text import printable


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg report --help``."""
    p = Parser(
        "anyecg report",
        "Write a session as one page: outputs over time, heart rate, quality, gaps, events, and the ECG at any moment.",
    )
    p.add_argument("session", metavar="SESSION", type=Path, help="folder of 'anyecg run --session-dir'")
    p.add_argument("--out", metavar="FILE.html", type=Path, help="the page (default: SESSION.html)")
    p.add_argument("--no-ecg", action="store_true", help="leave out the ECG, which takes about 13 MB a day")
    p.add_argument(
        "--baseline", metavar="FILE", type=Path, help="show changes against this quiet hour, from 'anyecg baseline'"
    )
    p.add_argument("--force", action="store_true", help="replace an existing page")
    args = p.parse_args(argv)
    session = SessionFolder(args.session)
    if args.baseline is not None:
        session.compare(load_baseline(args.baseline))
    out = args.out or Path(f"{resolved(session.path).name}.html")
    if out.suffix not in {".html", ".htm"}:
        raise UsageError(f"{out} is a page, so its name must end in .html", f"write {out}.html")
    if out.exists() and not args.force:
        raise UsageError(f"{out} exists", "add --force to replace it, or name another file with --out")
    if not out.absolute().parent.is_dir():
        raise OutputError(
            f"{out.absolute().parent} is not a folder", "create it first, or name another file with --out"
        )
    view = None
    if session.raw_files() and not args.no_ecg:
        try:
            with tempfile.TemporaryDirectory(prefix="anyecg-report-") as spool:
                view = view_ecg(session, Path(spool))
        except OSError as error:
            raise output_error("a temporary file", error) from None
    trends = Trends(session)
    page = session_page(session, trends, view).encode()
    write_atomically(out, page, private=True)
    sys.stdout.write(f"{out}: {size_text(len(page))}; open it in a browser\n")
    for damage in session.damage:
        sys.stderr.write(f"note: {printable(damage)}\n")
    return EXIT_OK
