"""Training windows are complete wherever a recording ends, and do not depend on its division into blocks."""

from __future__ import annotations

import numpy as np
import pytest

from convert.datasets.pairs import (
    CONTEXT_SAMPLES,
    GRID_HZ,
    MARGIN,
    chosen_windows,
    find_recordings,
    student_stream,
    windows_of,
)
from convert.simulate.patient import simulate_patient
from convert.simulate.write import CohortPlan, write_cohort
from firmware_bridge.samples import SampleBlock

SECONDS = 42.0


@pytest.fixture(scope="module")
def ecg_mv():
    return np.asarray(simulate_patient(5, 3, SECONDS).ecg_mv)


def blocks(samples: np.ndarray, size: int):
    for i in range(0, len(samples), size):
        part = samples[i : i + size]
        yield SampleBlock(
            samples=part, unit="mV", lsb_mv=None, fs_hz=float(GRID_HZ), device_time_ns=None,
            arrival_ns=round((i + len(part)) / GRID_HZ * 1e9),
        )  # fmt: skip


def found(samples: np.ndarray, size: int, hop_s: float = 0.104):
    return list(windows_of(blocks(samples, size), hop_s))


# The filter decimates by four, so zero to three samples at the end of a segment give no output.
@pytest.mark.parametrize("ends_at", [9000, 9001, 9002, 9003])
def test_a_window_at_the_end_of_its_segment_is_complete(ecg_mv, ends_at):
    broken = ecg_mv.copy()
    broken[ends_at : ends_at + 3] = np.nan
    whole = found(broken[: ends_at + 3], 10_000, 1 / 125)
    assert len(whole) > 100
    assert {len(w.context) for w in whole} == {CONTEXT_SAMPLES}
    assert {len(w.raw) for w in whole} == {5000}
    last = max(w.start_s for w in whole)
    assert round(last * GRID_HZ) + 5000 + MARGIN >= ends_at - 1, "the last window matters"
    for w in whole:
        begin = round(w.start_s * GRID_HZ)
        assert np.array_equal(w.raw, ecg_mv[begin : begin + 5000].astype(np.float64))
        assert len(student_stream(w.context)) == 1250
        # The values that replace missing samples do not change any window.
        other = w.context.copy()
        other[-3:] += 100.0
        assert np.array_equal(student_stream(other), student_stream(w.context))


@pytest.mark.parametrize("size", [37, 1001, 5003])
def test_the_windows_do_not_depend_on_the_blocks(ecg_mv, size):
    broken = ecg_mv[:15_001].copy()
    broken[997:1000] = np.nan
    once, again = found(broken, 10_000), found(broken, size)
    assert [w.start_s for w in again] == [w.start_s for w in once]
    for a, b in zip(once, again, strict=True):
        assert np.array_equal(a.context, b.context)


def test_every_recording_of_a_dirty_cohort_gives_complete_windows(tmp_path):
    write_cohort(CohortPlan(12, 3, 40.0, dirt=True, visits=2.0), tmp_path / "cohort")
    counts = [
        {len(w.context) for w in chosen_windows(recording, 1.0, 100)[0]}
        for recording in find_recordings(tmp_path / "cohort")
    ]
    assert set().union(*counts) == {CONTEXT_SAMPLES}
