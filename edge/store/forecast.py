"""How much a session writes in a day, and how long the disk lasts.

The figures come from ``benchmarks/bench_estimates_disk.py``: `anyecg run` and `anyecg doctor` round them up.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edge.store.keep import Keep
from firmware_bridge.text import printable

DAY_S = 86400.0
COMPACT_BYTES, COMPACT_BYTES_A_HEAD = 42.0, 5.2
"""An estimate in the compact form, bytes, and what each output adds."""
JSON_BYTES, JSON_BYTES_A_HEAD = 1200.0, 168.0
"""The same as a line of JSON."""
RAW_BYTES_A_SAMPLE = 4.0
"""A sample of one lead in a raw recording, with its share of frame and record, bytes."""
OTHER_BYTES_A_DAY = 3.5e6
"""Beats and events, bytes a day."""


def estimates_a_day(heads: int, hop_s: float, *, compact: bool = True) -> float:
    """Return the bytes of a day of estimates.

    Args:
        heads: Number of outputs.
        hop_s: Seconds between estimates.
        compact: Whether they are written in the compact form, or as JSON Lines.
    """
    constant, each = (COMPACT_BYTES, COMPACT_BYTES_A_HEAD) if compact else (JSON_BYTES, JSON_BYTES_A_HEAD)
    return (constant + each * heads) * DAY_S / hop_s


def fits(free: int) -> str:
    """Return, as a phrase, how long a session at a hop of a second can run in this number of free bytes."""
    small, large = free / session_a_day(12, 1.0, None), free / session_a_day(108, 1.0, 250.0)
    return f"{_days(small)} of a session (12 outputs every second), {_days(large)} with 108 outputs and raw frames"


def session_a_day(heads: int, hop_s: float, raw_hz: float | None) -> float:
    """Return the bytes of a day in a session folder; ``raw_hz`` is the rate of its raw recording, if there is one."""
    raw = 0.0 if raw_hz is None else raw_hz * RAW_BYTES_A_SAMPLE * DAY_S
    return estimates_a_day(heads, hop_s) + raw + OTHER_BYTES_A_DAY


def start_line(folder: Path, a_day: float, keep: Keep) -> str:
    """Return the line that a run prints at its start.

    Args:
        folder: The session folder, which exists.
        a_day: Bytes that it grows by in a day.
        keep: How much of it stays.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        free = 0
    line = f"{printable(str(folder))} grows by about {a_day / 1e6:.0f} MB a day; "
    stays = None if keep.max_bytes is None else keep.max_bytes / a_day
    if keep.max_age_s is not None:
        stays = min(stays or keep.max_age_s / DAY_S, keep.max_age_s / DAY_S)
    if stays is None:
        line += "everything is kept (--keep all)"
    else:
        line += f"the newest {_days(stays)} are kept (--keep {keep.text})"
    return f"{line}; {free / 1e9:.1f} GB are free: {_days(free / a_day)}"


def _days(days: float) -> str:
    return "more than 10 years" if days > 3652 else f"{days:.0f} days" if days >= 2 else f"{24 * days:.0f} hours"
