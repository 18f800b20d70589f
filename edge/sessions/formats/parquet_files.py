"""Tables as Parquet files, with pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.sessions.formats.tables import Columns, Row


class ParquetWriter:
    """Writes a table as Parquet.

    Args:
        path: The file.
        columns: Its columns.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, path: Path, columns: Columns) -> None:
        from edge.cli.extras import needs_extra

        with needs_extra("'--to parquet'", "parquet"):
            import pyarrow as pa
            import pyarrow.parquet as pq
        kinds = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
        self._schema = pa.schema([(name, kinds[kind]) for name, kind in zip(columns.names, columns.types, strict=True)])
        self._pa: Any = pa
        self._writer = pq.ParquetWriter(str(path), self._schema)

    def rows(self, rows: list[Row]) -> None:
        """Append rows."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        arrays = [self._pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
