"""The newest frames of a virtual patch, kept to be resent, and the account of what crossed the link."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from firmware_bridge.wire.messages import Ack, AckCode, Data, Flags, MessageType

KeptFrame = tuple[Data, Flags, int]
"""Message, flags and tick of a frame, with its index unwrapped."""
_HALF = 1 << 31
_WRAP = 1 << 32


class FrameRing:
    """The newest frames, sent or not.

    Args:
        frames: Number of frames kept; 0 for none, and requests are then refused.
    """

    def __init__(self, frames: int) -> None:
        self._kept: deque[KeptFrame] = deque(maxlen=frames)
        self._next = self._end = 0

    def put(self, message: Data, flags: Flags, tick: int) -> None:
        """Keep a frame and drop the oldest."""
        self._kept.append((message, flags, tick))

    def clear(self) -> None:
        """Forget everything: the patch boots."""
        self._kept.clear()
        self.stop()

    def stop(self) -> None:
        """Stop resending: the host is gone or sent STOP."""
        self._next = self._end = 0

    def request(self, index: int, count: int, newest: int, *, streaming: bool) -> Ack:
        """Handle a request for samples; it replaces an earlier one.

        Args:
            index: Index of the first sample, modulo 2**32.
            count: Number of samples.
            newest: Index of the next sample to be taken, unwrapped.
            streaming: Whether the host has sent START.

        Returns:
            The answer. Its index is the first sample that will be sent, or the end of the request if none will.
        """
        if not self._kept.maxlen:
            return Ack(MessageType.RESEND, AckCode.UNSUPPORTED)
        if not streaming:
            return Ack(MessageType.RESEND, AckCode.BUSY)
        start = newest + (index - newest + _HALF) % _WRAP - _HALF
        if not 0 < count <= newest - start:
            return Ack(MessageType.RESEND, AckCode.BAD_ARGUMENT)
        oldest = self._kept[0][0].index if self._kept else newest
        self._next, self._end = min(max(start, oldest), start + count), start + count
        return Ack(MessageType.RESEND, AckCode.OK, index=self._next)

    def answer(self, frames: int) -> Iterator[KeptFrame]:
        """Yield at most ``frames`` of the requested frames that are still kept, oldest first."""
        for message, flags, tick in list(self._kept):
            if frames <= 0 or message.index >= self._end:
                return
            if message.index + len(message.samples) > self._next:
                self._next = message.index + len(message.samples)
                frames -= 1
                yield message, flags, tick


@dataclass(slots=True)
class GroundTruth:
    """What really happened. A correct decoder agrees with ``delivered_*``, ``lost_samples`` and ``boots_heard``."""

    frames_made: int = 0
    frames_dropped: int = 0
    frames_corrupted: int = 0
    frames_doubled: int = 0
    frames_late: int = 0
    frames_resent: int = 0
    samples_made: int = 0
    delivered_frames: int = 0
    delivered_samples: int = 0
    delivered_crc32: int = 0
    """CRC-32 over all samples, as int32 little-endian, delivered before any later one, in order."""
    lost_samples: int = 0
    """Samples missing before a later delivered frame of the same boot: all that a receiver can notice."""
    resent_samples: int = 0
    """Samples that were missing and were delivered after later ones."""
    unknowable_samples: int = 0
    """Samples lost at the end of a boot or of the run."""
    leadoff_samples: int = 0
    restarts: int = 0
    boots_heard: int = 0
    """Boots with a delivered HELLO: a receiver sees one restart less than that."""
    unplugs: int = 0
    host_bytes: int = 0
    host_errors: int = 0
    _heard: int = 0
    _missing: list[tuple[int, int]] = field(default_factory=list)

    def account(self, index: int) -> dict[str, int]:
        """Return the numbers so far, where ``index`` is that of the next sample."""
        out = {f.name: getattr(self, f.name) for f in fields(self) if f.name[0] != "_"}
        out["unknowable_samples"] += index - self._heard
        return out

    def boot(self, index: int) -> None:
        """Record a boot: the sample count begins at ``index``."""
        self._heard = index
        self._missing.clear()

    def power_off(self, index: int) -> None:
        """Record a loss of power: undelivered samples before ``index`` are lost without a receiver noticing."""
        self.restarts += 1
        self.unknowable_samples += index - self._heard

    def delivered(self, data: Data | None, *, gaps_close: bool = False) -> None:
        """Record a frame that left the patch undamaged.

        Args:
            data: Its samples; ``None`` for any message but DATA.
            gaps_close: Whether the receiver waits for missing samples, so that a late frame is not a lost one.
        """
        if data is None:
            return
        start, end = data.index, data.index + len(data.samples)
        if start < self._heard:
            if gaps_close:
                self._recovered(start, end)
            return
        if start > self._heard:
            self.lost_samples += start - self._heard
            self._missing.append((self._heard, start))
        self._heard = end
        self.delivered_frames += 1
        self.delivered_samples += end - start
        self.delivered_crc32 = zlib.crc32(data.samples.astype("<i4").tobytes(), self.delivered_crc32)

    def _recovered(self, start: int, end: int) -> None:
        for at, (low, high) in enumerate(self._missing):
            if low <= start and end <= high:
                self._missing[at : at + 1] = [r for r in ((low, start), (end, high)) if r[0] < r[1]]
                self.lost_samples -= end - start
                self.resent_samples += end - start
                self.delivered_samples += end - start
                self.delivered_frames += 1
                return
