"""Clocks written as text: ISO 8601, day-first and month-first dates, ``hh:mm:ss.mmm`` and ``mm:ss.mmm``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

from edge.sources.replay.text.cells import MISSING_CELLS

DAY_S = 86_400.0
HOUR_S = 3_600.0

_QUOTES = " \t'\"[]\f"
_DATE = (
    r"(?:(?P<y>\d{4})(?P<a>[-/.]?)(?P<m>\d\d?)(?P=a)(?P<d>\d\d?)"
    r"|(?P<p>\d\d?)(?P<b>[-/.])(?P<q>\d\d?)(?P=b)(?P<z>\d{4}))"
)
_SECONDS = r"\d\d?(?:[.,:]\d{1,9})?"
_TIME = (
    rf"(?:(?P<h>\d{{1,4}}):(?P<mi>\d\d?):(?P<s>{_SECONDS})|(?P<mo>\d{{1,5}}):(?P<so>{_SECONDS})"
    r"|(?P<c>\d{6}(?:[.,]\d+)?))"
)
_ZONE = r"\s*(?P<zone>Z|UTC|GMT|[+-]\d\d:?(?:\d\d)?)?"
_HALF = r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
_STAMP = re.compile(rf"(?:{_DATE}(?:[T_,\s]\s*))?{_TIME}{_HALF}{_ZONE}", re.IGNORECASE)
_STAMP_DATE_LAST = re.compile(rf"{_TIME}{_HALF}\s+{_DATE}{_ZONE}", re.IGNORECASE)
_CACHE = 4096


class TextClock:
    """Reads the cells of one clock column.

    Args:
        day_first: Whether ``02/05/2023`` is the second of May.

    Attributes:
        dated: Whether the cells hold a date.
        wrap_s: Time after which the clock begins again, s: an hour or a day; 0 with a date.
        name: Name of the format for the user.
    """

    def __init__(self, sample: str, *, day_first: bool) -> None:
        found = _match(sample)
        self.dated = bool(found and (found["y"] or found["z"]))
        hours = bool(found and (found["h"] is not None or found["c"]))
        self.wrap_s = 0.0 if self.dated else DAY_S if hours else HOUR_S
        numeric = "dd/mm/yyyy" if day_first else "mm/dd/yyyy"
        date = "" if not self.dated or found is None else ("ISO 8601" if found["y"] else f"{numeric} hh:mm:ss")
        self.name = date or ("hh:mm:ss" if hours else "mm:ss")
        self._day_first = day_first
        self._cache: dict[str, float] = {}

    def seconds(self, cell: str) -> float | None:
        """Return the time of a cell, s (Unix time with a date); NaN if it means "no time", ``None`` if it is text."""
        text = cell.strip(_QUOTES)
        front, colon, rest = text.rpartition(":")
        if colon and front in self._cache and rest[:2].isdigit() and rest.isascii():
            try:
                return self._cache[front] + float(rest.replace(",", "."))
            except ValueError:
                pass
        if text.lower() in MISSING_CELLS:
            return math.nan
        found = _match(text)
        if found is None:
            return None
        try:
            time = self._parsed(found)
        except (ValueError, OverflowError):
            return None
        plain = not (found["zone"] or found["half"]) and (found["s"] or found["so"]) == rest and found.re is _STAMP
        if colon and plain:
            if len(self._cache) >= _CACHE:
                self._cache.clear()
            self._cache[front] = time - float(rest.replace(",", "."))
        return time

    def _parsed(self, found: re.Match[str]) -> float:
        base = 0.0
        if found["y"] or found["z"]:
            if found["y"]:
                day = (int(found["y"]), int(found["m"]), int(found["d"]))
            else:
                p, q = int(found["p"]), int(found["q"])
                day = (int(found["z"]), q, p) if self._day_first else (int(found["z"]), p, q)
            base = datetime(*day, tzinfo=_zone(found)).timestamp()
        if found["c"]:
            digits = found["c"].replace(",", ".")
            return base + int(digits[:2]) * HOUR_S + int(digits[2:4]) * 60 + float(digits[4:])
        if found["mo"] is not None:
            minutes, seconds = int(found["mo"]), _seconds(found["so"])
            # A date with two numbers is hours and minutes: no writer leaves the hours out there.
            return base + (minutes * HOUR_S + seconds * 60 if self.dated else minutes * 60 + seconds)
        hours = int(found["h"])
        if half := found["half"]:
            hours = hours % 12 + (12 if half in "pP" else 0)
        return base + hours * HOUR_S + int(found["mi"]) * 60 + _seconds(found["s"])


def find_text_clock(cells: Sequence[str]) -> TextClock | None:
    """Return the clock of a column, or ``None`` if its cells are not times. Numbers alone are no text clock."""
    known = [cell for cell in (c.strip(_QUOTES) for c in cells) if cell.lower() not in MISSING_CELLS]
    matches = [_match(cell) for cell in known]
    found = [m for m in matches if m is not None and (":" in m[0] or m["y"] or m["z"])]
    if not known or len(found) < max(1, 0.8 * len(known)):
        return None
    month_first = any(m["q"] and int(m["q"]) > 12 for m in found) or any(m["half"] and m["z"] for m in found)
    day_first = any(m["p"] and int(m["p"]) > 12 for m in found) or not month_first
    clock = TextClock(found[0][0], day_first=day_first)
    return clock if clock.seconds(found[0][0]) is not None else None


def stamp_unix_ns(text: str) -> int | None:
    """Return the Unix time of a date with a time, ns; ``None`` for anything else."""
    found = _match(text.strip(_QUOTES))
    if found is None or not (found["y"] or found["z"]) or (found["z"] and int(found["p"]) <= 12 >= int(found["q"])):
        return None
    seconds = TextClock(found[0], day_first=not (found["q"] and int(found["q"]) > 12)).seconds(found[0])
    return None if seconds is None or math.isnan(seconds) or seconds <= 0 else round(seconds * 1e6) * 1000


def _match(text: str) -> re.Match[str] | None:
    if len(text) > 64 or not text.isascii():
        return None
    return _STAMP.fullmatch(text) or _STAMP_DATE_LAST.fullmatch(text)


def _seconds(text: str) -> float:
    return float(text.replace(",", ".").replace(":", "."))


def _zone(found: re.Match[str]) -> timezone:
    text = found["zone"]
    if not text or text.upper() in {"Z", "UTC", "GMT"}:
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4] or 0))
    return timezone(-offset if text[0] == "-" else offset)
