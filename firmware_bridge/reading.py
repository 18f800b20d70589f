"""Reading files of unknown origin: regular ones only, of bounded size, and documents that raise only ``ValueError``.

A pipe in the place of a file would be waited for, and a device such as ``/dev/zero`` never ends.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, TypeGuard

from firmware_bridge.posix import CLOSE_ON_EXEC, NO_WAIT

MAX_KEY_DOTS = 200
"""Most dots in a key of a TOML file, or in any other piece between separators."""
MAX_NUMBER = 1e100
"""Largest number that a document may hold; sums and products of such numbers stay finite."""
MAX_INTEGER = 1 << 63
"""Integers from here on are refused; JSON and TOML readers have no limit."""
_KEY_ENDS = re.compile(r"[\n=,{}\[\]]")


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading, without waiting for anybody.

    Raises:
        OSError: It cannot be opened, or is a pipe, device, socket or folder.
    """
    try:
        fd = os.open(path, os.O_RDONLY | NO_WAIT | CLOSE_ON_EXEC)
    except ValueError:
        raise OSError(errno.EINVAL, "not a file name") from None
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(fd, "rb")
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    raise OSError(errno.EINVAL, "it is not a regular file")


def read_limited(path: Path, limit: int) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: As for :func:`open_regular`; also if the file is larger than ``limit`` bytes.
    """
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes")
    return data


def resolved(path: Path) -> Path:
    """Return the absolute path without links; of a link that leads to itself, the absolute path.

    Python before 3.13 raises ``RuntimeError`` for such a link. Whoever opens the path gets an ``OSError``.
    """
    try:
        return path.resolve()
    except RuntimeError:
        return path.absolute()


def parse_json(data: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: It is not valid, nested too deeply, or has a number of too many digits.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_toml(data: str | bytes) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: It is not valid, not UTF-8, nested too deeply, or has a number of too many digits or a key of too
            many parts.
    """
    text = data if isinstance(data, str) else data.decode("utf-8")
    # A dotted key takes tomllib quadratic time: a minute for 60 KB.
    if any(part.count(".") > MAX_KEY_DOTS for part in _KEY_ENDS.split(text)):
        raise ValueError("a key has too many parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_number(x: object, low: float = -MAX_NUMBER, high: float = MAX_NUMBER) -> TypeGuard[float]:
    """Return whether a value of a parsed document is a finite number within bounds.

    ``true`` and ``false`` are not numbers, although Python's ``bool`` is an ``int``; NaN and infinity, which Python's
    readers accept, are not either.
    """
    return isinstance(x, int | float) and not isinstance(x, bool) and low <= x <= high and _fits(x)


def is_integer(x: object, low: int = -MAX_INTEGER, high: int = MAX_INTEGER) -> TypeGuard[int]:
    """Return whether a value of a parsed document is an integer within bounds; 1.0 is none."""
    return isinstance(x, int) and is_number(x, low, high)


def _fits(x: float) -> bool:
    return not isinstance(x, int) or abs(x) < MAX_INTEGER
