"""One segment on the grid: every output has the stated time."""

from __future__ import annotations

import numpy as np
import pytest

from edge.grid.segment import Segment

S = 1_000_000_000


def wave(t_s: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * 5.0 * t_s) + 0.1 * t_s


def constant_lag_s(y: np.ndarray, t_s: np.ndarray) -> float:
    """Return the delay of the wave relative to its times; fail if it is not constant."""
    slope = np.gradient(wave(t_s), t_s)
    lag_s = float(np.sum((wave(t_s) - y) * slope) / np.sum(slope * slope))
    assert np.abs(y - wave(t_s - lag_s)).max() < 0.012
    return lag_s


def played(
    segment: Segment, fs_hz: float, sizes: list[int], *, device_zero_ns: int | None = None, true_hz: float = 0.0
):
    """Push frames of a wave; return all outputs with their times, and the start time of each push with outputs."""
    true_hz = true_hz or fs_hz
    out, times, at = [], [], 0
    for n in sizes:
        x = wave(np.arange(at, at + n) / true_hz)
        at += n
        device_ns = None if device_zero_ns is None else device_zero_ns + round((at - 1) / true_hz * S)
        samples, start_s = segment.push(x, device_ns)
        out.append(samples)
        times.append(start_s + np.arange(len(samples)) / segment._grid_hz)
    return np.concatenate(out), np.concatenate(times)


def test_samples_at_the_rate_of_the_grid_pass_unchanged() -> None:
    segment = Segment(250.0, 250, 7.0, clocked=False)
    assert segment.end_s == 7.0
    x = np.random.default_rng(0).standard_normal(30)
    first, first_s = segment.push(x[:10], None)
    assert segment.end_s == pytest.approx(7.04)
    second, second_s = segment.push(x[10:], None)
    assert np.concatenate([first, second]).tolist() == x.tolist()
    assert (first_s, second_s, segment.end_s) == (7.0, pytest.approx(7.04), pytest.approx(7.12))
    assert segment.measured_hz is None
    assert segment.clock_error_s(10, 99 * S) == 0.0


@pytest.mark.parametrize("fs_hz", [125.0, 130.0, 360.0, 1000.0])
@pytest.mark.parametrize("sizes", [[2000], [3] * 400, [1, 40, 200, 700]])
def test_without_a_clock_outputs_follow_each_other_without_a_gap(fs_hz: float, sizes: list[int]) -> None:
    segment = Segment(fs_hz, 250, 7.0, clocked=False)
    y, t_s = played(segment, fs_hz, sizes)
    assert np.abs(np.diff(t_s) - 1 / 250).max() < 1e-9
    assert np.abs(y - wave(t_s - 7.0)).max() < 2e-3
    assert segment.end_s == pytest.approx(7.0 + sum(sizes) / fs_hz)
    # The first and last outputs are half a kernel inside the samples, as close as the grid allows.
    half = segment._resampler.half
    assert t_s[0] == pytest.approx(7.0 + (half - 1) / fs_hz)
    assert 0.0 < segment.end_s - half / fs_hz - t_s[-1] <= 1 / 250 + 1 / fs_hz + 1e-9
    assert segment.measured_hz is None


@pytest.mark.parametrize("true_hz", [129.5, 130.0, 131.0])
def test_with_a_clock_outputs_have_their_device_time(true_hz: float) -> None:
    segment = Segment(130.0, 250, 7.0, clocked=True)
    y, t_s = played(segment, 130.0, [13] * 100, device_zero_ns=40 * S, true_hz=true_hz)
    assert np.abs(np.diff(t_s) - 1 / 250).max() < 1e-9
    late = t_s > 11.0
    # The first frame is placed by the nominal rate, so times may have a constant error of 2 ms.
    assert abs(constant_lag_s(y[late], t_s[late] - 7.0)) < 2e-3
    assert segment.measured_hz == pytest.approx(true_hz, rel=1e-6)
    assert segment.end_s == pytest.approx(7.0 + 1300 / true_hz, abs=2e-3)
    assert segment.clock_error_s(13, 40 * S + round(1312 / true_hz * S)) == pytest.approx(0.0, abs=1e-3)
    assert segment.clock_error_s(13, 41 * S + round(1312 / true_hz * S)) == pytest.approx(1.0, abs=1e-3)


def test_with_a_clock_first_frames_shorter_than_half_a_kernel_are_kept() -> None:
    short, whole = Segment(130.0, 250, 7.0, clocked=True), Segment(130.0, 250, 7.0, clocked=True)
    y, t_s = played(short, 130.0, [1] * 400, device_zero_ns=40 * S)
    z, u_s = played(whole, 130.0, [400], device_zero_ns=40 * S)
    assert t_s[0] == pytest.approx(u_s[0], abs=1e-6)
    assert np.abs(y - z[: len(y)]).max() < 1e-3
    assert len(z) - len(y) <= 1


def test_the_rate_of_the_grid_with_a_clock_is_resampled_too() -> None:
    segment = Segment(250.0, 250, 0.0, clocked=True)
    y, t_s = played(segment, 250.0, [25] * 100, device_zero_ns=3 * S, true_hz=249.0)
    late = t_s > 4.0
    assert abs(constant_lag_s(y[late], t_s[late])) < 2e-3
