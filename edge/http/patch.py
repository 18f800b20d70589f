"""One patch on the page: a sink that keeps the newest state, the last seconds of ECG, the history and the counts.

It only takes notes under a lock that is never held for long. What viewers get is made in the thread of the server, so
that neither a slow viewer nor many of them can delay the run.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from edge.bundle.words import head_words
from edge.http.history import History
from edge.sinks import BaseSink
from edge.sinks.live.state import LiveState
from firmware_bridge.text import printable, shortened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.bundle.reader import Bundle
    from edge.records import Estimate, RunSummary
    from edge.sources import SourceInfo
    from firmware_bridge.samples import LinkEvent

MAX_NAME_CHARS = 64
MAX_TEXT_CHARS = 300
KEPT_S = 10.0
"""ECG that a new viewer gets at once, s."""
PENDING_S = 4.0
"""Most ECG that waits for the viewers, s; a source that is faster than real time loses the rest on the page."""
HIGHEST_MV = 100.0
"""No ECG is higher, mV: such samples are counts of a converter whose scale is unknown."""
ESTIMATE = "estimate"
"""Result of a hop with an estimate, in the counts."""


class Piece(NamedTuple):
    """A piece of ECG: signal time of its first sample, sampling rate, samples."""

    start_s: float
    fs_hz: float
    samples: NDArray[np.float32]

    @property
    def length_s(self) -> float:
        """Length, s."""
        return len(self.samples) / self.fs_hz


@dataclass(frozen=True, slots=True)
class Head:
    """One output as the page shows it.

    Attributes:
        key: Key in the bundle.
        words: What it estimates.
        unit: UCUM unit.
        evidence: Level of evidence.
        threshold: Threshold of the value that is shown; ``None`` for none.
    """

    key: str
    words: str
    unit: str
    evidence: str
    threshold: float | None


class PatchSink(BaseSink):
    """A patch on the page. `edge.http.server.PageServer.patch` makes it.

    Args:
        number: Number of the patch on its server, never used twice.
        name: Name for people.
        source: Description of the source.
        bundle: The bundle that makes the estimates.
        hop_s: Seconds between estimates, which is also the limit of the latency.
        clock: Function that returns monotonic time, s.
    """

    def __init__(
        self,
        number: int,
        name: str,
        source: SourceInfo,
        bundle: Bundle,
        hop_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.number, self.hop_s = number, hop_s
        self.name = shortened(printable(name).strip() or "patch", MAX_NAME_CHARS)
        self.device, self.tier = shortened(printable(source.device), MAX_TEXT_CHARS), bundle.manifest.tier
        self.bundle = shortened(printable(f"{bundle.manifest.name} {bundle.manifest.version}"), MAX_TEXT_CHARS)
        self.heads = _heads(bundle)
        self.lock = threading.Lock()
        """Protects everything below; the server takes it, too."""
        self.state = LiveState(self.device, self.bundle, hop_s * 1e3, clock=clock)
        self.history = History([head.key for head in self.heads])
        self.recent: deque[Piece] = deque()
        self.pending: deque[Piece] = deque()
        self.beats_s: deque[float] = deque(maxlen=32)
        """Beats that wait for the viewers."""
        self.hops: Counter[str] = Counter()
        """Hops by their result: ``estimate``, or the reason of the abstention."""
        self.latency_ms: dict[str, tuple[int, float]] = {}
        """Number and sum of the latencies by stage."""
        self.millivolts = True
        self.changed = True
        """Whether the viewers do not have the newest state."""
        self.ended = ""
        """How the run ended; empty while it runs."""
        self.estimated_s = -1.0
        """Monotonic time of the last record, s; negative before it."""
        self._clock = clock
        self._lengths = [0.0, 0.0]

    def open(self) -> None:
        """Do nothing: the server runs already."""

    def estimate(self, e: Estimate) -> None:
        """Note an estimate or abstention."""
        with self.lock:
            self.state.estimate(e)
            self.history.add(e)
            self.hops[e.abstained or ESTIMATE] += 1
            for stage, ms in e.latency_ms.items():
                count, total = self.latency_ms.get(stage, (0, 0.0))
                self.latency_ms[stage] = (count + 1, total + ms)
            self.estimated_s = self._clock()
            self.changed = True

    def event(self, ev: LinkEvent) -> None:
        """Note what happened on the link."""
        with self.lock:
            self.state.event(ev)
            self.changed = True

    def signal(self, samples: NDArray[np.float64], fs_hz: float, start_s: float) -> None:
        """Keep the last seconds of ECG."""
        if not len(samples):
            return
        piece = Piece(start_s, fs_hz, samples.astype("f4"))
        with self.lock:
            self.state.signal(samples, fs_hz, start_s)
            if self.millivolts and float(abs(piece.samples).max()) > HIGHEST_MV:
                self.millivolts = False
                self.changed = True
            for i, (pieces, most_s) in enumerate(((self.recent, KEPT_S), (self.pending, PENDING_S))):
                pieces.append(piece)
                self._lengths[i] += piece.length_s
                while self._lengths[i] > most_s and len(pieces) > 1:
                    self._lengths[i] -= pieces.popleft().length_s

    def beat(self, t_s: float) -> None:
        """Note an R peak."""
        with self.lock:
            self.state.beat(t_s)
            self.beats_s.append(t_s)

    def close(self, summary: RunSummary | None) -> None:
        """Say on the page that the run has ended; the last values stay, marked as old."""
        with self.lock:
            self.ended = "failed" if summary is None else printable(summary.ended_by) or "ended"
            self.changed = True

    def take(self) -> tuple[list[Piece], list[float]]:
        """Return the ECG and the beats since the last call. The lock must be held."""
        pieces, beats = list(self.pending), list(self.beats_s)
        self.pending.clear()
        self.beats_s.clear()
        self._lengths[1] = 0.0
        return pieces, beats


def _heads(bundle: Bundle) -> tuple[Head, ...]:
    return tuple(
        Head(h.key, head_words(h), h.unit, h.evidence.tier, bundle.calibration[h.key].shown_threshold)
        for h in bundle.manifest.outputs
    )
