"""What the patches of a station share: the model and the sinks that are one for all."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

from edge.sinks import BaseSink

if TYPE_CHECKING:
    from types import TracebackType

    from edge.bundle.tensors import Steps
    from edge.model import Model
    from edge.records import Estimate, RunSummary
    from edge.sinks import Sink


class FairLock:
    """A lock that threads get in the order in which they ask for it. ``threading.Lock`` promises no order."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._held = False
        self._waiting: deque[Lock] = deque()

    def __enter__(self) -> None:
        with self._mutex:
            if not self._held:
                self._held = True
                return
            turn = Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


class SharedModel:
    """A model for the threads of several patches: one window at a time, in the order of arrival.

    The time that a window waits for its turn counts as inference in its ``latency_ms``.

    Args:
        model: The model.
    """

    def __init__(self, model: Model) -> None:
        self.backend = model.backend
        self._model, self._lock = model, FairLock()

    def run(self, window: Steps) -> Steps:
        """Run one window; see `edge.model.Model`."""
        with self._lock:
            return self._model.run(window)


class SharedSink:
    """One sink for the estimates of several patches. It opens with the first patch and closes after the last one.

    Args:
        sink: The sink.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink, self._lock = sink, Lock()
        self._users = 0

    def patch(self) -> Sink:
        """Return a sink for one patch."""
        return _Part(self)

    def enter(self) -> None:
        """Count one more patch, and open the sink for the first one.

        Raises:
            OutputError: The destination cannot be written.
        """
        with self._lock:
            if self._users == 0:
                self._sink.open()
            self._users += 1

    def estimate(self, e: Estimate) -> None:
        """Take an estimate of any patch.

        Raises:
            OutputError: The estimate cannot be written.
        """
        with self._lock:
            self._sink.estimate(e)

    def leave(self) -> None:
        """Count one patch less, and close the sink after the last one.

        Raises:
            OutputError: The destination failed.
        """
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._sink.close(None)


class _Part(BaseSink):
    def __init__(self, shared: SharedSink) -> None:
        self._shared, self._open = shared, False

    def open(self) -> None:
        self._shared.enter()
        self._open = True

    def estimate(self, e: Estimate) -> None:
        self._shared.estimate(e)

    def close(self, summary: RunSummary | None) -> None:
        del summary  # it is that of one patch
        if self._open:
            self._open = False
            self._shared.leave()
