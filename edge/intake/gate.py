"""The gate for link events: whatever arrives, sinks get a bounded number of them, and every event is counted.

A peer can cause a hundred thousand events a second. So each class of events (its kind) has a budget of bytes. Repeated
messages and those beyond the budget are joined: one event with their number and the times of the first and the last.
"""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge.intake.counts import frames_in, number_in
from edge.records import utc_text
from firmware_bridge.samples import LinkEvent, LinkEventKind

BURST_BYTES = 20_000
"""Bytes of JSON that one class may use at once: about 80 events."""
BYTES_PER_S = 0.9
"""Bytes of JSON per second that one class may use in the long run. Ten classes with their bursts stay below 1 MB a
day."""
ENVELOPE_BYTES = 200
"""Allowance for what a log adds to an event: times, session, count."""
REPEAT_S = 60.0
"""Time within which a message like one before is joined, s."""
JOIN_S = 10.0
"""Shortest time that a joined event covers, s."""
PATTERNS = 16
"""Messages of one class that are remembered to recognise repetitions."""
DUE_NS = 500_000_000
"""Time between two checks for joined events that may be passed on, ns."""
DETAIL_CHARS = 300
DATA_BYTES = 2000
TEXT_CHARS = 80
"""Longest text in the data of an event whose data are longer than ``DATA_BYTES``."""

_REPEATING = {LinkEventKind.INFO, LinkEventKind.CORRUPT, LinkEventKind.REFUSED}
_SUMMED = ("bytes", "samples")
_NUMBER = re.compile(r"\d+")


@dataclass(slots=True)
class _Joined:
    """Events that wait to be reported together."""

    newest: LinkEvent
    patterns: set[str]
    first_ns: int
    first_unix_ns: int
    last_ns: int
    last_unix_ns: int
    count: int
    frames: int
    sums: dict[str, int]


class _Class:
    """The budget of one class of events, and its events that wait."""

    def __init__(self, now_ns: int) -> None:
        self._left = float(BURST_BYTES)
        self._at_ns = now_ns
        self.seen_ns: OrderedDict[str, int] = OrderedDict()
        self.joined: _Joined | None = None

    def pay(self, size: int, now_ns: int) -> bool:
        self._left = min(BURST_BYTES, self._left + (now_ns - self._at_ns) * 1e-9 * BYTES_PER_S)
        self._at_ns = now_ns
        if size > self._left:
            return False
        self._left -= size
        return True

    def repeats(self, pattern: str, now_ns: int) -> bool:
        before_ns = self.seen_ns.pop(pattern, None)
        self.seen_ns[pattern] = now_ns
        if len(self.seen_ns) > PATTERNS:
            self.seen_ns.popitem(last=False)
        return before_ns is not None and now_ns - before_ns < REPEAT_S * 1e9


class EventGate:
    """Decides which events reach the sinks.

    Args:
        clock_ns: Monotonic clock, ns.
        wall_ns: Unix time, ns.

    Attributes:
        joined: Events so far that were not passed on one by one.
    """

    def __init__(
        self, clock_ns: Callable[[], int] = time.monotonic_ns, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._clock_ns, self._wall_ns = clock_ns, wall_ns
        self._classes: dict[str, _Class] = {}
        self._due_ns = 0
        self.joined = 0

    def admit(self, event: LinkEvent) -> LinkEvent | None:
        """Return the event as it may be passed on, or ``None`` if it was joined with others."""
        now_ns = self._clock_ns()
        # What the reader of a recording found ends up in session.json, and no peer can cause it.
        name = "found" if "decided" in event.data else str(event.kind)
        group = self._classes.setdefault(name, _Class(now_ns))
        pattern = _NUMBER.sub("#", event.detail[:DETAIL_CHARS])
        repeats = group.repeats(pattern, now_ns) and event.kind in _REPEATING and name != "found"
        if event.kind is LinkEventKind.END:
            return event
        if group.joined is None and not repeats:
            short = _shortened(event)
            if group.pay(_size(short), now_ns):
                return short
        self.joined += 1
        _join(group, event, pattern, now_ns, self._wall_ns())
        return None

    def due(self) -> list[LinkEvent]:
        """Return the joined events that may be passed on now."""
        now_ns, out = self._clock_ns(), list[LinkEvent]()
        if now_ns < self._due_ns:
            return out
        self._due_ns = now_ns + DUE_NS
        for group in self._classes.values():
            if group.joined is not None and now_ns - group.joined.first_ns >= JOIN_S * 1e9:
                event = _report(group.joined)
                if group.pay(_size(event), now_ns):
                    group.joined = None
                    out.append(event)
        return out

    def rest(self) -> list[LinkEvent]:
        """Return all joined events at the end: at most one a class."""
        waiting = [group.joined for group in self._classes.values() if group.joined is not None]
        for group in self._classes.values():
            group.joined = None
        return [_report(joined) for joined in waiting]


def _join(group: _Class, event: LinkEvent, pattern: str, now_ns: int, unix_ns: int) -> None:
    if group.joined is None:
        group.joined = _Joined(event, set(), now_ns, unix_ns, now_ns, unix_ns, 0, 0, {})
    joined = group.joined
    joined.newest, joined.last_ns, joined.last_unix_ns = event, now_ns, unix_ns
    joined.count += 1
    joined.frames += frames_in(event)
    if len(joined.patterns) < PATTERNS:
        joined.patterns.add(pattern)
    for key in _SUMMED:
        joined.sums[key] = joined.sums.get(key, 0) + number_in(event.data, key, 0)


def _report(joined: _Joined) -> LinkEvent:
    newest = _shortened(joined.newest)
    if joined.count == 1:
        return newest
    span_s = (joined.last_ns - joined.first_ns) * 1e-9
    what = f"{joined.count} times within {span_s:.0f} s"
    if len(joined.patterns) > 1:
        what = f"{joined.count} events of the kind '{newest.kind}' within {span_s:.0f} s"
    detail = f"{what}, the last: {newest.detail}"
    sums = {key: value for key, value in joined.sums.items() if value}
    data: dict[str, object] = {**newest.data, **sums, "count": joined.count}
    if joined.frames:
        data["frames"] = joined.frames
    data |= {"first": utc_text(joined.first_unix_ns), "last": utc_text(joined.last_unix_ns)}
    return replace(newest, detail=detail[:DETAIL_CHARS], data=data)


def _shortened(event: LinkEvent) -> LinkEvent:
    """Return an event whose text and data have a bounded size."""
    short = (
        event if len(event.detail) <= DETAIL_CHARS else replace(event, detail=event.detail[: DETAIL_CHARS - 1] + "…")
    )
    if len(_data_json(short)) <= DATA_BYTES:
        return short
    cut = {str(key)[:TEXT_CHARS]: v[:TEXT_CHARS] if isinstance(v, str) else v for key, v in event.data.items()}
    short = replace(short, data=cut)
    return short if len(_data_json(short)) <= DATA_BYTES else replace(short, data={"shortened": True})


def _data_json(event: LinkEvent) -> str:
    return json.dumps(dict(event.data), separators=(",", ":"), default=str) if event.data else ""


def _size(event: LinkEvent) -> int:
    """Return the bytes of a line about the event, at most."""
    return ENVELOPE_BYTES + len(json.dumps(event.detail)) + len(_data_json(event))
