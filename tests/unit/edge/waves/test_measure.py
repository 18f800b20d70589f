"""Waves of a window on the device: values, reasons, and what the pass band of a device allows."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from edge.waves.measure import WaveMeter, band_of, st_reason
from edge.waves.path import wave_path
from edge.waves.record import DIGITS, WAVE_REASONS, WaveRecord, waves_dict, waves_from
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

CLEAR = EcgParams(rr_sd_ms=8.0, q_mv=-0.1, s_mv=-0.3)
FS_HZ = 250


def window(params=CLEAR, seed=1, add=None):
    """Return ten seconds and the true R peaks as indices at 125 Hz."""
    synth = EcgSynth(params, seed)
    raw = synth.generate(10 * FS_HZ, float(FS_HZ))
    beats = [round(b.r_time_s * 125.0) for b in synth.take_beats() if 0.1 < b.r_time_s < 9.9]
    return (raw if add is None else raw + add), np.array(beats, dtype=np.int64)


def measured(params=CLEAR, *, add=None, scale_known=True, st=None):
    meter = WaveMeter(FS_HZ)
    meter.st_reason = st
    return meter.measure(*window(params, add=add), scale_known=scale_known)


def test_a_clear_beat_has_every_value():
    found = measured()
    assert dict(found.missing) == {}
    assert all(getattr(found, f.name) is not None for f in fields(found))
    assert found.pr_ms == pytest.approx(CLEAR.pr_ms, abs=12)
    assert found.qrs_ms == pytest.approx(CLEAR.qrs_ms, abs=12)
    assert found.qt_ms == pytest.approx(CLEAR.qtc_ms * (found.rr_ms / 1000) ** (1 / 3), abs=20)
    assert found.qtc_fridericia_ms == pytest.approx(found.qt_ms / (found.rr_ms / 1000) ** (1 / 3), abs=0.1)
    assert found.qtc_bazett_ms == pytest.approx(found.qt_ms / (found.rr_ms / 1000) ** 0.5, abs=0.1)
    assert found.jt_ms == pytest.approx(found.qt_ms - found.qrs_ms, abs=0.1)
    assert found.t_mv == pytest.approx(CLEAR.t_mv, abs=0.05)


@pytest.mark.parametrize("change_mv", [-0.2, 0.2])
def test_st_is_not_bent(change_mv):
    before, after = measured(), measured(replace(CLEAR, st_mv=change_mv))
    assert after.st_mv - before.st_mv == pytest.approx(change_mv, abs=0.06)
    assert after.t_mv - before.t_mv == pytest.approx(0.0, abs=0.06)


def test_a_wandering_baseline_and_hum_change_little():
    t = np.arange(10 * FS_HZ) / FS_HZ
    add = 0.5 * np.sin(2 * np.pi * 0.2 * t) + 3.0 + 0.05 * np.sin(2 * np.pi * 50.0 * t)
    quiet, found = measured(), measured(add=add)
    for name, tolerance in (("pr_ms", 8), ("qrs_ms", 8), ("qt_ms", 12), ("st_mv", 0.05), ("t_mv", 0.05)):
        assert getattr(found, name) == pytest.approx(getattr(quiet, name), abs=tolerance), name


def test_the_wave_path_has_linear_phase():
    """An impulse comes out symmetric about itself, so no wave moves against another."""
    for grid_hz in (250, 500):
        x = np.zeros(10 * grid_hz)
        x[5 * grid_hz] = 1.0
        y = wave_path(x, grid_hz)
        assert len(y) == 2500
        assert np.abs(y[1250:1300] - y[1250:1200:-1]).max() < 1e-12
        assert wave_path(np.ones(10 * grid_hz), grid_hz) == pytest.approx(np.ones(2500))


def test_missing_waves_have_reasons():
    assert measured(EcgParams(af=True, f_wave_mv=0.05)).missing == {"p": "absent"}
    assert measured(EcgParams(af=True, f_wave_mv=0.05)).pr_ms is None
    assert measured(replace(CLEAR, t_mv=0.0, u_mv=0.0)).missing.get("t") in {"flat", "unclear"}
    raw, beats = window()
    few = WaveMeter(FS_HZ).measure(raw, beats[:2], scale_known=True)
    assert (few.beats, few.qrs_ms, dict(few.missing)) == (0, None, {"beat": "few_beats"})


def test_without_a_scale_there_are_no_millivolts():
    found = measured(scale_known=False)
    assert found.missing == {"mv": "scale_unknown"}
    assert found.qt_ms == measured().qt_ms
    assert all((getattr(found, name) is None) == ("_mv" in name) for name in DIGITS)


@pytest.mark.parametrize(
    ("band", "is_device", "reason"),
    [
        ((0.7, 40.0), True, "band"),
        ((0.05, 100.0), True, None),
        (None, True, "band_unknown"),
        (None, False, None),
    ],
)
def test_st_needs_a_low_pass_band(band, is_device, reason):
    assert st_reason(band, is_device=is_device) == reason
    found = measured(st=reason)
    assert found.missing.get("st") == reason
    assert (found.st_mv is None) == (found.st_slope_mv_s is None) == (reason is not None)
    assert found.t_mv is not None


@pytest.mark.parametrize("stated", [None, [0.05], [0.05, math.nan], ["a", 1], "ab", [None, 40], 3])
def test_a_strange_band_counts_as_unknown(stated):
    assert band_of(stated) is None
    assert band_of([0.05, 40]) == (0.05, 40.0)


def test_waves_are_read_as_they_are_written():
    for found in (measured(), measured(EcgParams(af=True)), WaveRecord(missing={"beat": "few_beats"})):
        written = waves_dict(found)
        read = waves_from(written)
        assert waves_dict(read) == written
        assert list(written) == ["beats", *DIGITS, "missing"]
        assert all(
            isinstance(written[name], int) for name in DIGITS if name.endswith("_ms") and written[name] is not None
        )
    assert waves_from(None) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"pr_ms": "1"},
        {"pr_ms": True},
        {"beats": 1.5},
        {"missing": {"p": "lost"}},
        {"missing": {"x": "flat"}},
        {"qt_ms": 10**400},
        {"t_mv": math.nan},
        {"beats": -1},
    ],
)
def test_a_wrong_kind_is_refused(wrong):
    with pytest.raises((TypeError, ValueError)):
        waves_from(waves_dict(measured()) | wrong)


def test_every_reason_is_explained():
    from edge.sessions.waves_view import WHY

    assert set(WHY) == set(WAVE_REASONS)
