"""The arrays of numbers in MATLAB files of version 4 (R11) and 5 to 7.

The formats: MathWorks, "MAT-File Format" (version 5, also compressed) and "MAT-File Level 4 Format". Only numbers are
read: no object, function or text of a file is ever made into anything.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.sources.replay.binary.mat_array import MAX_ARRAY_BYTES, MatArray, Stream, shape_of
from edge.sources.replay.labels import clean_name, decoded
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular

HEADER_BYTES = 128
MAX_ELEMENTS = 4096
MAX_DEPTH = 4
MAX_FIELDS = 1024
"""Most elements of a file, structures in each other, and fields of a structure or cells of a cell array."""

_MAX_META = 1 << 16
"""Largest description of an array, bytes."""

_MATRIX, _PACKED = 14, 15
_CELL, _STRUCT = 1, 2
_NUMERIC = range(6, 16)
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}

HEAD4_BYTES = 20
_TYPES4 = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}


@dataclass(slots=True)
class MatContent:
    """What a file holds.

    Attributes:
        arrays: Arrays that can be a recording.
        scalars: Single numbers by name.
        other: Shapes of the arrays of numbers that cannot be a recording, as text.
    """

    arrays: list[MatArray] = field(default_factory=list)
    scalars: dict[str, float] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)


def read_mat5(path: Path, size: int) -> MatContent:
    """Return what a file of version 5 to 7 holds.

    Raises:
        InputError: The file is damaged, or too large.
    """
    with open_regular(path) as file:
        head = file.read(HEADER_BYTES)
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        if order is None or len(head) < HEADER_BYTES:
            raise _damaged(path)
        content, at = MatContent(), HEADER_BYTES
        for _ in range(MAX_ELEMENTS):
            file.seek(at)
            tag = file.read(8)
            if len(tag) < 8:
                return content
            kind, length = struct.unpack(order + "II", tag)
            at += 8
            if at + length > size:
                raise InputError(f"{path} is truncated: {size} bytes instead of {at + length}", "copy it again")
            if kind in {_MATRIX, _PACKED}:
                packed = kind == _PACKED
                stream = Stream(path, file, length, packed=packed)
                _Walk(path, order, content, at, length, packed=packed).top(stream)
            at += length
    raise InputError(f"{path} holds more than {MAX_ELEMENTS} arrays", "save the recording alone")


class _Walk:
    """Collects the arrays of one element and of the structures in it."""

    def __init__(self, path: Path, order: str, content: MatContent, element: int, size: int, *, packed: bool) -> None:
        self._path = path
        self._order = order
        self._content = content
        self._element, self._size, self._packed = element, size, packed

    def top(self, stream: Stream) -> None:
        """Collect the element's arrays."""
        if self._packed:
            kind, _, _ = self._tag(stream)
            if kind != _MATRIX:
                return
        self._matrix(stream, None, 0)

    def _tag(self, stream: Stream) -> tuple[int, int, bytes | None]:
        """Return type, length, and the data of a short element."""
        raw = stream.read(8)
        kind, length = struct.unpack(self._order + "II", raw)
        if kind >> 16:
            return kind & 0xFFFF, kind >> 16, raw[4 : 4 + min(4, kind >> 16)]
        return kind, length, None

    def _meta(self, stream: Stream) -> tuple[int, bytes]:
        kind, length, data = self._tag(stream)
        if data is not None:
            return kind, data
        if length > _MAX_META:
            raise _damaged(self._path)
        data = stream.read(length)
        stream.skip(-length % 8)
        return kind, data

    def _whole(self, stream: Stream, kind: str) -> tuple[int, ...]:
        data = self._meta(stream)[1]
        return struct.unpack(f"{self._order}{len(data) // 4}{kind}", data[: len(data) // 4 * 4])

    def _matrix(self, stream: Stream, name: str | None, depth: int) -> None:
        flags = self._whole(stream, "I")
        dims = self._whole(stream, "i")
        own = clean_name(decoded(self._meta(stream)[1]))
        if not flags or len(dims) < 2 or min(dims) < 0:
            raise _damaged(self._path)
        name = own if name is None else name
        kind = flags[0] & 0xFF
        if kind in _NUMERIC:
            self._numbers(stream, name, dims, flags[0])
        elif kind in {_STRUCT, _CELL} and depth < MAX_DEPTH:
            self._children(stream, name, dims, depth, cells=kind == _CELL)

    def _numbers(self, stream: Stream, name: str, dims: tuple[int, ...], flags: int) -> None:
        kind, length, data = self._tag(stream)
        count = 1
        for n in dims:
            count *= n
        stored = _STORED.get(kind)
        if count == 0 or stored is None or flags & (_COMPLEX | _LOGICAL):
            return
        dtype: np.dtype[np.generic] = np.dtype(self._order + stored)
        if count * dtype.itemsize != length:
            raise _damaged(self._path)
        if count == 1:
            raw = stream.read(8)[: dtype.itemsize] if data is None else data
            self._content.scalars[name] = float(np.frombuffer(raw.ljust(8, b"\0"), dtype, 1)[0])
            return
        shape = shape_of(dims)
        # The data of a short element are in its tag, which `read` has passed.
        offset = stream.position - (4 if data is not None else 0)
        if shape is None or not name:
            self._content.other.append(f"{name} of {' x '.join(map(str, dims))}")
        elif length > MAX_ARRAY_BYTES:
            raise InputError(f"{self._path}: {name} has {length >> 20} MiB", "split the recording")
        else:
            self._content.arrays.append(
                MatArray(name, *shape, dtype, self._element, self._size, packed=self._packed, offset=offset)
            )

    def _children(self, stream: Stream, name: str, dims: tuple[int, ...], depth: int, *, cells: bool) -> None:
        count = 1
        for n in dims:
            count *= n
        names: list[str] = []
        if cells:
            names = [f"{name}{{{i + 1}}}" for i in range(min(count, MAX_FIELDS + 1))]
        elif count == 1:
            width = self._whole(stream, "i")
            text = self._meta(stream)[1]
            if len(width) != 1 or not 0 < width[0] <= _MAX_META:
                raise _damaged(self._path)
            fields = [text[i : i + width[0]].split(b"\0", 1)[0] for i in range(0, len(text), width[0])]
            names = [f"{name}.{clean_name(decoded(raw))}" for raw in fields]
        if len(names) > MAX_FIELDS:
            raise InputError(f"{self._path}: {name} has more than {MAX_FIELDS} parts", "save the recording alone")
        for child in names:
            kind, length, data = self._tag(stream)
            end = stream.position + length
            if kind != _MATRIX or data is not None:
                raise _damaged(self._path)
            if end > MAX_ARRAY_BYTES:
                raise InputError(f"{self._path}: {name} has {end >> 20} MiB and more", "save the recording alone")
            if length:
                self._matrix(stream, child, depth + 1)
            if stream.position > end:
                raise _damaged(self._path)
            stream.skip(end - stream.position)


@dataclass(frozen=True, slots=True)
class _Head4:
    order: str
    kind: int
    dims: tuple[int, int]
    imaginary: bool
    name_bytes: int

    @property
    def item(self) -> str:
        return self.order + _TYPES4[self.kind // 10 % 10]

    @property
    def numbers(self) -> int:
        return self.dims[0] * self.dims[1] * (2 if self.imaginary else 1)


def _head4(head: bytes, size: int) -> _Head4 | None:
    """Return the header of an array of version 4; ``None`` if this is none."""
    if len(head) < HEAD4_BYTES:
        return None
    for order, machine in (("<", 0), (">", 1000)):
        kind, rows, columns, imaginary, name_bytes = struct.unpack(order + "5i", head[:HEAD4_BYTES])
        kind -= machine
        if (
            0 <= kind <= 52
            and kind % 10 <= 2
            and kind // 10 in _TYPES4
            and rows >= 0
            and columns >= 0
            and imaginary in {0, 1}
            and 1 <= name_bytes <= 64
            and HEAD4_BYTES + name_bytes <= size
        ):
            return _Head4(order, kind, (rows, columns), bool(imaginary), name_bytes)
    return None


def is_mat4(head: bytes, size: int) -> bool:
    """Return whether a file that begins with ``head`` begins with an array of numbers of MATLAB 4."""
    found = _head4(head, size)
    return found is not None and found.kind % 10 == 0 and found.numbers > 0


def read_mat4(path: Path, size: int) -> MatContent:
    """Return what a file of version 4 holds.

    Raises:
        InputError: The file is truncated, or too large.
    """
    content, at = MatContent(), 0
    with open_regular(path) as file:
        for _ in range(MAX_ELEMENTS):
            file.seek(at)
            found = _head4(file.read(HEAD4_BYTES), size - at)
            if found is None:
                return content
            name = clean_name(decoded(file.read(found.name_bytes).split(b"\0", 1)[0]))
            data, dtype = at + HEAD4_BYTES + found.name_bytes, np.dtype(found.item)
            length = found.numbers * dtype.itemsize
            at = data + length
            if at > size:
                raise InputError(f"{path} is truncated: {size} bytes instead of {at}", "download it again")
            if found.kind % 10 or found.imaginary or not length:
                continue
            if found.numbers == 1:
                content.scalars[name] = float(np.frombuffer(file.read(length), dtype, 1)[0])
                continue
            shape = shape_of(found.dims)
            if shape is None:
                content.other.append(f"{name} of {found.dims[0]} x {found.dims[1]}")
            else:
                content.arrays.append(MatArray(name, *shape, dtype, data, length, packed=False, offset=0))
    raise InputError(f"{path} holds more than {MAX_ELEMENTS} arrays", "save the recording alone")


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is a damaged MATLAB file", "save it again, or as CSV")
