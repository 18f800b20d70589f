"""JSON recordings: arrays of samples, one object per row, and packets of samples with a timestamp.

A single document is held in memory, so its size is bounded; JSON Lines (one document per line) stream.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import CHUNK_SAMPLES
from edge.sources.replay.text.cells import parse_number
from edge.sources.replay.text.clock import TextClock, find_text_clock
from edge.sources.replay.text.columns import is_time_name
from edge.sources.replay.text.header import Facts
from edge.sources.replay.text.json_facts import MAX_DEPTH, as_facts, sampled_data
from edge.sources.replay.text.lines import TextFile
from edge.sources.replay.text.table import MIN_SKIPPED, Skipped
from firmware_bridge.decoding.movesense_gsp import RAW_LSB_MV
from firmware_bridge.errors import InputError

MAX_DOCUMENT_CHARS = 32 << 20
"""Largest JSON document, characters: two hours at 500 Hz. It takes about ten times as much memory."""

MAX_RECORD_CHARS = 1 << 20
"""Longest line of JSON Lines, characters."""

HEAD_RECORDS = 512

Record = object


class JsonTable:
    """A JSON file as a table.

    Args:
        file: The file.

    Raises:
        InputError: It is not valid JSON, too large, or holds no samples.
    """

    def __init__(self, file: TextFile) -> None:
        self.file = file
        self.path: Path = file.path
        self.named = True
        self.clocks: dict[int, TextClock] = {}
        self.skipped = Skipped()
        self.facts = Facts(format="JSON")
        self._columns: list[list[object]] | None = None
        self._packet: tuple[tuple[str, ...], str] | None = None
        self._keys: list[str] = []
        self._inner: tuple[str, ...] = ()
        self._records: Callable[[], Iterator[Record]] = self._lines
        if self._one_document():
            self._document(self._load())
        else:
            self.facts = replace(self.facts, format="JSON Lines")
            self._rows_of(list(islice(self._lines(), HEAD_RECORDS)))
        self.units = ("",) * len(self.names)
        self.head = self._head()

    def rows(self, columns: Sequence[int]) -> Iterator[NDArray[np.float64]]:
        """Yield arrays of shape ``(n, len(columns))``; NaN where there is no number. Text clocks are in seconds.

        Raises:
            InputError: The file holds more of other things than samples, or cannot be read.
        """
        self.skipped = Skipped()
        if self._columns is not None:
            count = len(self._columns[0])
            for start in range(0, count, CHUNK_SAMPLES):
                yield self._array(
                    [c[start : start + CHUNK_SAMPLES] for c in (self._columns[i] for i in columns)], columns
                )
            return
        held: list[NDArray[np.float64]] = []
        size = count = 0
        for number, record in enumerate(self._records(), 1):
            found = self._of(record, columns)
            if found is None:
                self.skipped.add(number, str(record)[:80])
                if self.skipped.rows > max(MIN_SKIPPED, 20 * count):
                    raise InputError(f"{self.path} holds few samples among other records", "convert it to CSV")
                continue
            held.append(found)
            count, size = count + 1, size + len(found)
            if size >= _HOLD:
                yield np.concatenate(held)
                held, size = [], 0
        if held:
            yield np.concatenate(held)

    def _lines(self) -> Iterator[Record]:
        for lines, whole in self.file.pieces(MAX_RECORD_CHARS):
            for line in lines:
                text = line.strip().rstrip(",").strip("\0\x1a")
                if not text or text in "[]":
                    continue
                value = _loads(text)
                if value is None and not whole:
                    self.skipped.torn = True
                    return
                yield value

    def _one_document(self) -> bool:
        """Return whether the first line is not a document of its own, or the only one."""
        head = ""
        for text in self.file.texts():
            head += text
            first, _, rest = head.lstrip("\ufeff \n\t").partition("\n")
            if rest.strip() or len(head) > MAX_RECORD_CHARS:
                break
        return not rest.strip() or not isinstance(_loads(first.strip().rstrip(",")), dict | list)

    def _load(self) -> object:
        parts, size = [], 0
        for text in self.file.texts():
            parts.append(text)
            size += len(text)
            if size > MAX_DOCUMENT_CHARS:
                raise InputError(
                    f"{self.path} is a JSON document of over {MAX_DOCUMENT_CHARS >> 20} MiB", "convert it to CSV"
                )
        value = _loads("".join(parts).strip("\0\x1a"))
        if value is None:
            raise InputError(f"{self.path} is not valid JSON, or is truncated", "use another copy")
        return value

    def _document(self, value: object) -> None:
        """Find the samples in a document: the largest group of arrays, or its list of records."""
        best: tuple[int, tuple[str, ...], dict[str, list[object]], Facts] | None = None
        for path, node, above in _nodes(value, (), ()):
            columns: dict[str, list[object]] = {}
            if isinstance(node, list) and node and all(isinstance(v, dict) for v in node[:HEAD_RECORDS]):
                self._records = partial(iter, node)
                if self._rows_of(node[:HEAD_RECORDS], required=False):
                    self.facts = as_facts(above, self.facts)
                    return
            elif isinstance(node, list) and _is_grid(node):
                columns = {f"column {i + 1}": list(c) for i, c in enumerate(zip(*node, strict=True))}
            elif isinstance(node, dict):
                columns = {str(k): v for k, v in node.items() if isinstance(v, list) and _is_column(v)}
                columns |= sampled_data(node)
            elif isinstance(node, list) and not path and _is_column(node):
                columns = {"samples": node}
            rank = _rank(path, columns)
            if columns and (best is None or rank > best[0]):
                best = rank, path, columns, as_facts(above, self.facts)
        if best is None:
            raise InputError(f"{self.path} holds no array of samples", "convert it to CSV")
        _, _, found, self.facts = best
        longest = max(len(v) for v in found.values())
        found = {name: v for name, v in found.items() if len(v) == longest}
        self._set_names(list(found), named=not next(iter(found)).startswith("column 1"))
        self._columns = list(found.values())
        self._find_clocks([list(v[:HEAD_RECORDS]) for v in self._columns])

    def _set_names(self, names: list[str], *, named: bool) -> None:
        self.names = tuple(names)
        self.named = named

    def _rows_of(self, head: list[Record], *, required: bool = True) -> bool:
        """Take the table from records, as packets of samples or as one row each."""
        packets = [p for p in map(_packet_of, head) if p is not None]
        if packets:
            with_ecg = [p for p in packets if p[3]] or packets
            path, clock, samples, said = with_ecg[0]
            self._packet = path, clock
            self._set_names([_packet_name(path, said=said), *([clock] if clock else [])], named=True)
            whole = all(isinstance(v, int) for p in with_ecg if p[0] == path for v in p[2])
            if path[-1] == "Samples" and whole and samples:
                self.facts = replace(self.facts, format="Movesense JSON", scales_mv={0: (RAW_LSB_MV, 0.0)}, ecg=(0,))
            self.facts = as_facts([r for r in head[:1] if isinstance(r, dict)], self.facts)
            if clock:
                self._find_clocks([[], [_get(r, (*path[:-1], clock)) for r in head]])
            return True
        flat = [r for r in head if isinstance(r, dict)]
        self._inner = _inner_of(flat)
        if self._inner:
            self.facts = as_facts(flat[:1], self.facts)
            flat = [row for r in flat for row in _inner_rows(r, self._inner)]
        keys = [k for k in (flat[0] if flat else {}) if _is_column([r.get(k) for r in flat])]
        if not keys or not any(not is_time_name(str(k)) for k in keys):
            if required:
                raise InputError(f"{self.path} holds no samples", "convert it to CSV")
            return False
        if {str(k) for k in keys} == {"timeStamp", "voltage"}:
            voltage = [str(k) for k in keys].index("voltage")
            self.facts = replace(self.facts, format="Polar JSON", scales_mv={voltage: (1e-3, 0.0)}, ecg=(voltage,))
        self._keys = keys
        self._set_names([str(k) for k in keys], named=True)
        self._find_clocks([[r.get(k) for r in flat] for k in keys])
        return True

    def _find_clocks(self, columns: list[list[object]]) -> None:
        for at, column in enumerate(columns):
            cells = [v for v in column if isinstance(v, str)]
            if cells and 2 * len(cells) >= len(column) and parse_number(cells[0]) is None:
                clock = find_text_clock(cells[:HEAD_RECORDS])
                if clock is not None:
                    self.clocks[at] = clock

    def _of(self, record: Record, columns: Sequence[int]) -> NDArray[np.float64] | None:
        """Return the rows of a record; ``None`` if it holds none."""
        if self._packet is None:
            inner = _inner_rows(record, self._inner)
            cells = [[row.get(self._keys[i]) for row in inner] for i in columns]
            return self._array(cells, columns) if any(c is not None for cell in cells for c in cell) else None
        path, clock = self._packet
        samples = _get(record, path)
        if not isinstance(samples, list) or not samples:
            return None
        stamp = [_get(record, (*path[:-1], clock))] * len(samples) if clock else []
        return self._array([samples if i == 0 else stamp for i in columns], columns)

    def _array(self, cells: Sequence[Sequence[object]], columns: Sequence[int]) -> NDArray[np.float64]:
        made = [self._numbers(column, self.clocks.get(at)) for column, at in zip(cells, columns, strict=True)]
        return np.stack(made, axis=1)

    def _numbers(self, cells: Sequence[object], clock: TextClock | None) -> NDArray[np.float64]:
        out = np.full(len(cells), np.nan)
        for at, cell in enumerate(cells):
            value: float | None = None
            if isinstance(cell, str):
                value = clock.seconds(cell) if clock is not None else parse_number(cell)
            elif isinstance(cell, int | float) and not isinstance(cell, bool):
                value = float(cell)
            if value is None and cell is not None:
                self.skipped.add(at + 1, str(cell)[:80])
            out[at] = math.nan if value is None else value
        return out

    def _head(self) -> NDArray[np.float64]:
        parts, size = [], 0
        for rows in self.rows(range(len(self.names))):
            parts.append(rows)
            size += len(rows)
            if size >= _HEAD_ROWS:
                break
        self.skipped = Skipped()
        return np.concatenate(parts)[:_HEAD_ROWS] if parts else np.zeros((0, len(self.names)))


_HOLD = 4096
_HEAD_ROWS = 4096


def _loads(text: str) -> object | None:
    try:
        value: object = json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):
        return None
    return value


def _integer(text: str) -> int | float:
    """Return a whole number; a huge one as a float, because its digits would take quadratic time."""
    return int(text) if len(text) < 20 else float(text)


def _nodes(
    value: object, path: tuple[str, ...], above: tuple[dict[str, object], ...]
) -> Iterator[tuple[tuple[str, ...], object, tuple[dict[str, object], ...]]]:
    """Yield the lists and objects in a document, with their keys and the objects around them."""
    if isinstance(value, dict):
        above = (*above, value)
        yield path, value, above
        for key, inner in value.items() if len(path) < MAX_DEPTH else ():
            yield from _nodes(inner, (*path, str(key)), above)
    elif isinstance(value, list):
        yield path, value, above
        if len(value) <= 16 and len(path) < MAX_DEPTH:
            for inner in value:
                yield from _nodes(inner, (*path, "[]"), above)


def _is_column(values: Sequence[object]) -> bool:
    head = values[:HEAD_RECORDS]
    numbers = sum(_is_cell(v) for v in head)
    return len(values) >= 1 and 2 * numbers > len(head)


def _is_cell(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= 64 and (parse_number(value) is not None or find_text_clock([value]) is not None)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_grid(node: list[object]) -> bool:
    rows = [row for row in node if isinstance(row, list)]
    if not rows or len(rows) < len(node) or len({len(row) for row in rows}) > 1:
        return False
    return 1 <= len(rows[0]) <= 64 and all(_is_cell(v) or v is None for v in rows[0])


def _rank(path: tuple[str, ...], columns: dict[str, list[object]]) -> int:
    """Return how well a group of arrays suits: one named as an ECG, raw before filtered, then the longer one."""
    text = " ".join((*path, *columns)).lower()
    longest = max((len(v) for v in columns.values()), default=0)
    return min(longest, 1 << 30) + (1 << 31) * ("ecg" in text or "lead" in text) + (1 << 30) * ("raw" in text)


def _packet_of(record: object) -> tuple[tuple[str, ...], str, list[object], bool] | None:
    """Return path of the samples, key of the timestamp, samples, and whether they are called an ECG."""
    if not isinstance(record, dict):
        return None
    for path, node, above in _nodes(record, (), ()):
        if not isinstance(node, dict):
            continue
        for key, value in node.items():
            if isinstance(value, list) and value and all(_is_cell(v) and not isinstance(v, str) for v in value):
                clock = next((str(k) for k, v in node.items() if is_time_name(str(k)) and _is_cell(v)), "")
                said = " ".join(
                    (*path, str(key), *(str(v)[:200] for n in above for v in n.values() if isinstance(v, str)))
                )
                return (*path, str(key)), clock, value, "ecg" in said.lower()
    return None


def _packet_name(path: tuple[str, ...], *, said: bool) -> str:
    return next((key for key in reversed(path) if "ecg" in key.lower()), "ecg" if said else path[-1])


def _inner_of(head: Sequence[dict[str, object]]) -> tuple[str, ...]:
    """Return the path of a list of rows inside each record, one that is called an ECG first; empty if there is none."""
    found: tuple[str, ...] = ()
    for record in head:
        for path, node, above in _nodes(record, (), ()):
            if not isinstance(node, list) or not node or not path or not all(isinstance(row, dict) for row in node):
                continue
            said = " ".join((*path, *(str(v)[:200] for n in above for v in n.values() if isinstance(v, str))))
            if "ecg" in said.lower():
                return path
            found = found or path
    return found


def _inner_rows(record: object, path: tuple[str, ...]) -> list[dict[str, object]]:
    rows = _get(record, path) if path else [record]
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _get(record: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(record, dict):
            return None
        record = record.get(key)
    return record
