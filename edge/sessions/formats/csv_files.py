"""Tables as CSV files."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from edge.sessions.formats.tables import Columns, Row


class CsvWriter:
    """Writes a table as CSV: a comma, a point, UTF-8, an empty cell where there is no value.

    Args:
        path: The file.
        columns: Its columns.
    """

    def __init__(self, path: Path, columns: Columns) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(columns.names)

    def rows(self, rows: list[Row]) -> None:
        """Append rows."""
        self._writer.writerows([_cell(cell) for cell in row] for row in rows)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def _cell(cell: object) -> object:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return "" if cell is None or (isinstance(cell, float) and math.isnan(cell)) else cell
