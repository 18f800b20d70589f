"""The names of the parts of one sequence of files: ``estimates.aee``, ``estimates.2.aee``, and so on."""

from __future__ import annotations

import re
from pathlib import Path


def part_number(first: Path, name: str) -> int:
    """Return the number of a part, from 1; 0 if ``name`` does not belong to the sequence of ``first``."""
    if name == first.name:
        return 1
    found = re.fullmatch(re.escape(first.stem) + r"\.([1-9]\d{0,8})" + re.escape(first.suffix), name, re.ASCII)
    return int(found[1]) if found is not None and int(found[1]) > 1 else 0


def parts(first: Path) -> list[Path]:
    """Return the parts that exist, oldest first; early ones may have been removed.

    Raises:
        OSError: The folder cannot be read.
    """
    numbered = [(part_number(first, path.name), path) for path in first.parent.iterdir()]
    return [path for number, path in sorted(numbered) if number]


def next_part(first: Path) -> Path:
    """Return the path of the next part: no number is used twice, and no file is overwritten.

    Raises:
        OSError: The folder cannot be read.
    """
    last = max((part_number(first, path.name) for path in first.parent.iterdir()), default=0)
    return first if last == 0 else first.with_name(f"{first.stem}.{last + 1}{first.suffix}")
