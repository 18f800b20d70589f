"""``anyecg bench``: measure the budgets of the design for this machine and this bundle."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

from edge.bench.run import measure
from edge.cli.parser import Parser, add_json, write_json
from edge.cli.run import positive
from edge.records import BudgetLine
from firmware_bridge.errors import EXIT_OK


def main(argv: Sequence[str]) -> int:
    """Run the command; exit code 1 if a budget is exceeded."""
    p = Parser("anyecg bench", "Measure the budgets on this machine.")
    p.add_argument("--bundle", default="demo", metavar="DIR", help="bundle folder or zip; 'demo' is in the package")
    p.add_argument(
        "--hours",
        type=positive,
        default=1.0,
        metavar="H",
        help="hours of signal for measuring the growth of memory (default 1)",
    )
    p.add_argument("--reasons", action="store_true", help="measure with 'anyecg run --reasons'")
    add_json(p)
    args = p.parse_args(argv)
    lines = measure(args.bundle, args.hours, reasons=args.reasons)
    ok = all(line.ok for line in lines)
    if args.json:
        write_json({"ok": ok, "budgets": [dataclasses.asdict(line) for line in lines]})
    else:
        sys.stdout.write(table(lines))
    return EXIT_OK if ok else 1


def table(lines: Sequence[BudgetLine]) -> str:
    """Return the budgets as a table."""
    width = max(len(line.name) for line in lines)
    rows = [f"{'budget':<{width}}  {'measured':>10}  {'limit':>10}"]
    for line in lines:
        verdict = "" if line.ok else "  EXCEEDED"
        rows.append(f"{line.name:<{width}}  {line.value:>10.4g}  {line.limit:>10.6g}{verdict}")
    return "\n".join(rows) + "\n"
