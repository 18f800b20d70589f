"""An array of numbers in a MATLAB file, and the bytes that it is read from."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import CHUNK_SAMPLES
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular

MAX_LEADS = 64
"""Most leads in an array; the shorter side of a larger one is no list of leads."""

MAX_ARRAY_BYTES = 1 << 30
"""Largest array, bytes: six days of one lead in doubles at 250 Hz."""

_PIECE = 1 << 16


class Stream:
    """Bytes of a file or of one compressed element in it, read once from the beginning.

    Args:
        path: Name of the file, for messages.
        file: The file, at the first byte.
        size: Number of bytes in the file.
        packed: Whether these bytes are compressed.
    """

    def __init__(self, path: Path, file: BinaryIO, size: int, *, packed: bool) -> None:
        self._path = path
        self._file = file
        self._left = size
        self._inflate = zlib.decompressobj() if packed else None
        self._held = b""
        self.position = 0
        """Bytes read so far."""

    def read(self, count: int) -> bytes:
        """Return the next ``count`` bytes.

        Raises:
            InputError: They do not exist, or cannot be decompressed.
        """
        if self._inflate is None:
            found = self._file.read(min(count, self._left))
            if len(found) < count:
                raise self._truncated()
            self._left -= count
            self.position += count
            return found
        parts, need = [], count
        while need > 0:
            if not self._held:
                self._held = self._more(self._inflate)
            part, self._held = self._held[:need], self._held[need:]
            parts.append(part)
            need -= len(part)
        self.position += count
        return b"".join(parts)

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes; see `read` for the errors."""
        if self._inflate is None:
            if count > self._left:
                raise self._truncated()
            self._file.seek(count, 1)
            self._left -= count
            self.position += count
            return
        while count > 0:
            step = min(count, _PIECE)
            self.read(step)
            count -= step

    def _more(self, inflate: zlib._Decompress) -> bytes:
        """Return the next decompressed bytes, at least one."""
        while True:
            packed = inflate.unconsumed_tail
            if not packed:
                packed = self._file.read(min(self._left, _PIECE))
                self._left -= len(packed)
            if not packed or inflate.eof:
                raise self._truncated()
            try:
                found = inflate.decompress(packed, _PIECE)
            except zlib.error:
                raise InputError(f"{self._path} is damaged: an array cannot be decompressed", "copy it again") from None
            if found:
                return found

    def _truncated(self) -> InputError:
        return InputError(f"{self._path} is truncated or damaged: an array ends too early", "copy it again")


@dataclass(frozen=True, slots=True)
class MatArray:
    """An array that can be a recording.

    Attributes:
        name: Its name, with the names of the structures that it is in.
        leads: Number of leads.
        samples: Samples of each lead.
        interleaved: Whether the samples of all leads at one time follow each other.
        dtype: Type of the stored numbers.
        element: Where the element begins in the file, bytes.
        size: Bytes of the element in the file.
        packed: Whether the element is compressed.
        offset: Where the numbers begin in the (decompressed) element, bytes.
    """

    name: str
    leads: int
    samples: int
    interleaved: bool
    dtype: np.dtype[np.generic]
    element: int
    size: int
    packed: bool
    offset: int

    def blocks(self, path: Path, lead: int) -> Iterator[NDArray[np.generic]]:
        """Yield the stored numbers of a lead, in order.

        Raises:
            InputError: The file is truncated or damaged.
        """
        with open_regular(path) as file:
            file.seek(self.element)
            stream = Stream(path, file, self.size, packed=self.packed)
            stream.skip(self.offset)
            together = self.leads if self.interleaved else 1
            if not self.interleaved:
                stream.skip(lead * self.samples * self.dtype.itemsize)
            step = max(1, CHUNK_SAMPLES // together)
            for start in range(0, self.samples, step):
                count = min(step, self.samples - start)
                raw = stream.read(count * together * self.dtype.itemsize)
                yield np.frombuffer(raw, self.dtype).reshape(-1, together)[:, lead if self.interleaved else 0]


def shape_of(dims: tuple[int, ...]) -> tuple[int, int, bool] | None:
    """Return leads, samples, and whether the leads are interleaved; ``None`` if this is no recording.

    The shorter side is the list of leads. Numbers are stored column by column.
    """
    sides = [n for n in dims if n != 1]
    if len(sides) == 1 and sides[0] > 1:
        return 1, sides[0], True
    if len(sides) != 2 or not 1 <= min(sides) <= MAX_LEADS:
        return None
    rows, columns = sides
    return (rows, columns, True) if rows <= columns else (columns, rows, False)
