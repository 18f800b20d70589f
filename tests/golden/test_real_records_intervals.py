"""Hand-crafted features of real recordings: rates agree with the reference beats, intervals are physiological."""

from __future__ import annotations

import numpy as np
import pytest

from edge.frontend.ecgfounder import EcgFounderFrontEnd
from edge.waves.features import NAMES, segment_features
from helpers.real_records import _read, reference_beats_s, references

N = 5000
MOST = 12
"""Segments per record, few enough for the fast tests."""


def segments(data_dir, record, lead):
    """Start of each ten-second segment, and its features by name."""
    x, fs_hz = _read(data_dir / record, record, lead)
    valid = np.flatnonzero(np.isfinite(x))
    x, zero_s = x[valid[0] : valid[-1] + 1], valid[0] / fs_hz
    t = np.arange(int((len(x) - 1) / fs_hz * 500.0)) / 500.0
    grid = np.interp(t, np.arange(len(x)) / fs_hz, x)
    starts = np.arange(0, len(grid) - N + 1, N)
    starts = starts[np.linspace(0, len(starts) - 1, min(MOST, len(starts))).astype(int)]
    front_end = EcgFounderFrontEnd()
    y = np.array([front_end.filter(grid[s : s + N]) for s in starts])
    y -= y.mean(axis=1, keepdims=True)
    sd_mv = y.std(axis=1)
    found = segment_features(y / (sd_mv[:, None] + 1e-8), sd_mv).T.astype(float)
    return starts / 500.0 + zero_s, dict(zip(NAMES, found, strict=True))


RECORDS = [
    # record, lead, reference, share of segments with a QRS, range of the median QRS, QTc and PR (None: not checked)
    ("mitdb_100", "MLII", "annotation", 0.95, (70, 105), None, (140, 210)),
    ("mitdb_100", "V5", "annotation", 0.95, (70, 105), (340, 440), (110, 170)),
    ("cinc2015_a103l", "II", "neurokit", 0.7, (70, 110), None, None),
    ("ptbdb_s0010_re", "ii", "neurokit", 0.99, (80, 150), (400, 480), (130, 190)),
    ("wfdb_mixedsignals", "II", "neurokit", 0.9, (80, 140), (370, 450), (130, 190)),
    # Medians of 157 and 452 ms: since the ends of waves follow LUDB's cardiologists, who put them later than the first
    # detector did, the ranges reach 165 and 460 ms instead of 150 and 450.
    ("cinc2017_A00027", "I", "neurokit", 0.99, (100, 165), (370, 460), None),
    ("cpsc2021_data_84_1", "II", "annotation", 0.9, (60, 100), (360, 450), None),
    ("nstdb_118e06", "ecg", "annotation", 0.1, (100, 160), None, None),
    ("nstdb_118e24", "ecg", "annotation", 0.8, (100, 160), None, None),
    ("edb_e0103", "ecg", "neurokit", 0.99, (50, 90), (330, 420), (120, 180)),
    ("detectpvc_polar_h10", "ecg", "neurokit", 0.8, (70, 110), (320, 420), (100, 150)),
]


@pytest.mark.parametrize(("record", "lead", "source", "share", "qrs", "qtc", "pr"), RECORDS)
def test_plausible(data_dir, record, lead, source, share, qrs, qtc, pr):
    starts, found = segments(data_dir, record, lead)
    assert np.isfinite(found["qrs_ms"]).mean() >= share
    for name, limits in (("qrs_ms", qrs), ("qtc_fridericia_ms", qtc), ("pr_ms", pr)):
        if limits:
            assert limits[0] <= np.nanmedian(found[name]) <= limits[1], name
    beats = reference_beats_s(data_dir, record, lead, source)
    inside = [beats[(beats > s) & (beats < s + 10.0)] for s in starts]
    rates = np.array([60.0 / np.mean(np.diff(b)) if len(b) > 3 else np.nan for b in inside])
    # Wherever a wave shape was measured the rate must be right.
    sure = np.isfinite(found["qrs_ms"]) & np.isfinite(rates)
    assert np.median(np.abs(found["hr_bpm"][sure] / rates[sure] - 1.0)) < 0.02


def test_features_of_rhythms(data_dir):
    _, af = segments(data_dir, "cpsc2021_data_84_1", "II")
    _, pvc = segments(data_dir, "detectpvc_polar_h10", "ecg")
    _, sinus = segments(data_dir, "mitdb_100", "V5")
    assert np.isnan(af["pr_ms"]).mean() > 0.7 > 0.1 > np.isnan(sinus["pr_ms"]).mean()
    assert np.median(pvc["ectopic_share"]) > 0.1 > 0.05 > np.median(sinus["ectopic_share"])
    assert np.median(af["rr_rmssd_ms"]) > 2.0 * np.median(sinus["rr_rmssd_ms"])


def test_pure_noise_gives_no_features(data_dir):
    assert references(data_dir)
    _, found = segments(data_dir, "cinc2017_A00022", "I")
    assert np.isnan(found["qrs_ms"]).all()
