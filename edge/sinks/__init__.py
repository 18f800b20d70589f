"""Where estimates go. A sink is told everything and takes what it wants; it never blocks the link for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from firmware_bridge.errors import OutputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.records import Estimate, RunSummary
    from firmware_bridge.samples import LinkEvent

__all__ = ["BaseSink", "Sink", "SinkClosedError"]


class SinkClosedError(OutputError):
    """Whoever read the output went away (``anyecg run --out - | head``): a run ends quietly on this one."""


class Sink(Protocol):
    """A place where a run's results go. Calls come from one thread, ``open`` first, ``close`` last and always."""

    def open(self) -> None:
        """Get ready.

        Raises:
            OutputError: The place cannot be written.
        """

    def estimate(self, e: Estimate) -> None:
        """Take one estimate or abstention.

        Raises:
            OutputError: It cannot be written.
        """

    def event(self, ev: LinkEvent) -> None:
        """Take an event of the link."""

    def signal(self, samples: NDArray[np.float64], fs_hz: float, start_s: float) -> None:
        """Take filtered signal for display.

        Args:
            samples: Shape ``(n,)``, mV, or counts where the scale is unknown; borrowed, not kept.
            fs_hz: Rate of the samples.
            start_s: Time of the first sample, seconds of signal since the session began.
        """

    def beat(self, t_s: float) -> None:
        """Take one R peak, in seconds of signal since the session began."""

    def close(self, summary: RunSummary | None) -> None:
        """Flush and let go. ``summary`` is ``None`` where the run did not get far enough to have one."""


class BaseSink:
    """A sink that takes nothing; real sinks override what they want."""

    def open(self) -> None:
        """Nothing to get ready."""

    def estimate(self, e: Estimate) -> None:
        """Ignore the estimate."""

    def event(self, ev: LinkEvent) -> None:
        """Ignore the event."""

    def signal(self, samples: NDArray[np.float64], fs_hz: float, start_s: float) -> None:
        """Ignore the signal."""

    def beat(self, t_s: float) -> None:
        """Ignore the beat."""

    def close(self, summary: RunSummary | None) -> None:
        """Nothing to let go."""
