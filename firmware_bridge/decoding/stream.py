"""What decoders of simple byte streams share: events for discarded bytes, counters, and blocks of samples.

Frames of these devices hold one or a few samples. Frames of one piece of the stream become one block as long as nothing
is missing between them. So the block borders depend on how the stream was split; samples, losses and events do not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.decoding.cutter import Junk, Run
from firmware_bridge.devices import Write
from firmware_bridge.items import DATA_CHANNEL, hole_bytes
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

TEXT_MIN = 8
"""Fewer printable bytes than this in the middle of a stream are damage, not text."""
TEXTS_MAX = 3
"""Texts shown in the middle of a stream, at most; a sketch that prints repeatedly would fill a disk."""
RESTART_WORDS = ("boot", "firmware", "initiali", "initili", "is ready", "rst:", "setting up", "starts in")
"""Words that boards print when they start ("initili" is ProtoCentral's spelling; "rst:" an ESP32's)."""
WRONG_MIN = 1024
"""Bytes without a frame that are too many for the rest of a frame and a greeting."""

RATE_AFTER_S = 60.0
"""Time over which the arrival of samples is measured before the rate is judged; pieces may wait tenths of a second."""
RATE_TOLERANCE = 0.02
"""Relative rate error that is reported: crystals and resonators are better; a rate never measured is often worse."""


class Blocks:
    """Builds blocks of one unit, scale and rate.

    Args:
        fs_hz: Nominal sampling rate, Hz.
        lsb_mv: Millivolts per count; ``None`` if unknown.
    """

    def __init__(self, fs_hz: float, lsb_mv: float | None) -> None:
        self.fs_hz = fs_hz
        self.lsb_mv = lsb_mv

    def one(
        self,
        samples: NDArray[np.int32],
        arrival_ns: int,
        lost: int = 0,
        *,
        seq: int | None = None,
        lead_off: bool = False,
        device_time_ns: int | None = None,
    ) -> SampleBlock:
        """Build one block; ``samples`` is ``int32``, shape ``(n,)``."""
        return SampleBlock(samples, "counts", self.lsb_mv, self.fs_hz, device_time_ns, arrival_ns, seq, lost, lead_off)

    def cut(
        self,
        samples: NDArray[np.int32],
        arrival_ns: int,
        lost: NDArray[np.int64],
        lead_off: NDArray[np.bool_],
        seq: NDArray[np.int64] | None = None,
    ) -> list[LinkItem]:
        """Build blocks, split where samples are missing and where the contact changes.

        Args:
            samples: Counts, shape ``(n,)``, at least one.
            arrival_ns: Arrival time of all samples, host monotonic clock.
            lost: Samples missing before each, shape ``(n,)``.
            lead_off: Whether an electrode is off, for each sample, shape ``(n,)``.
            seq: The device's unwrapped number of each sample, shape ``(n,)``.
        """
        change = lost[1:] > 0
        change |= lead_off[1:] != lead_off[:-1]
        borders = [0, *(np.flatnonzero(change) + 1).tolist(), len(samples)]
        return [
            self.one(
                samples[a:b],
                arrival_ns,
                int(lost[a]),
                seq=None if seq is None else int(seq[a]),
                lead_off=bool(lead_off[a]),
            )
            for a, b in pairwise(borders)
        ]


class RateCheck:
    """Reports once per connection that samples of a device without a clock arrive at another rate than the given one.

    Args:
        fs_hz: The given sampling rate, Hz.
    """

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self.fresh()

    def fresh(self) -> None:
        """Start a new connection."""
        self._begin_ns: int | None = None
        self._samples = 0
        self._said = False

    def push(self, samples: int, arrival_ns: int) -> list[LinkItem]:
        """Record how many samples arrived and when; missing ones count too."""
        if self._begin_ns is None:
            # Samples that arrive together with the first were buffered somewhere.
            self._begin_ns = arrival_ns
            return []
        self._samples += samples
        took_s = (arrival_ns - self._begin_ns) * 1e-9
        if self._said or took_s < RATE_AFTER_S:
            return []
        self._said = True
        measured_hz = self._samples / took_s
        if abs(measured_hz / self._fs_hz - 1.0) <= RATE_TOLERANCE:
            return []
        detail = f"samples arrive at {measured_hz:.1f} Hz, not {self._fs_hz:g}: add rate={measured_hz:.1f} to the URL"
        return [LinkEvent(LinkEventKind.INFO, arrival_ns, detail, {"measured_hz": round(measured_hz, 3)})]


class FrameCutter(Protocol):
    """The interface that `StreamDecoder` needs of a cutter; `Cutter` implements it."""

    def feed(self, data: bytes) -> list[Run | Junk]:
        """Process bytes; return runs of frames, each after the discarded bytes before it."""
        ...

    def skip(self, size: int) -> list[Run | Junk]:
        """Continue behind ``size`` bytes that are missing; no frame reaches across them."""
        ...

    def reset(self) -> list[Run | Junk]:
        """End the stream; start afresh with the next bytes."""
        ...


class StreamDecoder(ABC):
    """A session with a device that sends frames of a known shape without a checksum.

    Args:
        cutter: Finds the frames in the stream.
    """

    def __init__(self, cutter: FrameCutter) -> None:
        self._cutter = cutter
        self._count: Counter[str] = Counter()
        self._out: list[Write] = []
        self._junk_bytes = 0
        """Bytes discarded since the last sample, text not counted."""
        self._texts = 0
        """Texts seen in the middle of the stream on this connection."""

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode received bytes; return blocks and events in order. Never raises."""
        if channel != DATA_CHANNEL:
            return self._other(data, arrival_ns, channel)
        return self._items(self._cutter.feed(data), arrival_ns)

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Handle an event of the transport."""
        missing = hole_bytes(event)
        if missing is not None:
            return self._items(self._cutter.skip(missing), event.arrival_ns)
        if event.kind is LinkEventKind.CONNECTED:
            self._out = list(self._hello())
        if event.kind not in {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED, LinkEventKind.END}:
            return []
        out = self._items(self._cutter.reset(), event.arrival_ns)
        self._junk_bytes = self._texts = 0
        self._forget()
        return out

    def writes(self) -> list[Write]:
        """Return the pending writes and clear them."""
        out, self._out = self._out, []
        return out

    def counters(self) -> dict[str, int]:
        """Return the counters since the decoder was created; counters that are zero are absent."""
        return dict(self._count)

    @abstractmethod
    def _frames(self, run: Run, arrival_ns: int) -> list[LinkItem]:
        """Decode whole frames."""

    def _forget(self) -> None:  # noqa: B027  most devices have nothing to forget
        """Forget the sequence: the connection ended, and the next frame does not continue it."""

    def _hello(self) -> Iterable[Write]:
        """Return the writes that start a new connection."""
        return ()

    def _other(self, data: bytes, arrival_ns: int, channel: str) -> list[LinkItem]:
        """Decode bytes of another channel."""
        del arrival_ns, channel
        self._count["foreign_channel_bytes"] += len(data)
        return []

    def _guess(self, size: int, samples: int) -> int:
        """Estimate the samples that the bytes discarded since the last call held; 0 if there were none.

        Args:
            size: Bytes per frame.
            samples: Samples per frame.
        """
        junk, self._junk_bytes = self._junk_bytes, 0
        return max(1, round(junk / size)) * samples if junk else 0

    def _samples(self, count: int, lost: int = 0) -> None:
        self._count["samples"] += count
        if lost:
            self._count["lost_samples"] += lost

    def _items(self, cut: Iterable[Run | Junk], arrival_ns: int) -> list[LinkItem]:
        out: list[LinkItem] = []
        for item in cut:
            if isinstance(item, Run):
                self._count["frames"] += len(item.data) // item.size
                out += self._frames(item, arrival_ns)
            else:
                out += self._discarded(item, arrival_ns)
        return out

    def _discarded(self, junk: Junk, arrival_ns: int) -> list[LinkItem]:
        if junk.text.isspace():
            self._count["text_bytes"] += junk.size
            return []
        said = not junk.first and len(junk.text) >= TEXT_MIN
        restarted = said and any(word in junk.text.lower() for word in RESTART_WORDS)
        if not (junk.first or said):
            self._junk_bytes += junk.size
        self._texts += said
        if said and not restarted and self._texts > TEXTS_MAX:
            self._count["text_bytes"] += junk.size
            return []
        out: list[LinkItem] = [junk_event(junk, arrival_ns, self._count)]
        if restarted:
            self._count["restarts"] += 1
            self._forget()
            detail = f"the device printed its start-up text: {junk.text[:80]!r}"
            out.append(LinkEvent(LinkEventKind.RESTARTED, arrival_ns, detail, {"text": junk.text}))
        return out


def junk_event(junk: Junk, arrival_ns: int, count: Counter[str]) -> LinkEvent:
    """Return the event for discarded bytes, counted in ``count``."""
    data: dict[str, object] = {"bytes": junk.size}
    if junk.text:
        count["text_bytes"] += junk.size
        data["text"] = junk.text
        return LinkEvent(LinkEventKind.INFO, arrival_ns, f"the device printed {junk.text[:80]!r}", data)
    count["corrupt_bytes"] += junk.size
    if junk.first and junk.size < WRONG_MIN:
        return LinkEvent(LinkEventKind.INFO, arrival_ns, f"{junk.size} bytes before the first frame", data)
    if junk.first:
        detail = f"{junk.size} bytes without a frame: another kind of device, or another baud rate?"
    else:
        detail = f"{junk.size} bytes discarded: not a frame"
    return LinkEvent(LinkEventKind.CORRUPT, arrival_ns, detail, data)
