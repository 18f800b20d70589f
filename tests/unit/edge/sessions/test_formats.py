"""WFDB and EDF of devices with another clock, other steps, no steps, and no scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.sessions.ecg import Segment
from edge.sessions.formats.edf_files import write_edf
from edge.sessions.formats.wfdb_files import WfdbRecord
from edge.sessions.marks import Placed
from helpers.binary_recordings import play

START_UNIX_S = 1_795_000_000.25
TRUE_HZ = 129.935


def segment(n: int, start_s: float = 0.0, *, step: float = 0.001, unit="mV", gain: float = 1.0) -> Segment:
    """Samples of a 130 Hz device whose clock is slow."""
    values = gain * np.sin(2 * np.pi * np.arange(n) / TRUE_HZ)
    if step:
        values = np.rint(values / step) * step
    end_s = start_s + n / TRUE_HZ
    return Segment(1, 1, start_s, end_s, 130.0, unit, step, values, np.array([n], np.intp), np.array([end_s]))


@pytest.mark.parametrize("n", [1, 50, 130, 12_993, 65_537])
def test_every_length_of_edf_is_read_back_at_the_true_rate(tmp_path: Path, n: int) -> None:
    edfio = pytest.importorskip("edfio", reason="edfio is not installed (the extra test brings it)")
    one = segment(n)
    marks = [Placed(n - 1, n - 1, n - 1, "beat", ""), Placed(0, 0, n - 1, "abstention", "gap")]
    done = write_edf(tmp_path / "x.edf", one, START_UNIX_S, "polär h10", sorted(marks, key=lambda m: m.start))
    edf = edfio.read_edf(done.path)
    (signal,) = edf.signals
    assert done.exact
    # In a short segment, the nominal rate is wrong by less than half a sample.
    assert signal.sampling_frequency == pytest.approx(TRUE_HZ if n > 1000 else 130.0, rel=1e-4 if n == 1 else 3e-6)
    assert len(signal.data) == n + done.filled
    assert done.filled <= 4
    assert signal.data[:n] / 1000 == pytest.approx(one.samples, abs=1e-4)
    assert edf.starttime.microsecond == 250_000
    (beat,) = [mark for mark in edf.annotations if mark.text == "R peak"]
    assert beat.onset == pytest.approx((n - 1) / TRUE_HZ, abs=4e-3)
    assert bool(done.filled) == any("filled up" in mark.text for mark in edf.annotations)


@pytest.mark.parametrize(
    ("step", "unit", "gain"),
    [(0.001, "mV", 1.0), (1e-6, "mV", 5.0), (0.0, "mV", 1.0), (0.0, "mV", 4000.0), (1.0, "counts", 8e6)],
)
def test_wfdb_keeps_gaps_in_place_at_the_true_rate(tmp_path: Path, step: float, unit, gain: float) -> None:
    wfdb = pytest.importorskip("wfdb", reason="wfdb is not installed (the extra convert brings it)")
    gap_s = 100.0
    pieces = [segment(60_000, step=step, unit=unit, gain=gain)]
    pieces.append(segment(12_993, pieces[0].end_s + gap_s, step=step, unit=unit, gain=gain))
    record = WfdbRecord(tmp_path, "run1", 130.0, unit)
    for piece in pieces:
        assert record.fits(piece)
        record.add(piece, [Placed(100, 100, 100, "beat", ""), Placed(0, 0, 5000, "abstention", "poor_signal")])
    assert record.finish(START_UNIX_S, "a\nb") == pytest.approx(TRUE_HZ, rel=1e-9)
    read = wfdb.rdrecord(str(tmp_path / "run1"))
    assert read.fs == pytest.approx(TRUE_HZ, rel=1e-8)
    assert read.units == [unit]
    values = read.p_signal[:, 0]
    missing = np.flatnonzero(np.isnan(values))
    assert len(missing) / TRUE_HZ == pytest.approx(gap_s, abs=0.01)
    assert missing[0] == len(pieces[0].samples)
    accuracy = step / 1000 if step else max(1e-5, gain / 2**23)
    assert values[~np.isnan(values)] == pytest.approx(np.concatenate([p.samples for p in pieces]), abs=accuracy)
    assert record.exact == bool(step)
    marks = wfdb.rdann(str(tmp_path / "run1"), "atr")
    second = missing[-1] + 1
    assert marks.sample.tolist() == [1, 100, 5000, second, second + 100, second + 5000]
    assert marks.symbol == ['"', "N", '"'] * 2
    assert marks.aux_note[0] == "no estimate: poor_signal"
    # The kit's own reader takes the checksums, too.
    assert play(tmp_path / "run1.hea", "unit=counts" if unit == "counts" else "").lost == len(missing)


def test_edf_rounds_what_16_bits_cannot_hold_and_says_so(tmp_path: Path) -> None:
    edfio = pytest.importorskip("edfio", reason="edfio is not installed (the extra test brings it)")
    fine = segment(13_000, step=1e-6, gain=5.0)
    done = write_edf(tmp_path / "x.edf", fine, START_UNIX_S, "x", [])
    assert not done.exact
    data = edfio.read_edf(done.path).signals[0].data[:13_000] / 1000
    assert data == pytest.approx(fine.samples, abs=done.step)
    assert done.step < 0.0002
