"""``anyecg doctor``: what keeps this machine from running for weeks, and the command that fixes it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edge.cli.parser import Parser, add_json, write_json
from edge.doctor.probe import Probe, State
from edge.doctor.run import Report, examine
from firmware_bridge.errors import EXIT_OK, CheckFailedError

WRONG_CODE = CheckFailedError.exit_code


def main(argv: Sequence[str]) -> int:
    """Run the command; exit code 1 if something is wrong."""
    p = Parser("anyecg doctor", "Check software, computer, Bluetooth and serial ports; exit 1 if something is wrong.")
    add_json(p)
    p.add_argument(
        "--need",
        choices=["ble", "serial"],
        action="append",
        default=[],
        help="kind of patch that you want to use; a missing part that it needs counts as wrong (may be repeated)",
    )
    args = p.parse_args(argv)
    report = examine(Probe(), args.need)
    if args.json:
        write_json(report.as_dict())
    else:
        sys.stdout.write(text(report))
    return EXIT_OK if report.ok else WRONG_CODE


def text(report: Report) -> str:
    """Return the report as text."""
    width = max((len(finding.check) for _area, finding in report.findings), default=0)
    lines: list[str] = []
    last = ""
    for area, finding in report.findings:
        if area != last:
            lines += ["", area] if last else [area]
            last = area
        lines.append(f"  {finding.state:<8}  {finding.check:<{width}}  {finding.detail}")
        if finding.fix:
            verb = "fix" if finding.state in {State.WRONG, State.WARNING} else "to add it"
            lines.append(f"  {'':<8}  {'':<{width}}  {verb}: {finding.fix}")
    wrong, warnings = report.count(State.WRONG), report.count(State.WARNING)
    verdict = "no problems" if wrong == 0 else f"{wrong} {'problem' if wrong == 1 else 'problems'}"
    noted = f", {warnings} {'warning' if warnings == 1 else 'warnings'}" if warnings else ""
    return "\n".join([*lines, "", f"{verdict}{noted}", ""])
