"""Bounded access to a FlatBuffers file: every offset is checked, so that a damaged model gives one clear error.

The layout is defined in https://flatbuffers.dev/internals/. A table starts with a signed offset back to its vtable. The
vtable holds one 16-bit position for each field, 0 where the field has its default.
"""

from __future__ import annotations

import struct

from firmware_bridge.errors import InputError

_FIX = "give a .tflite file as the converter wrote it"


class Flat:
    """A buffer that raises `InputError` for reads outside of it.

    Args:
        data: Content of the file.
        what: Name of the file, for error messages.
    """

    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.what = what

    def number(self, form: str, position: int) -> int:
        """Reads one little-endian integer of a ``struct`` format such as ``i``."""
        if position < 0:
            raise self.damaged()
        try:
            value: int = struct.unpack_from("<" + form, self.data, position)[0]
        except struct.error:
            raise self.damaged() from None
        return value

    def root(self) -> Table:
        """Returns the root table."""
        return Table(self, self.number("I", 0))

    def damaged(self) -> InputError:
        """Returns the error for an offset that leaves the file."""
        return InputError(f"{self.what} is damaged: an offset points outside the file", _FIX)


class Table:
    """One table of a buffer. Fields are identified by their number in the schema."""

    def __init__(self, flat: Flat, position: int) -> None:
        self._flat = flat
        self._position = position
        self._vtable = position - flat.number("i", position)
        self._size = flat.number("H", self._vtable)

    def _field(self, number: int) -> int | None:
        entry = 4 + 2 * number
        if entry + 2 > self._size:
            return None
        offset = self._flat.number("H", self._vtable + entry)
        return self._position + offset if offset else None

    def scalar(self, number: int, form: str, default: int = 0) -> int:
        """Reads an integer field."""
        position = self._field(number)
        return default if position is None else self._flat.number(form, position)

    def table(self, number: int) -> Table | None:
        """Reads a field that is a table."""
        position = self._field(number)
        return None if position is None else Table(self._flat, position + self._flat.number("I", position))

    def text(self, number: int) -> str:
        """Reads a text; empty where it is absent."""
        begin, count = self._vector(number, 1)
        return self._flat.data[begin : begin + count].decode("utf-8", "replace")

    def tables(self, number: int) -> list[Table]:
        """Reads a vector of tables."""
        begin, count = self._vector(number, 4)
        places = [begin + 4 * i for i in range(count)]
        return [Table(self._flat, p + self._flat.number("I", p)) for p in places]

    def numbers(self, number: int, form: str) -> tuple[int, ...]:
        """Reads a vector of scalars of a ``struct`` format (``f`` gives floats)."""
        size = struct.calcsize("<" + form)
        begin, count = self._vector(number, size)
        return struct.unpack_from(f"<{count}{form}", self._flat.data, begin)

    def view(self, number: int) -> memoryview:
        """Returns a vector of bytes without copying it."""
        begin, count = self._vector(number, 1)
        return memoryview(self._flat.data)[begin : begin + count]

    def length(self, number: int) -> int:
        """Returns the length of a vector of bytes."""
        return self._vector(number, 1)[1]

    def _vector(self, number: int, size: int) -> tuple[int, int]:
        position = self._field(number)
        if position is None:
            return 0, 0
        begin = position + self._flat.number("I", position)
        count = self._flat.number("I", begin)
        if begin + 4 + count * size > len(self._flat.data):
            raise self._flat.damaged()
        return begin + 4, count
