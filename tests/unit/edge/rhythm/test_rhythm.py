"""The rhythm of simulated windows, of a record of atrial fibrillation, and of the last minutes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from edge.rhythm import minutes
from edge.rhythm.minutes import RhythmMeter
from edge.rhythm.record import rhythm_dict, rhythm_from
from edge.rhythm.window import WindowRhythm, judge_window
from edge.waves.measure import WaveMeter
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

FS_HZ = 250
SINUS = EcgParams(rr_sd_ms=25.0)
AF = EcgParams(af=True, f_wave_mv=0.04)


def judged(params, seed=1, spikes_mv=0.0):
    """Return the rhythm of ten seconds, and how many of its beats are truly ectopic."""
    synth = EcgSynth(params, seed)
    raw = synth.generate(10 * FS_HZ, float(FS_HZ))
    found = [b for b in synth.take_beats() if 0.1 < b.r_time_s < 9.9]
    for beat in found:
        raw[round((beat.r_time_s - 0.12) * FS_HZ)] += spikes_mv
    meter = WaveMeter(FS_HZ)
    beats = np.array([round(b.r_time_s * 125.0) for b in found], dtype=np.int64)
    meter.measure(raw, beats, scale_known=True)
    return judge_window(meter.beat, meter.found, meter.above_40_hz, beats * 2), sum(b.kind == "V" for b in found)


def test_sinus_rhythm_and_atrial_fibrillation():
    sinus = [judged(SINUS, seed)[0] for seed in range(12)]
    af = [judged(AF, seed)[0] for seed in range(12)]
    assert [w.name for w in sinus] == ["sinus"] * 12
    assert sum(w.name == "af_or_flutter" for w in af) >= 10
    assert not any(w.name == "sinus" for w in af)
    assert max(w.irregularity for w in sinus) < 0.10 < np.median([w.irregularity for w in af])


def test_a_regular_rhythm_without_p_is_not_named():
    found, _ = judged(replace(SINUS, p_mv=0.0, rr_sd_ms=5.0))
    assert found.name == "undetermined"


def test_a_spike_before_every_qrs_is_a_pacemaker():
    found, _ = judged(replace(SINUS, p_mv=0.0, qrs_ms=150.0), spikes_mv=1.5)
    assert found.name == "paced"


def test_ectopic_beats_are_counted():
    seen = [judged(replace(SINUS, pvc_per_beat=0.2), seed) for seed in range(12)]
    assert sum(true for _, true in seen) > 15
    found = sum(int(w.ectopic.sum()) for w, _ in seen)
    assert 0.6 <= found / sum(true for _, true in seen) <= 1.1  # beats at the ends of a window are not judged
    assert all(w.ectopic.sum() <= true for w, true in seen)
    assert sum(int(judged(SINUS, seed)[0].ectopic.sum()) for seed in range(12)) == 0


def test_without_an_average_beat_nothing_is_claimed():
    found = judge_window(None, None, np.zeros(2500), np.array([100, 900]))
    assert (found.name, found.irregularity, len(found.beats)) == ("undetermined", None, 0)
    assert found.rr_s == pytest.approx([3.2])


def window(name="sinus", ectopic=(), rr_s=1.0, n=9):
    peaks = np.rint(np.arange(n + 1) * rr_s * 250 + 100).astype(np.int64)
    return WindowRhythm(name, 0.02, peaks[:-1], np.isin(np.arange(n), ectopic), peaks)


def test_overlapping_windows_count_each_beat_once():
    meter = RhythmMeter()
    for i in range(30):
        # One beat a second, of which every tenth is ectopic, seen through windows that move by a second.
        ectopic = [k for k in range(9) if (i + k) % 10 == 0]
        found = meter.take(float(i), i + 10.0, window(ectopic=ectopic))
    assert found.minutes.beats == 38
    assert found.minutes.ectopic_share == pytest.approx(4 / 38)
    assert (found.minutes.couplets, found.minutes.pauses, found.minutes.name) == (0, 0, "sinus")


def test_the_last_minutes_forget():
    meter = RhythmMeter()
    for i in range(10):
        meter.take(10.0 * i, 10.0 * i + 10.0, window("af_or_flutter"))
    assert meter.take(100.0, 110.0, window()).minutes.af_share == pytest.approx(10 / 11)
    for i in range(30):
        found = meter.take(110.0 + 10.0 * i, 120.0 + 10.0 * i, window())
    assert (found.minutes.af_share, found.minutes.windows) == (0.0, 30)
    assert meter.refused(1000.0).minutes.name == "unreadable"


def test_couplets_bigeminy_and_pauses():
    meter = RhythmMeter()
    pair = meter.take(0.0, 10.0, window(ectopic=(3, 4)))
    assert (pair.couplets, pair.bigeminy, pair.minutes.couplets) == (1, False, 1)
    every_second = meter.take(20.0, 30.0, window(ectopic=(1, 3, 5, 7)))
    assert (every_second.couplets, every_second.bigeminy) == (0, True)
    slow = meter.take(40.0, 50.0, window(rr_s=2.4, n=4))
    assert (slow.pauses, slow.longest_rr_ms) == (4, pytest.approx(2400.0))


@pytest.mark.parametrize("most", [3000, 12])
def test_running_counts_are_those_of_all_windows_and_beats_that_are_held(monkeypatch, most):
    monkeypatch.setattr(minutes, "MAX_WINDOWS", most)
    monkeypatch.setattr(minutes, "MAX_BEATS", 4 * most)
    rng, meter, at_s = np.random.default_rng(3), RhythmMeter(), 0.0
    windows, beats = [], []
    for _ in range(400):
        at_s += float(rng.choice([1.0, 4.0, 90.0], p=[0.6, 0.38, 0.02]))
        name = str(rng.choice(["sinus", "af_or_flutter", "paced", "undetermined"]))
        seen = window(name, ectopic=np.flatnonzero(rng.random(9) < 0.4), rr_s=float(rng.uniform(0.6, 2.6)))
        found = meter.take(at_s, at_s + 10.0, seen).minutes
        windows = [*(w for w in windows if w[0] > at_s + 10.0 - 300.0), (at_s + 10.0, name)][-most:]
        beats = [b for b in beats if b[0] > at_s + 10.0 - 300.0]
        newest_s = beats[-1][0] if beats else -np.inf
        new = [(at_s + k / 250.0, bool(e)) for k, e in zip(seen.beats, seen.ectopic, strict=True)]
        beats = [*beats, *(b for b in new if b[0] > newest_s + 0.1)][-4 * most :]
        known = [n for _end_s, n in windows if n != "undetermined"]
        assert found.windows == len(windows)
        assert found.af_share == (known.count("af_or_flutter") / len(known) if known else None)
        assert found.name == (max((known.count(n), n) for n in set(known))[1] if known else "undetermined")
        assert (found.beats, found.ectopic_share) == (len(beats), sum(e for _t, e in beats) / len(beats))
        assert found.couplets == sum(a[1] and b[1] and b[0] - a[0] < 2.5 for a, b in pairwise(beats))


def test_overlapping_windows_count_each_pause_once():
    meter = RhythmMeter()
    # Beats every second, with a pause of three seconds every eight.
    peaks_s = np.cumsum(np.tile([3.0, 1.0, 1.0, 1.0, 1.0, 1.0], 10))
    for i in range(71):
        inside = peaks_s[(peaks_s > i) & (peaks_s < i + 10.0)]
        peaks = np.rint((inside - i) * 250.0).astype(np.int64)
        found = meter.take(
            float(i), i + 10.0, WindowRhythm("sinus", 0.02, peaks, np.zeros(len(peaks), dtype=bool), peaks)
        )
    assert found.minutes.pauses == 9  # that before the first beat has no begin


def test_a_rhythm_is_read_as_it_is_written():
    meter = RhythmMeter()
    for found in (meter.take(0.0, 10.0, window(ectopic=(2,))), meter.refused(11.0)):
        written = rhythm_dict(found)
        assert rhythm_dict(rhythm_from(written)) == written
    assert rhythm_from(None) is None


@pytest.mark.parametrize(
    "wrong", [{"name": "vt"}, {"couplets": -1}, {"bigeminy": 1}, {"irregularity": "x"}, {"longest_rr_ms": float("nan")}]
)
def test_a_wrong_value_is_refused(wrong):
    with pytest.raises((TypeError, ValueError)):
        rhythm_from(rhythm_dict(RhythmMeter().take(0.0, 10.0, window())) | wrong)
