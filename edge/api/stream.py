"""A source as a stream of samples, beats, waves and estimates, for ``for`` and ``async for``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

from edge.api.bundle import Bundle
from edge.api.items import Beat, Item, Samples, Waves
from edge.api.iterations import Iterations
from edge.engine import SessionInfo
from edge.grid.timeline import Gap
from edge.model import BackendName
from edge.records import Estimate
from edge.session import session_info
from edge.sources import Source, SourceInfo
from firmware_bridge.samples import LinkEvent

T = TypeVar("T", bound=Item)

MIXED = frozenset({Samples, Gap, Beat, Estimate, LinkEvent})
"""Kinds that an iteration over the stream itself gives: all but waves, which the estimates carry."""


class Results(Generic[T]):
    """Results of one kind, for ``for`` and ``async for``. Every iteration opens the source anew.

    Leaving the loop early, an exception in it and Ctrl-C end the run and release the source.
    """

    def __init__(self, iterations: Iterations, kind: type[T]) -> None:
        self._iterations, self._wanted = iterations, frozenset({kind})

    def __iter__(self) -> Iterator[T]:
        return cast("Generator[T, None, None]", self._iterations.iterate(self._wanted))

    def __aiter__(self) -> AsyncIterator[T]:
        return cast("AsyncGenerator[T, None]", self._iterations.aiterate(self._wanted))


class Stream:
    """A patch, a recording, a simulation or an array, read as a stream. `edge.open` makes it.

    ``samples()``, ``beats()``, ``waves()``, ``estimates()`` and ``events()`` give one kind of results; the stream
    itself gives samples, gaps, beats, estimates and events together, in order::

        with edge.open("ble:polar_h10", seconds=60) as stream:
            for item in stream:
                match item:
                    case edge.Beat(rr_s=rr_s):
                        print(rr_s)
                    case edge.Estimate(abstained=None, labs=labs):
                        print(labs)

    Each of them also works with ``async for`` (and ``async with``). The source runs in a thread with an event loop of
    its own, so a plain ``for`` works inside a running event loop, such as that of Jupyter. A recording waits for a slow
    consumer; a live source never does: if 65,536 results wait, the oldest are dropped and counted in ``dropped``.

    One stream has one iteration at a time: a new one ends the one before. A device is opened when an iteration begins,
    and reconnects until it ends.

    Args:
        opener: Function that opens the source.
        bundle: The bundle for estimates.
        hop_s: Seconds between estimates, and between measurements of waves.
        seconds: Signal to process, s (on a live source also a limit of time); ``None`` for no limit.
        backend: The interpreter of the model.
        reasons: Whether estimates say what they rest on.
        session: Function from a source to what its estimates carry; by default only what the source itself says.

    Attributes:
        info: What is known about the source: name, leads, rate, notes.
    """

    def __init__(
        self,
        opener: Callable[[], Source],
        bundle: Bundle,
        *,
        hop_s: float = 1.0,
        seconds: float | None = None,
        backend: BackendName = "auto",
        reasons: bool = False,
        session: Callable[[Source], SessionInfo] | None = None,
    ) -> None:
        self._iterations = Iterations(
            opener, bundle, hop_s, seconds, backend, reasons=reasons, session=session or session_info
        )
        self.info: SourceInfo = self._iterations.info

    def samples(self) -> Results[Samples]:
        """The ECG as the source gives it, at its own rate; no model is loaded."""
        return Results(self._iterations, Samples)

    def beats(self) -> Results[Beat]:
        """The R peaks, up to 1.5 s after they happen; no model is loaded."""
        return Results(self._iterations, Beat)

    def waves(self) -> Results[Waves]:
        """Intervals and heights of the average beat of every window, such as QT; no model is loaded."""
        return Results(self._iterations, Waves)

    def estimates(self) -> Results[Estimate]:
        """The estimates and abstentions, one for each hop."""
        return Results(self._iterations, Estimate)

    def events(self) -> Results[LinkEvent]:
        """What happens on the link: connections, losses, restarts; no model is loaded."""
        return Results(self._iterations, LinkEvent)

    @property
    def dropped(self) -> int:
        """Results that the newest iteration dropped because its consumer was too slow for a live source."""
        return self._iterations.dropped

    def close(self) -> None:
        """End a running iteration and release the source. May be called twice; the stream can be iterated again."""
        self._iterations.close()

    async def aclose(self) -> None:
        """The same as `close`, without blocking the event loop."""
        await self._iterations.aclose()

    def __iter__(self) -> Iterator[Item]:
        return self._iterations.iterate(MIXED)

    def __aiter__(self) -> AsyncIterator[Item]:
        return self._iterations.aiterate(MIXED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del kind, error, traceback
        await self.aclose()

    def __repr__(self) -> str:
        return f"<edge.Stream {self.info.url!r}>"
