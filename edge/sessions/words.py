"""Lengths, sizes and shares in words."""

from __future__ import annotations


def length_text(seconds: float) -> str:
    """Return a length of time with its two largest units, such as ``8 h 12 min``."""
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole // 60 % 60} min"
    return f"{whole // 86400} d {whole // 3600 % 24} h"


def size_text(count: int) -> str:
    """Return a number of bytes with three digits at most, such as ``1.4 MB``."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 9.95 else f"{size:.1f} {unit}"
        size /= 1000.0
    return f"{size:.1f} GB"


def share_text(count: int, whole: int) -> str:
    """Return a share in words: ``all`` for the whole, else 1 to 99 %, so that rounding never claims all or nothing."""
    return "all" if count == whole else f"{min(max(100 * count / whole, 1), 99):.0f} %"
