"""The iterations over one stream, one at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator

from edge.api.background import BackgroundRun, close_source
from edge.api.bundle import Bundle
from edge.api.collector import CollectingEngine, Collector
from edge.api.items import Item
from edge.engine import Engine, SessionInfo
from edge.model import BackendName, ConstantModel
from edge.records import Estimate
from edge.session import live_reasons
from edge.sinks import Sink
from edge.sources import Source
from firmware_bridge.errors import UsageError


class Iterations:
    """Runs a source for each iteration over a stream; a new iteration ends the one before.

    Args:
        opener: Function that opens the source.
        bundle: The bundle for estimates.
        hop_s: Seconds between estimates, and between measurements of waves.
        seconds: Signal to process, s; ``None`` for no limit.
        backend: The interpreter of the model.
        reasons: Whether estimates say what they rest on.
        session: Function from a source to what its estimates carry.

    Attributes:
        info: What is known about the source.
    """

    def __init__(
        self, opener: Callable[[], Source], bundle: Bundle, hop_s: float, seconds: float | None, backend: BackendName,
        *, reasons: bool, session: Callable[[Source], SessionInfo],
    ) -> None:  # fmt: skip
        self._opener, self._bundle, self._backend = opener, bundle, backend
        self._hop_s, self._seconds = hop_s, seconds
        self._with_reasons, self._session = reasons, session
        self._opened: Source | None = opener()
        self._run: BackgroundRun | None = None
        self.info = self._opened.info

    @property
    def dropped(self) -> int:
        """Results that the newest iteration dropped because its consumer was too slow for a live source."""
        return 0 if self._run is None else self._run.channel.dropped

    def iterate(self, wanted: frozenset[type]) -> Generator[Item, None, None]:
        """Yield results as they become known.

        Args:
            wanted: Kinds of results to yield.
        """
        if self._run is not None:
            self._run.close(_ended_by_another())
        run = self._begin(wanted)
        try:
            while batch := run.channel.get():
                for item in batch:
                    yield item
                    if run.channel.refusing:
                        break
        finally:
            run.close()

    async def aiterate(self, wanted: frozenset[type]) -> AsyncGenerator[Item, None]:
        """Yield results without blocking the event loop; see `iterate`."""
        if self._run is not None:
            await self._run.aclose(_ended_by_another())
        run = self._begin(wanted)
        try:
            while batch := await run.channel.aget():
                for item in batch:
                    yield item
                    if run.channel.refusing:
                        break
        finally:
            await run.aclose()

    def close(self) -> None:
        """End a running iteration and release the source. May be called twice."""
        if self._run is not None:
            self._run.close()
        self._release()

    async def aclose(self) -> None:
        """The same as `close`, without blocking the event loop."""
        if self._run is not None:
            await self._run.aclose()
        self._release()

    def _release(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            close_source(opened)

    def _begin(self, wanted: frozenset[type]) -> BackgroundRun:
        source, self._opened = self._opened or self._opener(), None

        def make(give: Callable[[Item], None]) -> tuple[Engine, Sink]:
            collector = Collector(give, wanted)
            bundle, hop_s, session = self._bundle, self._hop_s, self._session(source)
            if Estimate not in wanted:
                constant = ConstantModel(bundle.golden_outputs[0])
                return CollectingEngine(bundle, constant, session, hop_s, collector), collector
            model = bundle.load(self._backend)
            reasons = live_reasons(bundle, model, hop_s) if self._with_reasons else None
            return CollectingEngine(bundle, model, session, hop_s, collector, reasons), collector

        self._run = BackgroundRun(source, make, self._hop_s, self._seconds)
        return self._run


def _ended_by_another() -> UsageError:
    """Return the error for a consumer whose iteration was ended by a newer one of the same stream."""
    return UsageError(
        "another iteration of the same stream ended this one",
        "iterate over the stream itself to get samples, beats and estimates together",
    )
