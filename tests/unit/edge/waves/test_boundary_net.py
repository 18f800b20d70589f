"""Where the boundary network places a boundary, and which end of T is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.waves.delineate import MAX_T_END_SD_MS
from edge.waves.measure import WaveMeter
from edge.waves.net import FS_HZ, MARKS, SAMPLES, BoundaryNet
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

PLACES = {"p_begin": 30, "p_end": 44, "qrs_begin": 54, "qrs_end": 66, "t_peak": 95, "t_end": 106}


class Scored(BoundaryNet):
    """A network whose scores are given: log probabilities of places by mark."""

    def __init__(self, **likely):
        super().__init__()
        self._scores = np.full((SAMPLES, len(MARKS)), -40.0)
        for mark, place in PLACES.items():
            for at, share in likely.get(mark, {place: 1.0}).items():
                self._scores[at, MARKS.index(mark)] = np.log(share)

    def _run(self, x):
        return self._scores.copy(), 0.0


class Doubtful(BoundaryNet):
    """The network of the package with another standard deviation of the end of T."""

    def __init__(self, end_sd_ms):
        super().__init__()
        self._end_sd_ms = end_sd_ms

    def mark(self, beat, rr_s):
        return replace(super().mark(beat, rr_s), t_end_sd=self._end_sd_ms * FS_HZ / 1e3)


def test_the_end_of_t_is_the_mean_of_possible_ends():
    """About the usual QT at RR = 1 s, so that the usual QT prefers neither."""
    marked = Scored(t_end={101: 0.5, 111: 0.5}).mark(np.ones(SAMPLES), 1.0)
    assert marked.at[MARKS.index("t_end")] == pytest.approx(106.0, abs=0.1)
    assert marked.t_end_sd == pytest.approx(5.0, abs=0.05)


def test_other_boundaries_are_at_the_likelier_place():
    likely = {mark: {at: 0.6, at - 10: 0.4} for mark, at in PLACES.items() if mark != "t_end"}
    marked = Scored(**likely).mark(np.ones(SAMPLES), 1.0)
    assert marked.at == pytest.approx(list(PLACES.values()))
    assert marked.sure[:5] == pytest.approx([0.6] * 5)
    assert marked.t_end_sd == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("doubt", [-1.0, 1.0])
def test_an_uncertain_end_of_t_is_not_shown(doubt):
    synth = EcgSynth(EcgParams(rr_sd_ms=8.0, q_mv=-0.1, s_mv=-0.3), 1)
    raw = synth.generate(2500, 250.0)
    beats = np.array([round(b.r_time_s * 125.0) for b in synth.take_beats() if 0.1 < b.r_time_s < 9.9])
    found = WaveMeter(250, Doubtful(MAX_T_END_SD_MS + doubt)).measure(raw, beats, scale_known=True)
    assert dict(found.missing) == ({"t": "unclear"} if doubt > 0.0 else {})
    assert (found.qt_ms is None) == (doubt > 0.0)
    assert found.qrs_ms is not None
