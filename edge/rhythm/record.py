"""What an estimate says of the rhythm, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, cast, get_args

from edge.rounding import fixed
from firmware_bridge.reading import is_integer, is_number

RhythmName = Literal["sinus", "af_or_flutter", "paced", "undetermined", "unreadable"]
"""Name of a rhythm; ``undetermined`` if no rule has seen what it needs."""
RHYTHM_NAMES: tuple[RhythmName, ...] = get_args(RhythmName)

MAX_COUNT = 100_000
"""Largest count or length, ms, that a reader accepts."""


@dataclass(frozen=True, slots=True)
class RhythmMinutes:
    """The rhythm of the last minutes.

    Attributes:
        name: Rhythm of most windows of the last minutes in which one was determined.
        windows: Number of accepted windows.
        af_share: Share of atrial fibrillation or flutter among the windows whose rhythm was determined; ``None``
            without one.
        beats: Number of beats that were judged.
        ectopic_share: Share of ectopic beats; ``None`` without a beat.
        couplets: Number of pairs of ectopic beats.
        pauses: Number of RR intervals of 2 s or more.
    """

    name: RhythmName
    windows: int
    af_share: float | None
    beats: int
    ectopic_share: float | None
    couplets: int
    pauses: int


@dataclass(frozen=True, slots=True)
class RhythmRecord:
    """The rhythm of a window.

    Attributes:
        name: The rhythm.
        irregularity: Median change from one RR interval to the next, over the median RR interval, without the intervals
            next to ectopic beats; ``None`` if fewer than four remain.
        ectopic_share: Share of ectopic beats; ``None`` if no beat could be judged.
        couplets: Number of pairs of ectopic beats.
        bigeminy: Whether every second beat is ectopic.
        pauses: Number of RR intervals of 2 s or more.
        longest_rr_ms: Longest RR interval, ms; ``None`` with fewer than two beats.
        minutes: The last minutes.
    """

    name: RhythmName
    irregularity: float | None
    ectopic_share: float | None
    couplets: int
    bigeminy: bool
    pauses: int
    longest_rr_ms: float | None
    minutes: RhythmMinutes


def rhythm_dict(rhythm: RhythmRecord) -> dict[str, object]:
    """Return the JSON object of ``rhythm``: fixed keys, rounded numbers."""
    minutes = asdict(rhythm.minutes)
    minutes["af_share"] = fixed(rhythm.minutes.af_share, 2)
    minutes["ectopic_share"] = fixed(rhythm.minutes.ectopic_share, 3)
    longest = fixed(rhythm.longest_rr_ms, 0)
    return {
        "name": rhythm.name,
        "irregularity": fixed(rhythm.irregularity, 3),
        "ectopic_share": fixed(rhythm.ectopic_share, 2),
        "couplets": int(rhythm.couplets),
        "bigeminy": bool(rhythm.bigeminy),
        "pauses": int(rhythm.pauses),
        "longest_rr_ms": None if longest is None else int(longest),
        "minutes": minutes,
    }


def rhythm_from(d: Mapping[str, object] | None) -> RhythmRecord | None:
    """Read the JSON object of ``rhythm``; ``None`` for ``None``.

    Raises:
        KeyError: A key is missing.
        TypeError: A value has the wrong type.
        ValueError: A name is unknown or a number is impossible.
    """
    if d is None:
        return None
    m = cast("Mapping[str, object]", d["minutes"])
    minutes = RhythmMinutes(
        _name(m["name"]), _count(m["windows"]), _number(m["af_share"]), _count(m["beats"]),
        _number(m["ectopic_share"]), _count(m["couplets"]), _count(m["pauses"]),
    )  # fmt: skip
    bigeminy = d["bigeminy"]
    if not isinstance(bigeminy, bool):
        raise TypeError("bigeminy is no boolean")
    return RhythmRecord(
        _name(d["name"]), _number(d["irregularity"]), _number(d["ectopic_share"]), _count(d["couplets"]), bigeminy,
        _count(d["pauses"]), _number(d["longest_rr_ms"]), minutes,
    )  # fmt: skip


def _name(x: object) -> RhythmName:
    for name in RHYTHM_NAMES:
        if x == name:
            return name
    raise ValueError(f"unknown rhythm {str(x)[:60]!r}")


def _count(x: object) -> int:
    if not is_integer(x, 0, MAX_COUNT):
        raise ValueError("a count is no possible integer")
    return x


def _number(x: object) -> float | None:
    if x is None:
        return None
    if not is_number(x, 0.0, MAX_COUNT):
        raise ValueError("a number of the rhythm is no possible one")
    return x
