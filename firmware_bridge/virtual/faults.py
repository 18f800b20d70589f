"""Faults of a virtual patch as one line of text: ``drop=0.01;corrupt=0.001;unplug@30:5;restart@90;drift=60``.

``name=value`` is a rate for the whole run, ``name@start:length`` an event that happens once (seconds since the start),
and ``name@start:length/period`` one that repeats every period, for runs of days.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from firmware_bridge.errors import UsageError

RATES: dict[str, tuple[float, float, str]] = {
    "drop": (0.0, 1.0, "probability that a frame is not sent"),
    "corrupt": (0.0, 1.0, "probability that one bit of a frame is flipped"),
    "double": (0.0, 1.0, "probability that a frame is sent twice"),
    "late": (0.0, 1.0, "probability that a DATA frame changes places with the next one"),
    "noise": (0.0, 1.0, "probability that random bytes precede a frame"),
    "drift": (-20_000.0, 20_000.0, "ppm by which the patch's clock runs faster than the host's"),
    "rate": (-50_000.0, 50_000.0, "ppm by which the true sampling rate is above the nominal one, by the patch's clock"),
}
"""Rates, with their lowest and highest value and meaning."""
SPANS: dict[str, str] = {
    "stall": "the patch sends nothing but keeps sampling",
    "unplug": "the link is gone but the patch keeps sampling",
    "leadoff": "an electrode has no contact",
    "saturate": "the converter is at its limit",
    "restart": "the patch is off, then boots (0.5 s if no length is given)",
}
"""Events that happen at a given time, with their meaning."""
RESTART_S = 0.5
"""Time that a patch needs to boot, in seconds."""
COUNT_MAX = 200
"""Entries in one schedule, at most."""


@dataclass(frozen=True, slots=True)
class Span:
    """An event of some duration: from ``start_s`` for ``length_s``, repeated every ``period_s`` (infinite: once)."""

    kind: str
    start_s: float
    length_s: float
    period_s: float = math.inf

    def active(self, time_s: float) -> bool:
        """Return whether the event is active at a time."""
        since = time_s - self.start_s
        if since < 0:
            return False
        return (since if math.isinf(self.period_s) else since % self.period_s) < self.length_s


@dataclass(frozen=True, slots=True)
class FaultSchedule:
    """All faults of a run."""

    rates: dict[str, float] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()

    @classmethod
    def parse(cls, text: str, now_s: float = 0.0) -> FaultSchedule:
        """Parse the text form.

        Args:
            text: Schedule as in the module's description; empty for none. Spaces are ignored.
            now_s: Offset added to every start, for faults injected while the patch runs, seconds.

        Raises:
            UsageError: The text is not valid; the message says where and what is allowed.
        """
        rates: dict[str, float] = {}
        spans: list[Span] = []
        parts = [part for part in text.replace(" ", "").lower().split(";") if part]
        if len(parts) > COUNT_MAX:
            raise UsageError(f"a fault schedule has at most {COUNT_MAX} entries, not {len(parts)}")
        for part in parts:
            if "@" in part:
                spans.append(_span(part, now_s))
            else:
                name, value = _rate(part)
                rates[name] = value
        return cls(rates, tuple(spans))

    def rate(self, name: str) -> float:
        """Return a rate; 0 if it was not given."""
        return self.rates.get(name, 0.0)

    def active(self, kind: str, time_s: float) -> bool:
        """Return whether an event of a kind is active at a time."""
        return any(span.kind == kind and span.active(time_s) for span in self.spans)

    def joined(self, other: FaultSchedule) -> FaultSchedule:
        """Return both schedules together; rates of ``other`` win."""
        return FaultSchedule(self.rates | other.rates, self.spans + other.spans)


def _rate(part: str) -> tuple[str, float]:
    name, equals, text = part.partition("=")
    if name not in RATES or not equals:
        raise UsageError(
            f"unknown fault {part!r}", f"rates: {', '.join(RATES)}; at a time (name@s:s): {', '.join(SPANS)}"
        )
    low, high, _meaning = RATES[name]
    value = _number(text, part)
    if not low <= value <= high:
        raise UsageError(f"fault {part!r} is outside {low:g} to {high:g}")
    return name, value


def _span(part: str, now_s: float) -> Span:
    kind, _at, when = part.partition("@")
    if kind not in SPANS:
        raise UsageError(f"unknown fault {part!r}", f"at a time: {', '.join(SPANS)}")
    when, slash, period = when.partition("/")
    start, colon, length = when.partition(":")
    if not colon and kind != "restart":
        raise UsageError(f"fault {part!r} has no length", f"write {kind}@{start}:SECONDS")
    span = Span(
        kind,
        _number(start, part) + now_s,
        _number(length, part) if colon else RESTART_S,
        _number(period, part) if slash else math.inf,
    )
    if span.start_s < 0 or span.length_s <= 0 or span.period_s <= span.length_s:
        raise UsageError(f"fault {part!r} has an impossible time", "start >= 0, 0 < length < period")
    return span


def _number(text: str, part: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{text!r} in fault {part!r} is not a number")
    return value
