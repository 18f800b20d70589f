"""Device streams that misbehave: a clock set while streaming, frames late or doubled, a second subscription."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from firmware_bridge import devices
from firmware_bridge.decoding import movesense_gsp, polar_pmd
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

S, MS = 10**9, 10**6
Sent = list[tuple[int, int, int]]
"""Frames as they arrive: number, shift of the device's clock in ns, arrival time in ns."""


class Clocked:
    """A device whose frames carry a clock."""

    def __init__(self, name: str, count: int, fs_hz: float, frame: Callable[[int, np.ndarray], bytes]) -> None:
        self.name, self.count, self._frame = name, count, frame
        self.frame_ns = round(count * 1e9 / fs_hz)

    def play(self, sent: Sent, *, end: bool = True) -> tuple[list[LinkItem], dict[str, int]]:
        """Decode frames; each sample tells its number in the signal."""
        decoder = devices.get(self.name).decoder()
        decoder.link(LinkEvent(LinkEventKind.CONNECTED, 0))
        out: list[LinkItem] = []
        for number, shift_ns, arrival_ns in sent:
            values = number * self.count + np.arange(self.count, dtype=np.int32)
            out += decoder.feed(self._frame(number * self.frame_ns + shift_ns, values), arrival_ns)
        if end:
            out += decoder.link(LinkEvent(LinkEventKind.END, sent[-1][2]))
        return out, decoder.counters()

    def on_time(self, numbers: range | list[int], shift_ns: int = 0) -> Sent:
        """Frames that arrive when they were measured, with a little jitter."""
        return [(n, shift_ns, n * self.frame_ns + (n * 7919 % 13) * MS) for n in numbers]


POLAR = Clocked("polar_h10", 73, 130.0, lambda ns, values: polar_pmd.ecg_frame(6 * 10**17 + ns, values))
MOVESENSE = Clocked(
    "movesense",
    16,
    250.0,
    lambda ns, values: b"\x02\x02" + movesense_gsp.ecg_payload(10**8 + ns // MS, values, millivolts=True),
)
BOTH = pytest.mark.parametrize("device", [POLAR, MOVESENSE], ids=lambda d: d.name)


def blocks(items: list[LinkItem]) -> list[SampleBlock]:
    return [item for item in items if isinstance(item, SampleBlock)]


def said(items: list[LinkItem], kind: LinkEventKind) -> list[LinkEvent]:
    return [item for item in items if isinstance(item, LinkEvent) and item.kind is kind]


def numbers(items: list[LinkItem]) -> list[int]:
    return [int(v) for b in blocks(items) for v in b.samples]


def lost(items: list[LinkItem]) -> int:
    return sum(b.lost for b in blocks(items))


@BOTH
@pytest.mark.parametrize("set_s", [20.0, 1.5, 3600.0, -1.5, -20.0])
def test_a_clock_set_while_streaming_is_neither_loss_nor_signal(device: Clocked, set_s: float) -> None:
    shift_ns = round(set_s * S)
    items, counters = device.play(device.on_time(range(30)) + device.on_time(range(30, 80), shift_ns))
    assert numbers(items) == list(range(80 * device.count))
    assert lost(items) == 0
    assert counters.get("clock_sets", 0) + counters.get("restarts", 0) == 1


@pytest.mark.parametrize("set_s", [5 * 365 * 86_400, -5 * 365 * 86_400])
def test_a_polar_clock_set_by_years(set_s: int) -> None:
    items, _ = POLAR.play(POLAR.on_time(range(20)) + POLAR.on_time(range(20, 40), set_s * S))
    assert numbers(items) == list(range(40 * 73))
    assert lost(items) == 0
    steps = np.diff([b.device_time_ns or 0 for b in blocks(items)])
    assert np.abs(steps - POLAR.frame_ns).max() < MS
    (event,) = said(items, LinkEventKind.INFO)
    assert "1825 days" in event.detail
    assert ("forward" if set_s > 0 else "back") in event.detail


@BOTH
def test_frames_missing_while_the_clock_was_set_are_counted_by_their_arrival(device: Clocked) -> None:
    gone = round(3 * S / device.frame_ns)
    after = device.on_time(range(40 + gone, 100), 20 * S)
    items, _ = device.play(device.on_time(range(40)) + after)
    assert lost(items) == gone * device.count


@BOTH
def test_a_real_gap_is_still_counted_by_the_clock(device: Clocked) -> None:
    items, counters = device.play(device.on_time([*range(40), *range(47, 90)]))
    assert lost(items) == 7 * device.count
    assert "clock_sets" not in counters


@BOTH
def test_a_late_frame_is_dropped_and_counted(device: Clocked) -> None:
    sent = device.on_time([*range(20), 21])
    items, counters = device.play([*sent, (20, 0, sent[-1][2] + MS), *device.on_time(range(22, 60))])
    assert counters["late_frames"] == 1
    assert counters.get("restarts", 0) == counters.get("clock_sets", 0) == 0
    assert lost(items) == device.count
    assert numbers(items) == [v for v in range(60 * device.count) if v // device.count != 20]


@BOTH
@pytest.mark.parametrize("burst", [1, 2, 5])
def test_doubled_frames_count_once(device: Clocked, burst: int) -> None:
    sent = [f for k in range(0, 60, burst) for f in 2 * device.on_time(range(k, k + burst))]
    items, counters = device.play(sent)
    assert numbers(items) == list(range(60 * device.count))
    assert lost(items) == 0
    assert counters["repeated_frames"] == 60


@BOTH
@pytest.mark.parametrize("part", [0.27, -0.27, 0.6, -0.45])
def test_a_second_stream_is_refused_and_named(device: Clocked, part: float) -> None:
    shift_ns = round(part * device.frame_ns)
    sent = [f for n in range(60) for f in ((n, 0, n * device.frame_ns), (n, shift_ns, n * device.frame_ns + MS))]
    items, counters = device.play(sent)
    assert lost(items) == 0
    assert numbers(items) == list(range(60 * device.count))
    assert counters["second_stream_frames"] >= 57
    (event,) = said(items, LinkEventKind.REFUSED)
    assert "second ECG stream" in event.detail
    assert not said(items, LinkEventKind.RESTARTED)


@BOTH
def test_a_congested_link_is_no_set_clock(device: Clocked) -> None:
    """Frames that arrive seconds late and then all at once are the same stream."""
    sent = device.on_time(range(20))
    sent += [(n, 0, max(arrival, 60 * device.frame_ns)) for n, _, arrival in device.on_time(range(20, 100))]
    items, counters = device.play(sent)
    assert numbers(items) == list(range(100 * device.count))
    assert lost(items) == 0
    assert set(counters) <= {"data_frames", "samples", "lost_samples"}


def test_a_clock_that_stands_still_loses_nothing() -> None:
    items, _ = POLAR.play([(0, 0, 0), *((n, -n * POLAR.frame_ns, n * POLAR.frame_ns) for n in range(1, 31))])
    assert numbers(items) == list(range(31 * 73))
    assert lost(items) == 0
    assert len(said(items, LinkEventKind.INFO)) <= 3


@BOTH
def test_a_connection_that_ends_with_a_doubtful_frame(device: Clocked) -> None:
    """A frame that nothing confirms is kept only if nothing but a set clock explains it."""
    late, _ = device.play([*device.on_time([*range(20), 21]), (20, 0, 22 * device.frame_ns)])
    assert len(blocks(late)) == 21
    kept, _ = device.play([*device.on_time(range(20)), *device.on_time([20], 25 * S)])
    assert len(blocks(kept)) == 21
    assert lost(kept) == 0
