"""Merges Parquet files into one without repetitions, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from edge.process.files import sync_folder, written_beside

BATCH_ROWS = 20_000
"""Rows that are in memory at once, besides the columns that identify all of them."""


def merge(files: list[Path], schema: pa.Schema, identity: list[str], path: Path) -> int:
    """Merge files into a new one, and remove them. Of rows with the same identity, the first stays.

    If the process is killed at any moment, no row is missing; some may be there twice until the next merge.

    Args:
        files: The files, oldest first.
        schema: Columns of all of them.
        identity: Columns that identify a row.
        path: The new file.

    Returns:
        The number of repetitions that were left out.

    Raises:
        OSError: A file cannot be read or removed.
        OutputError: The new file cannot be written.
    """
    keys = pa.concat_tables([pq.read_table(file, columns=identity, partitioning=None) for file in files])
    keys = keys.append_column("row", pa.array(np.arange(len(keys))))
    first = np.sort(keys.group_by(identity, use_threads=False).aggregate([("row", "min")])["row_min"].to_numpy())
    keep = np.zeros(len(keys), dtype=bool)
    keep[first.astype(np.intp)] = True
    del keys
    with written_beside(path, private=True) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for table in _gathered(files, keep, schema):
            writer.write_table(table)
    for file in files:
        file.unlink()
    sync_folder(path.parent)
    return len(keep) - len(first)


def _gathered(files: list[Path], keep: NDArray[np.bool_], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows to keep in tables of a useful size: each becomes a row group."""
    waiting: list[pa.RecordBatch] = []
    at = rows = 0
    for file in files:
        with pq.ParquetFile(file) as reader:
            for batch in reader.iter_batches(BATCH_ROWS):
                waiting.append(_completed(batch.filter(pa.array(keep[at : at + len(batch)])), schema))
                at += len(batch)
                rows += len(waiting[-1])
                if rows >= BATCH_ROWS:
                    yield pa.Table.from_batches(waiting)
                    waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _completed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return rows with all columns: those that an older version did not write are null."""
    found = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type) if field.name in found else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
