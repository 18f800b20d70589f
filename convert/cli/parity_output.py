"""What commands that compare forms of a model write at their end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edge.cli.parser import write_json

if TYPE_CHECKING:
    from convert.parity.forms import ParityReport


def write_parity(report: ParityReport, done: str = "", *, as_json: bool) -> None:
    """Write the comparison as a table with a last line, or as the JSON of ``parity.json``."""
    from convert.parity.report import text_table

    if as_json:
        write_json(report.as_json())
    else:
        sys.stdout.write(text_table(report) + done)
