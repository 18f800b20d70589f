"""Hand-crafted features of a segment: against simulated truth, in arrhythmias, and on signals without ECG."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from convert.simulate.patient import simulate_patient
from edge.frontend.ecgfounder import EcgFounderFrontEnd
from edge.waves.features import FEATURES, NAMES, segment_features
from edge.waves.mean_beat import r_peaks
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

DOCS = Path(__file__).resolve().parents[4] / "docs" / "ecg-intervals.md"
MV = [name for name in NAMES if "_mv" in name]
SHAPE = [f.name for f in FEATURES if f.name not in ("hr_bpm", "beats", "ectopic_share") and "rr_" not in f.name]
QUIET = EcgParams(rr_sd_ms=8.0, q_mv=-0.2, s_mv=-0.3)
"""Parameters with Q and S waves that remain visible after the filter."""


def segment(raw_mv):
    """Return z-score and standard deviation, as `anyecg prepare` stores them."""
    y = EcgFounderFrontEnd().filter(np.asarray(raw_mv, dtype=np.float64))
    y = y - y.mean()
    return y / (y.std() + 1e-8), y.std()


def features(*raws_mv):
    """Return the features by name, one value per segment."""
    z, sd_mv = zip(*(segment(raw) for raw in raws_mv), strict=True)
    return dict(zip(NAMES, segment_features(np.array(z), np.array(sd_mv)).T.astype(float), strict=True))


def synth(params, seed=1, seconds=10):
    return EcgSynth(params, seed).generate(500 * seconds, 500.0)


@pytest.fixture(scope="module")
def cohort():
    """Measured features and true parameters of 110 simulated patients with noise."""
    patients = [simulate_patient(11, i, 10.0) for i in range(110)]
    found = features(*(p.ecg_mv for p in patients))
    latents = [p.latents for p in patients]
    truth = {name: np.array([getattr(p, name) for p in latents], dtype=float) for name in EcgParams.__slots__}
    truth["rr_s"] = 60.0 / truth["hr_bpm"]
    truth["sinus"] = (truth["af"] == 0) & (truth["pvc_per_beat"] == 0)
    return found, truth


@pytest.mark.parametrize(
    ("name", "true", "min_r", "bias", "tolerance"),
    [
        ("hr_bpm", lambda t: t["hr_bpm"], 0.98, 0.0, 1.0),
        ("pr_ms", lambda t: np.where(t["p_mv"] < 0.05, np.nan, t["pr_ms"]), 0.90, 1.0, 5.0),
        ("qrs_ms", lambda t: t["qrs_ms"], 0.75, 2.0, 6.0),
        ("r_width_ms", lambda t: 0.24 * 1.1774 * t["qrs_ms"], 0.95, 0.0, 1.0),
        ("qt_ms", lambda t: t["qtc_ms"] * t["rr_s"] ** (1 / 3), 0.95, 8.0, 6.0),
        ("qtc_fridericia_ms", lambda t: t["qtc_ms"], 0.90, 8.0, 6.0),
        ("t_mv", lambda t: t["t_mv"], 0.93, -0.02, 0.02),
        ("t_r", lambda t: t["t_mv"] / t["r_mv"], 0.90, -0.02, 0.02),
        ("t_width_ms", lambda t: 1.1774 / 2 * t["t_ms"], 0.70, -8.0, 6.0),
        ("r_mv", lambda t: t["r_mv"], 0.98, -0.03, 0.02),
        ("s_mv", lambda t: t["s_mv"], 0.93, -0.02, 0.02),
        ("q_mv", lambda t: t["q_mv"], 0.85, 0.04, 0.02),
        # A P that is lost in the T wave before it, at 142/min, counts as 0 mV.
        ("p_mv", lambda t: t["p_mv"], 0.60, -0.01, 0.02),
    ],
)
def test_simulated_truth_is_found(cohort, name, true, min_r, bias, tolerance):
    found, truth = cohort[0][name], true(cohort[1])
    known = cohort[1]["sinus"] & np.isfinite(truth)
    both = known & np.isfinite(found)
    assert both.sum() >= 0.9 * known.sum()
    assert np.corrcoef(found[both], truth[both])[0, 1] >= min_r
    assert abs(np.median(found[both] - truth[both]) - bias) <= tolerance


def test_qt_corrections_follow_their_formulas(cohort):
    found = cohort[0]
    ok = np.isfinite(found["qt_ms"]) & (found["rr_sd_ms"] < 30)
    rr_s = found["rr_mean_ms"][ok] / 1000
    assert found["qtc_fridericia_ms"][ok] == pytest.approx(found["qt_ms"][ok] / np.cbrt(rr_s), rel=0.02)
    assert found["qtc_bazett_ms"][ok] == pytest.approx(found["qt_ms"][ok] / np.sqrt(rr_s), rel=0.02)
    assert found["jt_ms"][ok] == pytest.approx(found["qt_ms"][ok] - found["qrs_ms"][ok], abs=0.1)
    peak = found["qt_peak_ms"][ok] + found["tpeak_tend_ms"][ok]
    assert peak == pytest.approx(found["qt_ms"][ok], abs=0.1)


def test_one_wave_at_a_time():
    """A change of one parameter changes only its features."""
    base, pr, qt, wide, tall, inverted, st = (
        {k: v[0] for k, v in features(synth(p)).items()}
        for p in (
            QUIET,
            replace(QUIET, pr_ms=210.0),
            replace(QUIET, qtc_ms=470.0),
            replace(QUIET, qrs_ms=130.0),
            replace(QUIET, t_mv=0.6),
            replace(QUIET, t_mv=-0.3),
            replace(QUIET, st_mv=0.2),
        )
    )
    rr = (base["rr_mean_ms"] / 1000) ** (1 / 3)
    assert pr["pr_ms"] - base["pr_ms"] == pytest.approx(50, abs=5)
    assert qt["qt_ms"] - base["qt_ms"] == pytest.approx(60 * rr, abs=5)
    assert qt["qrs_ms"] == pytest.approx(base["qrs_ms"], abs=4)
    assert wide["qrs_ms"] - base["qrs_ms"] == pytest.approx(38, abs=12)
    assert tall["t_mv"] / base["t_mv"] == pytest.approx(2, rel=0.1)
    assert inverted["t_mv"] == pytest.approx(-0.3, abs=0.06)
    assert inverted["qt_ms"] == pytest.approx(base["qt_ms"], abs=12)
    assert st["st_mv"] > base["st_mv"] + 0.03
    assert base["ectopic_share"] == 0
    assert base["beats_used"] >= 8
    assert not [name for name, value in base.items() if not np.isfinite(value)]


def test_ratios_do_not_need_a_scale():
    z, sd_mv = segment(synth(QUIET))
    with_scale, without = segment_features(np.array([z, z]), np.array([sd_mv, np.nan]))
    for i, name in enumerate(NAMES):
        assert np.isnan(without[i]) == (name in MV), name
        assert name in MV or without[i] == with_scale[i]


def test_ratios_and_intervals_do_not_depend_on_the_gain():
    raw = simulate_patient(11, 4, 10.0).ecg_mv
    a, b = (features(raw * gain) for gain in (1.0, 4.0))
    for name in NAMES:
        factor = 4.0 if name in MV else 1.0
        assert b[name][0] == pytest.approx(factor * a[name][0], rel=1e-4, abs=1e-6, nan_ok=True), name


def test_a_segment_does_not_depend_on_other_segments():
    z, sd_mv = (
        np.array(v) for v in zip(*(segment(simulate_patient(11, i, 10.0).ecg_mv) for i in range(6)), strict=True)
    )
    together = segment_features(z, sd_mv)
    apart = np.concatenate([segment_features(z[i : i + 1], sd_mv[i : i + 1]) for i in range(6)])
    assert together.tobytes() == apart.tobytes()
    assert together.dtype == np.float32
    assert segment_features(z[:0], sd_mv[:0]).shape == (0, len(FEATURES))


def test_an_inverted_lead():
    raw = synth(QUIET)
    a, b = features(raw), features(-raw)
    assert b["t_mv"][0] == pytest.approx(-a["t_mv"][0], abs=0.05)
    for name in ("hr_bpm", "qrs_ms", "qt_ms"):
        assert b[name][0] == pytest.approx(a[name][0], abs=12), name


def test_atrial_fibrillation_has_no_pr():
    found = features(*(synth(EcgParams(af=True, f_wave_mv=0.05), seed) for seed in range(12)))
    assert np.isnan(found["pr_ms"]).mean() >= 0.9
    assert (found["p_mv"] == 0).mean() >= 0.9
    assert (found["rr_rmssd_ms"] > 60).all()
    assert np.isfinite(found["qrs_ms"]).all()
    assert (features(*(synth(QUIET, seed) for seed in range(12)))["rr_rmssd_ms"] < 60).all()


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_premature_beats_are_counted_and_left_out_of_the_average(share):
    found = features(*(synth(replace(QUIET, pvc_per_beat=share), seed) for seed in range(10)))
    usual = features(*(synth(QUIET, seed) for seed in range(10)))
    assert 0.5 * share <= np.nanmean(found["ectopic_share"]) <= 1.3 * share
    ok = np.isfinite(found["qrs_ms"])
    assert ok.sum() >= 8
    assert np.median(found["qrs_ms"][ok]) == pytest.approx(np.median(usual["qrs_ms"]), abs=8)
    assert np.median(found["t_mv"][ok]) == pytest.approx(np.median(usual["t_mv"]), abs=0.03)


def test_noise_gives_nan_or_plausible_values():
    rng = np.random.default_rng(3)
    for level_mv in (0.05, 0.3, 3.0):
        found = features(*(synth(QUIET, seed) + level_mv * rng.standard_normal(5000) for seed in range(8)))
        ok = np.isfinite(found["qt_ms"])
        if level_mv < 0.1:
            assert ok.all()
        if level_mv > 1.0:
            assert not ok.any()
        assert np.all(np.abs(found["qt_ms"][ok] - 388) < 90)
        assert np.all(np.abs(found["hr_bpm"][np.isfinite(found["qrs_ms"])] - 70) < 8)


def test_too_few_beats_give_a_rate_and_no_shape():
    slow = synth(EcgParams(hr_bpm=25.0, rr_sd_ms=5.0))
    found = features(np.concatenate([slow[:3000], np.full(2000, slow[2999])]))
    assert found["beats"][0] <= 4
    assert all(np.isnan(found[name][0]) for name in SHAPE)


TIME = np.arange(5000) / 500.0
NO_ECG = {
    "zero": np.zeros(5000),
    "constant": np.ones(5000),
    "sine": np.sin(2 * np.pi * 1.2 * TIME),
    "square": np.sign(np.sin(2 * np.pi * 1.2 * TIME)),
    "sawtooth": (1.5 * TIME) % 1.0,
    "impulses": (np.arange(5000) % 400 == 0).astype(float),
    "one impulse": (np.arange(5000) == 2500).astype(float),
    "step": (TIME > 5).astype(float),
    "fast": np.sin(2 * np.pi * 38 * TIME),
    "huge": 1e30 * np.sin(2 * np.pi * 1.2 * TIME) ** 21,
    "tiny": 1e-30 * np.sin(2 * np.pi * 1.2 * TIME) ** 21,
    "white": np.random.default_rng(0).standard_normal(5000),
    "quiet half": np.where(TIME < 5, np.random.default_rng(1).standard_normal(5000), 0.0),
    "not a number": np.where(TIME < 5, np.nan, 0.0),
    "infinite": np.where(TIME < 5, np.inf, 0.0),
}


@pytest.mark.parametrize("name", NO_ECG)
def test_signals_without_ecg_neither_warn_nor_fail(name):
    for x in (NO_ECG[name], -NO_ECG[name]):
        found = segment_features(x[None], np.array([0.2]))
        assert not np.isinf(found).any()
    if name in ("zero", "constant", "one impulse", "not a number", "infinite"):
        assert np.isnan(found[0][[NAMES.index(n) for n in SHAPE]]).all()


@settings(max_examples=25, deadline=None)
@given(
    hnp.arrays(np.float64, (125,), elements=st.floats(-8, 8, allow_subnormal=False)),
    st.integers(1, 40),
    st.floats(0, 2),
)
def test_any_signal_gives_plausible_numbers_or_none(shape, repeat, noise):
    x = np.resize(np.repeat(shape, repeat), 5000) + noise * np.sin(np.arange(5000) ** 1.5)
    found = dict(zip(NAMES, segment_features(x[None], np.array([1.0]))[0], strict=True))
    assert not [k for k, v in found.items() if np.isinf(v)]
    for name, low, high in (("qrs_ms", 20, 320), ("qt_ms", 60, 900), ("pr_ms", 10, 460), ("hr_bpm", 6, 400)):
        assert np.isnan(found[name]) or low <= found[name] <= high, name


def test_r_peaks_match_the_simulator():
    p = simulate_patient(11, 2, 10.0)
    source = EcgSynth(p.latents, (11 * 1_000_003 + 2) * 8)
    source.generate(5000, 500.0)
    truth = [b.r_time_s for b in source.take_beats() if 0.3 < b.r_time_s < 9.6]
    found = r_peaks(segment(p.ecg_mv)[0]) / 500.0
    assert all(np.abs(found - t).min() < 0.01 for t in truth)
    assert len(found) <= len(truth) + 2


def test_the_page_lists_every_feature():
    text = DOCS.read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in text] == []
