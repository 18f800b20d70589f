"""Options about recordings that do not state their rate, scale or lead, alike in every command that reads a folder."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convert.datasets.described import RecordingOptions


def add_recording_options(parser: argparse.ArgumentParser, prefix: str = "") -> None:
    """Add ``--fs``, ``--lsb-mv`` and ``--lead`` to a parser.

    Args:
        parser: The parser.
        prefix: What their names begin with, such as ``external-`` for the options about a second folder.
    """
    of = f", for --{prefix[:-1]}" if prefix else ""
    add = parser.add_argument
    add(f"--{prefix}fs", type=_rate, metavar="HZ", help=f"sampling rate of recordings that do not state it{of}")
    add(
        f"--{prefix}lsb-mv", type=_scale, metavar="MV",
        help=f"millivolts per count of recordings that do not state their scale{of}",
    )  # fmt: skip
    add(
        f"--{prefix}lead", type=_lead, metavar="NAME",
        help=f"lead to read of each recording{of}; default: II, MLII or I",
    )  # fmt: skip


def recording_options(args: argparse.Namespace, prefix: str = "") -> RecordingOptions:
    """Return the parsed options; ``prefix`` is that of :func:`add_recording_options`."""
    from convert.datasets.described import RecordingOptions

    fs_hz, lsb_mv, lead = (getattr(args, f"{prefix}{name}".replace("-", "_")) for name in ("fs", "lsb-mv", "lead"))
    return RecordingOptions(fs_hz, lsb_mv, lead, prefix)


def _rate(text: str) -> float:
    # Imported on use, here and below, because numpy alone would make the help three times as slow.
    from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ

    return _between(text, MIN_FS_HZ, MAX_FS_HZ, "sampling rate", "Hz")


def _scale(text: str) -> float:
    from edge.sources.replay.base import MAX_LSB_MV, MIN_LSB_MV

    return _between(text, MIN_LSB_MV, MAX_LSB_MV, "scale", "mV")


def _between(text: str, low: float, high: float, what: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a {what} from {low:g} to {high:g} {unit}")
    return value


def _lead(text: str) -> str:
    from convert.datasets.rectable import MAX_TEXT

    if not 0 < len(text.strip()) <= MAX_TEXT or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a lead, such as II")
    return text.strip()
