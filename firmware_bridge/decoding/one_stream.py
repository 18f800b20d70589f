"""Admits the frames of one stream by their device times: none twice, none of a second stream, none from a set clock.

A device may send frames twice or late, a second subscription may interleave them with others, and an application may
set the clock of the device while it streams. The frames' own times alone would turn each of these into lost or doubled
signal. So a frame that does not follow its predecessor waits as a *rival*. If the next frames follow the rival instead
and arrive as frames of one stream do, the clock was set, and the stream continues with corrected times. If the old
stream goes on, the rival was late or belongs to a second stream, and it is refused.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from firmware_bridge.decoding.timing import other_clock

T = TypeVar("T")

SECOND_STREAM = (
    "frames of a second ECG stream arrive between those of the first and are refused: end the other program that reads "
    "this device, or switch it off and on"
)
"""Message about a second stream, for the user."""
SEEN_FRAMES = 64
"""Admitted frames that are remembered, to recognise copies, and to know the usual latency."""
OVERLAP = 0.7
"""Part of its duration that must have passed on the device's clock since the frame before; less is an overlap."""
AHEAD_NS = 300_000_000
"""A frame that arrives this much before it can have been measured comes from a clock that was set forward."""
AHEAD_EARLY_NS = 1_000_000_000
"""The same before ``LATENCY_FRAMES`` frames have shown the usual latency."""
LATENCY_FRAMES = 16
DRIFT = 1000
"""Part of a silence that is added to these limits, as 1/N: crystals drift."""
MAX_STEP_NS = 7 * 86_400 * 10**9
"""A step of the clock that is longer than this shows a set clock without any arrival times."""
FAR_NS = 10 * 10**9
"""A frame this far from its predecessor is not late."""
NEAR_FRAMES, FAR_FRAMES = 3, 2
"""Rivals in a row that show a set clock, near and far from the old time."""
GRID = 0.1
"""Part of a frame by which a late frame of the same stream may miss the places of its frames."""
SECOND_FRAMES = 3
"""Overlapping frames on one connection that show a second stream; a single one may be damaged."""
SETS_SHOWN = 3
"""Messages about a clock that was set, at most; one that stands still looks like that all the time."""
DAY_S = 86_400.0
WAITED_NS = 10**9
"""Delay of an arrival beyond its frame that counts as missing frames when the clock was set meanwhile."""


@dataclass(frozen=True, slots=True)
class Stamped(Generic[T]):
    """A frame as it arrived.

    Attributes:
        content: The frame.
        key: Hash of its samples, to recognise copies.
        count: Number of its samples, at least one.
        time_ns: Device clock, at the same place in every frame.
        arrival_ns: Host monotonic clock.
    """

    content: T
    key: int
    count: int
    time_ns: int
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class Admitted(Generic[T]):
    """A frame that belongs to the stream.

    Attributes:
        frame: The frame as it arrived.
        time_ns: Its device time, corrected for every time that the clock was set.
        set_ns: How far the clock was set forward just before; ``None`` if it was not.
    """

    frame: Stamped[T]
    time_ns: int
    set_ns: int | None = None


class OneStream(Generic[T]):
    """Follows one stream.

    Args:
        fs_hz: Nominal sampling rate, Hz.
        settable: Whether the clock can be set. Otherwise a time far away is the device's restart, and is admitted.

    Attributes:
        period_ns: Nominal sample period.
        repeated: Copies refused so far.
        late: Frames refused so far because they arrived after later ones.
        second: Frames refused so far because they overlap the stream: those of a second stream.
    """

    def __init__(self, fs_hz: float, *, settable: bool) -> None:
        self.period_ns = 1e9 / fs_hz
        self.repeated = self.late = self.second = 0
        self._settable = settable
        self._seen: deque[Stamped[T]] = deque(maxlen=SEEN_FRAMES)
        self._fresh = 0
        self._offset_ns = 0
        self._rivals: list[Stamped[T]] = []
        self._overlaps = 0
        self._broken = True

    @property
    def refused(self) -> bool:
        """Whether frames of a second stream were refused on this connection."""
        return self._overlaps >= SECOND_FRAMES

    def interrupt(self) -> list[Admitted[T]]:
        """End the connection: return the frames that still waited if only a set clock explains them."""
        out = self._adopt() if self._rivals and abs(self._jump_ns()) > FAR_NS else []
        self._refuse()
        self._broken, self._fresh, self._overlaps = True, 0, 0
        return out

    def push(self, frame: Stamped[T]) -> list[Admitted[T]]:
        """Take the next frame; return the frames that now belong to the stream, in order."""
        if any(f.time_ns == frame.time_ns and f.key == frame.key for f in (*self._seen, *self._rivals)):
            self.repeated += 1
            return []
        if self._broken or self._follows(frame):
            self._refuse()
            self._broken = False
            return [self._admit(frame)]
        before = self._rivals[-1] if self._rivals else None
        if before is not None and not self._continues(before, frame):
            self._refuse()
        self._rivals.append(frame)
        need = FAR_FRAMES if abs(self._jump_ns()) > FAR_NS else NEAR_FRAMES
        sure = len(self._rivals) >= need and self._spread()
        return self._adopt() if sure or len(self._rivals) == SEEN_FRAMES else []

    def _follows(self, frame: Stamped[T]) -> bool:
        last = self._seen[-1]
        gone_ns = frame.time_ns - last.time_ns
        arrived_ns = frame.arrival_ns - last.arrival_ns
        if not self._settable and (gone_ns < -FAR_NS or other_clock(gone_ns, arrived_ns, broken=False)):
            return True
        if gone_ns < OVERLAP * frame.count * self.period_ns or gone_ns > MAX_STEP_NS:
            return False
        if not self._paced():
            return True
        fresh = [self._seen[-1 - k] for k in range(self._fresh)]
        usual_ns = min(f.arrival_ns - f.time_ns for f in fresh)
        limit_ns = AHEAD_NS if len(fresh) >= LATENCY_FRAMES else AHEAD_EARLY_NS
        limit_ns += max(0, arrived_ns) // DRIFT
        return frame.arrival_ns - frame.time_ns >= usual_ns - limit_ns

    def _paced(self) -> bool:
        """Return whether arrival times are real: they advance as the device's clock does."""
        if self._fresh < 2:
            return False
        first, last = self._seen[-self._fresh], self._seen[-1]
        return 2 * (last.arrival_ns - first.arrival_ns) >= last.time_ns - first.time_ns

    def _continues(self, before: Stamped[T], frame: Stamped[T]) -> bool:
        step = (frame.time_ns - before.time_ns) / (frame.count * self.period_ns)
        # A clock that stands still gives every frame the same time.
        return step == 0 or OVERLAP <= step <= 2.0 - OVERLAP

    def _spread(self) -> bool:
        """Return whether the rivals arrived one after the other, as frames of a stream do, and not at once."""
        spread_ns = self._rivals[-1].arrival_ns - self._rivals[0].arrival_ns
        lasted_ns = (len(self._rivals) - 1) * self._rivals[-1].count * self.period_ns
        return not self._paced() or 2 * spread_ns >= lasted_ns

    def _jump_ns(self) -> int:
        return self._rivals[0].time_ns - self._seen[-1].time_ns

    def _adopt(self) -> list[Admitted[T]]:
        """Continue the stream with the rivals: the clock was set, and only arrival times show what is missing."""
        rivals, self._rivals = self._rivals, []
        last, first = self._seen[-1], rivals[0]
        frame_ns = first.count * self.period_ns
        waited_ns = first.arrival_ns - last.arrival_ns - frame_ns
        missing = round(waited_ns / frame_ns) if self._paced() and waited_ns > WAITED_NS + frame_ns else 0
        expected_ns = last.time_ns + round((1 + missing) * frame_ns)
        set_ns = first.time_ns - expected_ns
        self._offset_ns -= set_ns
        self._fresh = 0
        out: list[Admitted[T]] = []
        for frame in rivals:
            if out and frame.time_ns == out[-1].frame.time_ns:
                self._offset_ns += round(frame.count * self.period_ns)
            out.append(self._admit(frame, None if out else set_ns))
        return out

    def _admit(self, frame: Stamped[T], set_ns: int | None = None) -> Admitted[T]:
        self._seen.append(frame)
        self._fresh = min(self._fresh + 1, SEEN_FRAMES)
        return Admitted(frame, frame.time_ns + self._offset_ns, set_ns)

    def _refuse(self) -> None:
        for rival in self._rivals:
            places = self._jump_of(rival) / (rival.count * self.period_ns)
            on_grid = abs(places - round(places)) <= GRID and abs(self._jump_of(rival)) <= FAR_NS
            self.late += on_grid
            self.second += not on_grid
            self._overlaps += not on_grid
        self._rivals.clear()

    def _jump_of(self, rival: Stamped[T]) -> int:
        return rival.time_ns - self._seen[-1].time_ns


def set_clock(set_ns: int) -> str:
    """Return the message about a clock that was set, for the user."""
    way, seconds = "forward" if set_ns > 0 else "back", abs(set_ns) * 1e-9
    far = f"{seconds:.3g} s" if seconds < DAY_S else f"{seconds / DAY_S:.0f} days"
    return (
        f"the clock of the device was set {way} by {far} while it streamed: the signal continues, and arrival times "
        "show whether samples are missing"
    )
