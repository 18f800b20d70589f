"""A sink that keeps everything in memory, for tests and for programs that embed the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.sinks import BaseSink

if TYPE_CHECKING:
    from edge.records import Estimate, RunSummary
    from firmware_bridge.samples import LinkEvent


class MemorySink(BaseSink):
    """Collects estimates, events and beats in lists. It does not keep the signal, which would grow without bound.

    Attributes:
        estimates: The estimates, in order of arrival.
        events: The link events, in order of arrival.
        beats_s: Signal times of the R peaks, s.
        summary: The summary passed to ``close``.
        closed: Whether ``close`` was called.
    """

    def __init__(self) -> None:
        self.estimates: list[Estimate] = []
        self.events: list[LinkEvent] = []
        self.beats_s: list[float] = []
        self.summary: RunSummary | None = None
        self.closed = False

    def estimate(self, e: Estimate) -> None:
        """Keep the estimate."""
        self.estimates.append(e)

    def event(self, ev: LinkEvent) -> None:
        """Keep the event."""
        self.events.append(ev)

    def beat(self, t_s: float) -> None:
        """Keep the beat."""
        self.beats_s.append(t_s)

    def close(self, summary: RunSummary | None) -> None:
        """Keep the summary."""
        self.summary = summary
        self.closed = True
