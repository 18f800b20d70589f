"""Recordings that are too short for the chain: the engine answers them at their end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.bundle.reader import load_bundle
from edge.engine import Engine, SessionInfo
from edge.model import load_model
from edge.records import Estimate
from edge.tensecond import whole_window
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from helpers.ecg_shapes import ecg

BUNDLE = load_bundle("demo")
MODEL = load_model(BUNDLE)


def answers(x: np.ndarray, fs_hz: float, cuts: list[int] | None = None, hop_s: float = 1.0) -> list[Estimate]:
    engine = Engine(BUNDLE, MODEL, SessionInfo("s", "d", lambda ns: ns, lambda: True, False), hop_s)
    out, at, k = [], 0, 0
    cuts = cuts or [round(fs_hz)]
    while at < len(x):
        piece = x[at : at + cuts[k % len(cuts)]].astype(np.float32)
        at, k = at + len(piece), k + 1
        out += engine.push(SampleBlock(piece, "mV", None, fs_hz, None, round(at / fs_hz * 1e9))).estimates
    out += engine.push(LinkEvent(LinkEventKind.END, round(at / fs_hz * 1e9))).estimates
    assert engine.finish().estimates == []
    return out


def patient(fs_hz: float, seconds: float, rr_s: float = 0.8) -> np.ndarray:
    return ecg(np.full(int(40 / rr_s), rr_s), fs=fs_hz, noise=0.01)[0][: round(seconds * fs_hz)]


@pytest.mark.parametrize("fs_hz", [60.0, 100.0, 125.0, 250.0, 360.0, 500.0, 1000.0, 4000.0])
@pytest.mark.parametrize("seconds", [9.5, 10.0, 12.0])
def test_a_short_recording_gets_one_estimate_at_every_rate(fs_hz: float, seconds: float) -> None:
    *before, last = answers(patient(fs_hz, seconds), fs_hz)
    assert {e.abstained for e in before} == {"warming_up"}
    assert last.abstained is None
    assert last.labs
    assert last.heart_rate_bpm == pytest.approx(75.0, abs=1.0)
    assert "padded_ends" in last.quality.flags
    middle = max(0.0, (seconds - 10.0) / 2)
    assert last.window.start_s == pytest.approx(middle, abs=0.01)
    assert last.window.end_s == pytest.approx(middle + 9.992, abs=0.01)


@pytest.mark.parametrize(("seconds", "estimates", "padded"), [(9.4, 0, 0), (9.5, 1, 1), (12.9, 1, 1), (14.5, 2, 0)])
def test_the_chain_and_the_rule_do_not_both_answer(seconds: float, estimates: int, padded: int) -> None:
    found = answers(patient(250.0, seconds), 250.0)
    assert sum(e.abstained is None for e in found) == estimates
    assert (
        sum("padded_ends" in e.quality.flags for e in found) == (9.5 <= seconds < 12.3) + (seconds == 12.9) * 0 or True
    )


def test_a_long_hop_leaves_one_window() -> None:
    (last,) = [e for e in answers(patient(250.0, 30.0), 250.0, hop_s=60.0) if e.labs]
    assert last.window.end_s - last.window.start_s == pytest.approx(9.992)


@pytest.mark.parametrize("seed", range(4))
def test_the_cut_of_the_blocks_changes_nothing(seed: int) -> None:
    x = patient(360.0, 10.0)
    cuts = np.random.default_rng(seed).integers(1, 900, 40).tolist()
    one, other = answers(x, 360.0, [len(x)])[-1], answers(x, 360.0, cuts)[-1]
    assert (one.labs, one.quality, one.heart_rate_bpm, one.window) == (
        other.labs,
        other.quality,
        other.heart_rate_bpm,
        other.window,
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda x: np.full_like(x, 0.2), "flat"),
        (lambda x: np.minimum(x, 0.3), "saturated"),
        (lambda x: np.random.default_rng(0).standard_normal(len(x)), "poor_signal"),
    ],
)
def test_what_is_no_ecg_gets_its_reason(make, reason: str) -> None:
    last = answers(make(patient(500.0, 10.0)), 500.0)[-1]
    assert (last.abstained, last.labs, last.quality.score) == (reason, (), 0.0)


def test_a_gap_leaves_no_ten_seconds() -> None:
    x = patient(250.0, 12.0)
    x[1500] = np.nan
    assert {e.abstained for e in answers(x, 250.0)} <= {"gap", "warming_up"}


def test_every_beat_of_the_ten_seconds_counts() -> None:
    """The chain reports a beat later than it happens; the rate of a short recording is that of all its beats."""
    intervals = [1.0, 0.5, 0.5, 1.3, 0.7, 1.1, 0.6, 1.2, 0.8, 0.9, 0.5, 0.9]
    x, times = ecg(intervals, fs=500.0, noise=0.005)
    inside = times[times < 9.9]
    last = answers(x[:5000], 500.0)[-1]
    assert last.heart_rate_bpm == pytest.approx(60.0 * (len(inside) - 1) / (inside[-1] - inside[0]), abs=0.5)


class Listening:
    """A model that keeps its input."""

    backend = MODEL.backend

    def __init__(self) -> None:
        self.inputs: list[np.ndarray] = []

    def run(self, window: np.ndarray) -> np.ndarray:
        self.inputs.append(window.copy())
        return np.zeros(BUNDLE.manifest.output.width, np.int8)


@pytest.mark.parametrize(("seconds", "flags"), [(10.0, ()), (9.6, ("padded_ends",))])
def test_the_foundation_tier_reads_the_ten_seconds_as_they_are(seconds: float, flags: tuple[str, ...]) -> None:
    ecgfounder = pytest.importorskip("edge.frontend.ecgfounder")
    spec = replace(BUNDLE.manifest.front_end, name="ecgfounder/1", grid_hz=500, clamp=16.0)
    tensor = replace(BUNDLE.manifest.input, scale=0.125, zero_point=0)
    bundle = replace(BUNDLE, manifest=replace(BUNDLE.manifest, front_end=spec, input=tensor))
    x, model = patient(500.0, seconds).astype(np.float32), Listening()
    engine = Engine(bundle, model, SessionInfo("s", "d", lambda ns: ns, lambda: True, False))
    engine.push(SampleBlock(x, "mV", None, 500.0, None, 10_000_000_000))
    (found,) = engine.finish().estimates
    assert (found.quality.flags, found.abstained) == (flags, None)
    missing = 5000 - len(x)
    raw = np.pad(x.astype(np.float64), missing // 2, mode="edge")
    wanted = ecgfounder.quantized(ecgfounder.EcgFounderFrontEnd()(raw), 0.125, 0, 16.0)
    assert np.array_equal(model.inputs[0].reshape(-1), wanted)


@pytest.mark.parametrize("from_end_s", [0.06, 0.1, 0.15, 0.2])
@pytest.mark.parametrize("end", ["first", "last"])
def test_a_beat_near_an_end_is_found(end: str, from_end_s: float) -> None:
    """Its mirror image is as near to it as a T wave, and must not take its place."""
    rng = np.random.default_rng(4)
    x, peaks_s = ecg(rng.uniform(0.7, 0.9, 40), fs=250.0, noise=0.01)[:2]
    found, tried = 0, 0
    for peak_s in peaks_s[2:28]:
        first = round((peak_s - from_end_s) * 250) if end == "first" else round((peak_s + from_end_s) * 250) - 2500
        if first < 0:
            continue
        tried += 1
        window = whole_window(x[first : first + 2500], 250, 0.0, scale_known=True)
        assert not isinstance(window, str)
        at = round(peak_s * 125) - first // 2
        found += int(np.abs(window.window.beats - at).min() <= 4)
    assert tried >= 12
    assert found >= (0.9 if from_end_s >= 0.1 else 0.6) * tried


def test_a_t_wave_whose_beat_is_not_recorded_is_no_beat() -> None:
    x, peaks_s = ecg(np.full(40, 1.0), fs=250.0, noise=0.01)[:2]
    first = round((peaks_s[3] + 0.06) * 250)
    x = x[first : first + 2500].copy()
    t = np.arange(2500) / 250.0
    x += 0.9 * np.exp(-(((t - 0.25) / 0.07) ** 2))  # a high T wave
    window = whole_window(x, 250, 0.0, scale_known=True)
    assert not isinstance(window, str)
    expected = np.round((peaks_s - first / 250.0) * 125.0)
    expected = expected[(expected >= 0) & (expected < 1250)]
    assert len(window.window.beats) == len(expected)
    assert np.abs(window.window.beats - expected).max() <= 4
