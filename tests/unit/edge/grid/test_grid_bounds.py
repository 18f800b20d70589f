"""Bounds of the grid's parts by hand: the kernel, positions within a frame, the measured rate, a lost clock."""

from __future__ import annotations

import numpy as np
import pytest

from edge.grid.clock import SampleClock
from edge.grid.resample import PHASES, Resampler, kernel_table
from edge.grid.segment import Segment
from edge.grid.timeline import Gap, Timeline, Uniform
from firmware_bridge.samples import SampleBlock

S = 10**9


@pytest.mark.parametrize(
    ("fs_in_hz", "fs_out_hz", "half"), [(125.0, 250.0, 9), (250.0, 250.0, 9), (500.0, 250.0, 18), (1000.0, 250.0, 35)]
)
def test_the_kernel_is_as_long_as_the_lower_rate_asks(fs_in_hz: float, fs_out_hz: float, half: int) -> None:
    """Eight zero crossings of a sinc whose cut-off is 0.46 of the lower rate: 8.7 samples of it."""
    table, found = kernel_table(fs_in_hz, fs_out_hz)
    assert (found, table.shape) == (half, (513, 2 * half))


@pytest.mark.parametrize("phase", [0.0, 0.25, 1.0, 510.5, 511.0, 511.5])
def test_between_two_rows_of_the_table_lies_a_line(phase: float) -> None:
    table, half = kernel_table(125.0, 250.0)
    resampler = Resampler(125.0, 250.0)
    samples = np.random.default_rng(0).standard_normal(40)
    (out,) = resampler.push(samples, np.array([20 + phase / PHASES]))
    row = int(phase)
    weights = table[row] + (phase - row) * (table[row + 1] - table[row])
    assert out == pytest.approx(float(weights @ samples[20 - half + 1 : 20 + half + 1]), rel=1e-12)


def test_positions_lie_within_their_frame_and_leave_none_out() -> None:
    segment = Segment(130.0, 250, 0.0, clocked=True)
    count, newest = 0, -1.0
    for k, n in enumerate([13, 1, 40, 7, 25, 13, 13]):
        count += n
        at = segment._clocked_positions(n, 5 * S + round((count - 1) / 130.0 * S) + (k % 2) * 100_000)
        assert len(at) > 0 or count < 12
        assert at.max(initial=newest) <= count - 1 + 1e-9
        assert at.max(initial=newest) > count - 1 - 130.0 / 250.0 * 1.1
        assert at.min(initial=np.inf) > newest
        newest = at.max(initial=newest)


def test_the_rate_is_measured_from_the_second_frame_on() -> None:
    clock = SampleClock(130.0)
    assert clock.measured_hz is None
    clock.start(7 * S)
    assert clock.measured_hz is None
    clock.advance(1, 7 * S + 4_000_000)
    assert clock.measured_hz == 250.0
    clock.advance(24, 7 * S + 100_000_000)
    assert clock.measured_hz == 250.0
    still = SampleClock(130.0)
    still.start(7 * S)
    still.advance(25, 7 * S)
    assert still.measured_hz is None


def test_a_clock_that_jumps_while_a_lead_is_off_leaves_the_gap_to_the_host() -> None:
    def block(device_s: float, arrival_s: float, *, lead_off: bool = False) -> SampleBlock:
        samples = np.zeros(250, np.int32)
        device_ns, arrival_ns = round(device_s * S), round(arrival_s * S)
        return SampleBlock(samples, "counts", 0.001, 250.0, device_ns, arrival_ns, lead_off=lead_off)

    for device_s in (3.0, 10**7):
        timeline = Timeline(250)
        timeline.push(block(101.0, 1.0))
        assert timeline.push(block(102.0, 2.0, lead_off=True)) == [Gap(1.0, 2.0, "lead_off")]
        gap, samples = timeline.push(block(device_s, 7.5))
        assert gap == Gap(2.0, pytest.approx(6.5), "gap")
        assert isinstance(samples, Uniform)
        assert timeline.end_s == pytest.approx(7.5)
        (more,) = timeline.push(block(device_s + 1.0, 8.5))
        assert isinstance(more, Uniform)
        assert timeline.end_s == pytest.approx(8.5)
