"""The stages between grid and window, each compared with itself run alone."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from edge.beats.detector import RPeakDetector
from edge.chain import SignalChain
from edge.frontend.stream import GROUP_DELAY_S, StreamFilter
from edge.grid.timeline import Gap, Uniform
from edge.quality.gate import QualityGate
from edge.window import NoWindow, Window
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

GRIDS = pytest.mark.parametrize("grid_hz", [250, 500])


def ecg(seconds: float, grid_hz: int) -> np.ndarray:
    return EcgSynth(EcgParams(), 3).generate(round(seconds * grid_hz), float(grid_hz))


def parts(samples: np.ndarray, size: int, grid_hz: int, start_s: float = 0.0) -> list[Uniform]:
    """Pieces of one segment."""
    firsts = range(0, len(samples), size)
    return [Uniform(start_s + i / grid_hz, samples[i : i + size], i == 0, True) for i in firsts]


@GRIDS
def test_signal_and_beats_are_those_of_filter_and_detector(grid_hz: int) -> None:
    samples = ecg(15.0, grid_hz)
    stream = StreamFilter(grid_hz).push(samples)
    beats = RPeakDetector(125.0).push(stream)
    chain = SignalChain(grid_hz, 1.0)
    shown: list[tuple[float, np.ndarray]] = []
    beats_s: list[float] = []
    for part in parts(samples, 177, grid_hz, start_s=40.0):
        list(chain.push(part))
        beats_s += chain.beats_s
        if chain.signal is not None:
            assert chain.signal[0] == pytest.approx(40.0 + GROUP_DELAY_S + sum(len(x) for _, x in shown) / 125.0)
            shown.append(chain.signal)
    assert np.concatenate([x for _, x in shown]) == pytest.approx(stream, abs=1e-12)
    assert (chain.zero_s, chain.count) == (40.0 + GROUP_DELAY_S, len(stream))
    assert len(beats) >= 8
    assert beats_s == pytest.approx([40.0 + GROUP_DELAY_S + b / 125.0 for b in beats])


@GRIDS
def test_a_new_segment_starts_every_stage_anew(grid_hz: int) -> None:
    chain, alone = SignalChain(grid_hz, 1.0), SignalChain(grid_hz, 1.0)
    list(chain.push(Uniform(0.0, 5.0 - ecg(9.0, grid_hz), True, False)))
    assert chain.count > 0
    list(chain.push(Uniform(20.0, ecg(0.5, grid_hz), True, True)))
    assert (chain.zero_s, chain.count, chain.signal, chain.beats_s) == (20.0 + GROUP_DELAY_S, 0, None, [])
    samples = ecg(14.0, grid_hz)
    again = [a for a in chain.push(Uniform(30.0, samples, True, True)) if isinstance(a, Window)]
    fresh = [a for a in alone.push(Uniform(30.0, samples, True, True)) if isinstance(a, Window)]
    assert chain.signal is not None
    assert alone.signal is not None
    assert np.array_equal(chain.signal[1], alone.signal[1])
    assert chain.beats_s == alone.beats_s != []
    assert [w.end_s for w in again] == [w.end_s for w in fresh] != []
    assert all(w.scale_known for w in again)


def test_nothing_shows_before_the_filter_is_filled_nor_without_samples() -> None:
    chain = SignalChain(250, 1.0)
    assert (chain.zero_s, chain.count, chain.signal, chain.beats_s, chain.spent_ms) == (0.0, 0, None, [], 0.0)
    first, second = parts(ecg(2.228, 250)[:557], 555, 250)
    assert list(chain.push(first)) == [NoWindow(1.0, "warming_up")]
    assert chain.signal is None
    list(chain.push(second))
    assert chain.signal is not None
    assert (chain.signal[0], len(chain.signal[1])) == (GROUP_DELAY_S, 1)
    list(chain.push(Uniform(2.228, np.empty(0), False, True)))
    assert chain.signal is None


@GRIDS
def test_hops_before_the_first_filtered_sample_are_answered_when_their_time_has_passed(grid_hz: int) -> None:
    """The hop at 1 s lies before the stream; the stream's newest sample lags by the filter's delay."""
    chain = SignalChain(grid_hz, 1.0)
    samples = ecg(2.3, grid_hz)
    # At the very moment of the first filtered sample that sample answers.
    assert list(SignalChain(grid_hz, 1.0).push(Uniform(0.0, samples[: round(2.224 * grid_hz)], True, True))) == []
    before = round(2.112 * grid_hz) - 1
    assert list(chain.push(Uniform(0.0, samples[:before], True, True))) == []
    after = Uniform(before / grid_hz, samples[before : before + 2], False, True)
    assert list(chain.push(after)) == [NoWindow(1.0, "warming_up")]


def test_a_window_does_not_depend_on_the_cut_and_sees_no_later_beat() -> None:
    samples = ecg(16.0, 250)

    def windows(size: int) -> list[tuple[float, list[int], bytes, bytes]]:
        chain = SignalChain(250, 0.8)
        answers = [a for part in parts(samples, size, 250) for a in _copied(chain, part)]
        assert len(answers) >= 4
        return answers

    assert windows(33) == windows(1000) == windows(len(samples))


def _copied(chain: SignalChain, part: Uniform) -> list[tuple[float, list[int], bytes, bytes]]:
    """Windows as copies: their arrays are valid until the next answer only."""
    answers = (a for a in chain.push(part) if isinstance(a, Window))
    return [(a.end_s, a.beats.tolist(), a.filtered.tobytes(), a.raw.tobytes()) for a in answers]


def test_gaps_and_silence_are_answered_with_their_reason() -> None:
    chain = SignalChain(250, 1.0)
    assert chain.gap(Gap(0.5, 2.5, "lead_off")) == [NoWindow(1.0, "lead_off"), NoWindow(2.0, "lead_off")]
    assert chain.miss_until(3.0, "stalled") == [NoWindow(3.0, "stalled")]
    assert chain.miss_until(4.0, None) == [NoWindow(4.0, "lead_off")]
    assert chain.miss_until(4.5, "stalled") == []


@pytest.mark.parametrize("scale_known", [True, False])
@GRIDS
def test_a_window_is_judged_with_the_rate_of_its_grid(grid_hz: int, scale_known: bool) -> None:
    chain = SignalChain(grid_hz, 1.0)
    tiny = 0.01 * ecg(14.0, grid_hz)  # too low for millivolts, right for counts
    windows = 0
    for answer in chain.push(Uniform(0.0, tiny, True, scale_known)):
        if isinstance(answer, Window):
            windows += 1
            found = chain.assess(answer)
            alone = QualityGate().assess(
                answer.filtered, answer.raw, float(grid_hz), answer.beats, scale_known=scale_known
            )
            assert found == alone
            assert found.reason == ("flat" if scale_known else None)
    assert windows >= 1


def test_time_spent_is_that_of_filter_and_detector_and_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that ticks a millisecond a reading, the filter costs one, and so does the detector at every hop."""
    ticks = itertools.count()
    monkeypatch.setattr("edge.chain.time", SimpleNamespace(perf_counter=lambda: next(ticks) * 1e-3))
    chain = SignalChain(250, 1.0)
    assert chain.spent_ms == 0.0
    list(chain.push(Uniform(0.0, ecg(1.0, 250), True, True)))
    assert chain.spent_ms == pytest.approx(1.0)
    list(chain.push(Uniform(1.0, ecg(1.0, 250), False, True)))
    assert chain.spent_ms == pytest.approx(2.0)
    list(chain.push(Uniform(2.0, ecg(3.0, 250), False, True)))
    assert chain.spent_ms == pytest.approx(3.0 + 4.0)  # 2.776 s of stream from 1.112 s: hops at 2 and 3 s, and the rest
