"""One laboratory value of the simulator's normal patient changes: the reasons are the parts that the simulator changes.

In a cohort, other traits of a patient may raise a flag as well (``benchmarks/bench_reasons.py``); here there are none.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from convert.simulate.couplings import couple
from edge.bundle.reader import load_bundle
from edge.explain.reasons import Explainer
from edge.model import load_model
from edge.waves.mean_beat import STREAM_HZ
from edge.waves.measure import WaveMeter
from edge.waves.path import FS_HZ
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

SECONDS = 20.0
MIN_SHARE = 0.80
"""Smallest share of the planted parts together."""
MILD = {("potassium", 3.1)}
"""Changes that alone do not reach the threshold of the bundle. Their reasons are told all the same."""


@cache
def explainer() -> Explainer:
    bundle = load_bundle("demo")
    return Explainer(bundle, load_model(bundle, "litert-reference"))


@pytest.mark.parametrize(
    ("lab", "value", "key", "planted"),
    [
        ("potassium", 2.8, "potassium_low", {"T", "PR", "QRS", "QT"}),
        ("potassium", 3.1, "potassium_low", {"T", "PR", "QRS", "QT"}),
        ("potassium", 6.5, "potassium_high", {"T", "PR", "QRS", "P"}),
        ("calcium", 6.5, "calcium_low", {"QT"}),
        ("calcium", 13.0, "calcium_high", {"QT"}),
        ("magnesium", 1.0, "magnesium_low", {"T", "QT"}),
        ("magnesium", 4.0, "magnesium_high", {"PR", "QRS", "QT"}),
        ("glucose", 40.0, "glucose_low", {"QT"}),
        ("hemoglobin", 7.0, "hemoglobin_low", {"rate"}),
        ("free_t4", 5.0, "free_t4_high", {"rate", "P"}),
    ],
)
def test_the_reasons_are_what_was_changed(lab, value, key, planted):
    synth = EcgSynth(couple(EcgParams(rr_sd_ms=20.0), {lab: value}), 1)
    raw = synth.generate(round(SECONDS * FS_HZ), FS_HZ)
    at_s = np.array([b.r_time_s for b in synth.take_beats() if 0.2 < b.r_time_s < SECONDS - 0.2])
    meter = WaveMeter(round(FS_HZ))
    meter.measure(raw, np.rint(at_s * STREAM_HZ).astype(np.int64), scale_known=True)
    one = explainer()
    one.restart()
    runs = one.begin(meter.beat, meter.found, SECONDS)
    assert runs is not None
    while not runs.step():
        pass
    one.take(runs)
    found = next(reasons for reasons in one.reasons() if reasons.key == key)
    assert found.told
    assert found.flagged == ((lab, value) not in MILD)
    assert found.effect > 0.0
    print(f"{key} {value}: {found.shares}")
    assert sum(share for part, share in found.shares.items() if part in planted) >= MIN_SHARE
