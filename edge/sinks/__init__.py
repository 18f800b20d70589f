"""Sinks: the places where estimates go. A sink receives every result, uses what it needs, and never blocks for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from firmware_bridge.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from edge.grid.native import Native
    from edge.records import Estimate, RunSummary
    from firmware_bridge.samples import LinkEvent, Unit

__all__ = ["BaseSink", "Interactive", "NativeSink", "Sink", "SinkClosedError"]


class SinkClosedError(OutputError):
    """The reader has closed the output (``anyecg run --out - | head``). The run then ends without an error."""


class Sink(Protocol):
    """A destination of the results of a run. Calls come from one thread, ``open`` first, ``close`` last and always."""

    def open(self) -> None:
        """Prepare for writing.

        Raises:
            OutputError: The destination cannot be written.
        """

    def estimate(self, e: Estimate) -> None:
        """Take one estimate or abstention.

        Raises:
            OutputError: The estimate cannot be written.
        """

    def event(self, ev: LinkEvent) -> None:
        """Take an event of the link."""

    def signal(self, samples: NDArray[np.float64], fs_hz: float, start_s: float) -> None:
        """Take filtered signal for display.

        Args:
            samples: Shape ``(n,)``, mV, or counts if the scale is unknown; valid only during the call.
            fs_hz: Sampling rate of the samples, Hz.
            start_s: Signal time of the first sample, s.
        """

    def beat(self, t_s: float) -> None:
        """Take the signal time of one R peak, s."""

    def close(self, summary: RunSummary | None) -> None:
        """Flush and release everything. ``summary`` is ``None`` if the run failed."""


@runtime_checkable
class Interactive(Protocol):
    """A sink by which a person can end the run."""

    def on_quit(self, stop: Callable[[], object]) -> None:
        """Set what ends the run in an orderly way. It may be called from any thread, after the run too."""


@runtime_checkable
class NativeSink(Protocol):
    """A sink that also takes the samples as the source gave them: at its own rate, unfiltered."""

    def native(self, samples: Native, unit: Unit, end_host_ns: int) -> None:
        """Take consecutive samples, before the beats and estimates that they complete.

        Args:
            samples: The samples; valid only during the call.
            unit: Their unit.
            end_host_ns: Monotonic time of the host just after the last sample, ns.
        """


class BaseSink:
    """A sink that ignores everything; subclasses override what they need."""

    def open(self) -> None:
        """Do nothing."""

    def estimate(self, e: Estimate) -> None:
        """Ignore the estimate."""

    def event(self, ev: LinkEvent) -> None:
        """Ignore the event."""

    def signal(self, samples: NDArray[np.float64], fs_hz: float, start_s: float) -> None:
        """Ignore the signal."""

    def beat(self, t_s: float) -> None:
        """Ignore the beat."""

    def close(self, summary: RunSummary | None) -> None:
        """Do nothing."""
