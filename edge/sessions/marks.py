"""What is marked in an ECG: beats, waves, and spans without an estimate."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edge.sessions.ecg import Segment
from edge.sessions.folder import SessionFolder
from edge.sessions.spans import abstentions

MarkKind = Literal["beat", "P", "QRS", "T", "abstention"]


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A point or span of signal time.

    Attributes:
        run: Number of the run, from 1.
        start_s: Its start, s.
        at_s: The R peak or the peak of the wave, s; else the start.
        end_s: Its end, s.
        kind: What it is.
        text: Reason of an abstention; empty otherwise.
    """

    run: int
    start_s: float
    at_s: float
    end_s: float
    kind: MarkKind
    text: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A mark within a segment, in samples from its first one."""

    start: int
    at: int
    end: int
    kind: MarkKind
    text: str


class Marks:
    """The marks of a session.

    Args:
        session: The session.
        waves: Waves that were measured.
    """

    def __init__(self, session: SessionFolder, waves: Sequence[Mark] = ()) -> None:
        numbers = {run: number for number, run in enumerate(session.names, 1)}
        self.points = sorted(
            [*(Mark(run, t_s, t_s, t_s, "beat") for run, t_s, _rr_s in session.beats()), *waves],
            key=lambda m: (m.run, m.at_s),
        )
        self.spans = [
            Mark(span.run, span.start_s, span.start_s, span.end_s, "abstention", span.reason)
            for span in abstentions(session.estimates(), numbers)
        ]

    def within(self, segment: Segment) -> Iterator[Placed]:
        """Yield the marks of a segment, in order of their start; spans are cut at its ends."""
        first = bisect_left(self.points, (segment.run, segment.start_s), key=lambda m: (m.run, m.at_s))
        stop = bisect_right(self.points, (segment.run, segment.end_s), key=lambda m: (m.run, m.at_s))
        found = [*self.points[first:stop], *self._spans_in(segment)]
        placed = [
            Placed(segment.index_of(m.start_s), segment.index_of(m.at_s), segment.index_of(m.end_s), m.kind, m.text)
            for m in found
        ]
        yield from sorted(placed, key=lambda p: (p.start, p.at))

    def _spans_in(self, segment: Segment) -> Iterator[Mark]:
        for span in self.spans:
            if span.run == segment.run and span.start_s < segment.end_s and span.end_s > segment.start_s:
                yield span
