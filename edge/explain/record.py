"""What an estimate says of its reasons, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast, get_args

from edge.rounding import fixed
from firmware_bridge.reading import is_integer, is_number
from firmware_bridge.text import printable, shortened

Part = Literal["P", "PR", "QRS", "ST", "QT", "T", "rate"]
"""A part of a beat that can be replaced: QT and PR are times, ST is the level, the others are shapes."""
PARTS: tuple[Part, ...] = get_args(Part)

MAX_WINDOWS = 12
"""Most windows over which reasons are averaged."""
MAX_EFFECT = 1e6
"""Largest effect that a reader accepts, in logits or in the unit of a value."""
MAX_AGE_S = 1e9
MAX_LOOKS_CHARS = 40

_NAMES: Mapping[str, str] = {"T": "T wave", "P": "P wave"}


class LabReasons(NamedTuple):
    """The reasons of one output in an estimate.

    Attributes:
        shares: Share of each part that is named, the largest first; empty if there are no reasons.
        looks: How these parts differ from the reference beat, in words; parts that hardly differ are left out.
        effect: Difference of the person's beat to the reference beat, logits, or the unit of a value.
        windows: Number of windows over which the shares are averaged.
        age_s: Signal time since the end of the newest of these windows, s.
    """

    shares: Mapping[Part, float]
    looks: Mapping[Part, str]
    effect: float
    windows: int
    age_s: float


def because(reasons: LabReasons) -> str:
    """Return the reasons in words: ``94 % T wave (narrow and tall)``, or ``no reasons``."""
    said = []
    for part, share in reasons.shares.items():
        how = reasons.looks.get(part, "")
        said.append(f"{100 * share:.0f} % {_NAMES.get(part, part)}" + (f" ({how})" if how else ""))
    return ", ".join(said) or "no reasons"


def flag_because(reasons: LabReasons) -> str:
    """Return what the flag of an output rests on: ``rests on 94 % T wave (narrow and tall)``, or ``no reasons``.

    Parts that lower the output are no reason for its flag.
    """
    return f"rests on {because(reasons)}" if reasons.shares and reasons.effect > 0.0 else "no reasons"


def reasons_dict(reasons: LabReasons) -> dict[str, object]:
    """Return the JSON object of ``reasons``: fixed keys, rounded numbers."""
    return {
        "shares": {part: fixed(share, 2) for part, share in reasons.shares.items()},
        "looks": dict(reasons.looks),
        "effect": fixed(reasons.effect, 2),
        "windows": int(reasons.windows),
        "age_s": fixed(reasons.age_s, 3),
    }


def reasons_from(d: Any) -> LabReasons | None:
    """Read the JSON object of ``reasons``; ``None`` for ``None``.

    Raises:
        KeyError: A key is missing.
        TypeError: An object is none.
        ValueError: A part is unknown, or a value is of the wrong kind or impossible.
    """
    if d is None:
        return None
    if not all(isinstance(one, Mapping) for one in (d, d["shares"], d["looks"])):
        raise TypeError("reasons are no object")
    shares, looks = d["shares"], d["looks"]
    if not (shares.keys() | looks.keys()) <= set(PARTS):
        raise ValueError("a reason names an unknown part")
    if not all(is_number(share, 0.0, 1.0) for share in shares.values()):
        raise ValueError("the share of a reason is no number from 0 to 1")
    if not all(isinstance(how, str) for how in looks.values()):
        raise TypeError("the looks of a reason are no text")
    effect, windows, age_s = d["effect"], d["windows"], d["age_s"]
    if not (is_number(effect, -MAX_EFFECT, MAX_EFFECT) and is_number(age_s, 0.0, MAX_AGE_S)):
        raise ValueError("a number of the reasons is no possible one")
    if not is_integer(windows, 1, MAX_WINDOWS):
        raise ValueError("the windows of the reasons are no possible number")
    words = {cast("Part", part): shortened(printable(how), MAX_LOOKS_CHARS) for part, how in looks.items()}
    return LabReasons(dict(shares), words, effect, windows, age_s)
