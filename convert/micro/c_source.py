"""C source from bytes, numbers and texts, the same on every machine."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

PER_LINE = 16
MAX_TEXT = 500
"""Length at which texts are cut. C99 guarantees only 4095 characters, and each may take four."""


def byte_rows(data: bytes) -> str:
    """Return bytes as ``0x1c, 0x00, ...`` in rows, indented by two."""
    cells = [f"0x{b:02x}" for b in data]
    rows = (", ".join(cells[i : i + PER_LINE]) for i in range(0, len(cells), PER_LINE))
    return ",\n".join(f"  {row}" for row in rows)


def int8_table(values: NDArray[np.int8]) -> str:
    """Return a two-dimensional initializer.

    Args:
        values: Values, ``(rows, columns)``.
    """
    rows = []
    for row in values:
        cells = [str(int(v)) for v in row]
        lines = (", ".join(cells[i : i + PER_LINE]) for i in range(0, len(cells), PER_LINE))
        rows.append("  {\n" + ",\n".join(f"    {line}" for line in lines) + "\n  }")
    return ",\n".join(rows)


def number_rows(literals: Sequence[str], per_line: int = 4) -> str:
    """Return literals in rows, indented by two."""
    rows = (", ".join(literals[i : i + per_line]) for i in range(0, len(literals), per_line))
    return ",\n".join(f"  {row}" for row in rows)


def double(value: float) -> str:
    """Return the shortest decimal literal that is exactly this double."""
    text = repr(float(value))
    return text if "." in text or "e" in text else f"{text}.0"


def float32(value: float) -> str:
    """Return the shortest decimal literal of the nearest 32-bit float; values out of range become the largest float."""
    limit = float(np.finfo(np.float32).max)
    single = struct.unpack("<f", struct.pack("<f", min(max(float(value), -limit), limit)))[0]
    text = str(np.float32(single))
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def text(value: str | None) -> str:
    """Return a string literal, or a null pointer for ``None``. Escapes keep every text inside the literal."""
    if value is None:
        return "0"
    cells = []
    for byte in value[:MAX_TEXT].encode("utf-8"):
        plain = 0x20 <= byte < 0x7F and byte not in b'"\\?'
        cells.append(chr(byte) if plain else f"\\{byte:03o}")
    return '"' + "".join(cells) + '"'


def comment(value: str) -> str:
    """Return a text on one line that is safe in a C comment and in Markdown."""
    flat = " ".join(value[:MAX_TEXT].split())
    printable = "".join(c if c.isprintable() else "?" for c in flat)
    return printable.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/").replace("`", "'").replace("|", "/")


def defines(pairs: Iterable[tuple[str, str]]) -> str:
    """Return ``#define`` lines."""
    return "".join(f"#define {name} {value}\n" for name, value in pairs)
