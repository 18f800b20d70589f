"""The names of the parts of one sequence of files: ``estimates.aee``, ``estimates.2.aee``, and so on.

Folders are read as text, not as paths: ``pathlib`` interns every name that it meets, and in a program that does so for
weeks, Python doubles its table of interned strings (0.5 MiB).
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def part_number(first: str, name: str) -> int:
    """Return the number of a part, from 1; 0 if ``name`` does not belong to the sequence that begins with ``first``.

    Args:
        first: Name of the first part.
        name: Name of a file in the same folder.
    """
    if name == first:
        return 1
    stem, _, suffix = first.rpartition(".")
    found = re.fullmatch(re.escape(stem) + r"\.([1-9]\d{0,8})\." + re.escape(suffix), name, re.ASCII)
    return int(found[1]) if found is not None and int(found[1]) > 1 else 0


def parts(first: Path) -> list[Path]:
    """Return the parts that exist, oldest first; early ones may have been removed.

    Raises:
        OSError: The folder cannot be read.
    """
    numbered = [(part_number(first.name, name), name) for name in _names(first.parent)]
    return [first.with_name(name) for number, name in sorted(numbered) if number]


def next_part(first: Path) -> Path:
    """Return the path of the next part: no number is used twice, and no file is overwritten.

    Raises:
        OSError: The folder cannot be read.
    """
    last = max((part_number(first.name, name) for name in _names(first.parent)), default=0)
    return first if last == 0 else first.with_name(f"{first.stem}.{last + 1}{first.suffix}")


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]
