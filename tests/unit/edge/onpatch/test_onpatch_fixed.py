"""Calibration and thresholds in fixed point: the numbers, what does not fit, and an identity of all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.bundle.reader import load_bundle
from edge.onpatch.fixed import MAX_ERROR, NO_THRESHOLD, SCORE_BITS, SLOPE_BITS, fixed_heads, identity
from firmware_bridge.errors import BundleError

BUNDLE = load_bundle("demo")
OUTPUTS, SCALE = BUNDLE.manifest.outputs, BUNDLE.manifest.output.scale


def heads(calibration=BUNDLE.calibration, outputs=OUTPUTS, scale=SCALE):
    return fixed_heads(outputs, calibration, scale)


def changed(key, **what):
    return {**BUNDLE.calibration, key: replace(BUNDLE.calibration[key], **what)}


def test_scores_are_those_of_the_calibration():
    steps = np.arange(-128, 128)
    for head, spec in zip(heads(), OUTPUTS, strict=True):
        cal = BUNDLE.calibration[spec.key]
        score = head.slope * steps / 2.0**SLOPE_BITS + head.offset / 2.0**SCORE_BITS
        assert np.abs(score - (cal.slope * SCALE * steps + cal.offset)).max() < MAX_ERROR
        assert head.index == spec.index


def test_a_threshold_is_compared_in_logits():
    for head, spec in zip(heads(), OUTPUTS, strict=True):
        limit = BUNDLE.calibration[spec.key].threshold
        if spec.evidence.tier == "limited" or limit is None:
            assert head.threshold == NO_THRESHOLD
        else:
            assert 1.0 / (1.0 + np.exp(-head.threshold / 2.0**SCORE_BITS)) == pytest.approx(limit, abs=1e-5)


@pytest.mark.parametrize(("limit", "reached"), [(0.0, True), (1.0, False)])
def test_thresholds_at_the_ends(limit, reached):
    key = next(spec.key for spec in OUTPUTS if spec.evidence.tier != "limited")
    (head,) = [h for h in heads(changed(key, threshold=limit)) if h.key == key]
    assert (head.threshold <= 2**30) is reached
    assert head.threshold != NO_THRESHOLD


def test_a_value_keeps_its_unit():
    spec = replace(OUTPUTS[0], kind="value")
    (head,) = heads(changed(spec.key, threshold=5.5), outputs=(spec,))
    assert head.threshold == round(5.5 * 2**16)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({"knots": ((0.0, 1.0), (0.1, 0.9))}, "isotonic"),
        ({"abstain": (0.4, 0.6)}, "band of abstention"),
        ({"slope": 2000.0}, "fixed point"),
        ({"offset": 40_000.0}, "fixed point"),
    ],
)
def test_what_a_patch_cannot_compute_is_refused(what, why):
    with pytest.raises(BundleError, match=why):
        heads(changed(OUTPUTS[0].key, **what))


def test_the_identity_depends_on_everything():
    model = BUNDLE.model
    names = {identity(model, heads())}
    for what in ({"slope": 1.0}, {"offset": 0.5}, {"threshold": 0.9}):
        names.add(identity(model, heads(changed(OUTPUTS[0].key, **what))))
    names.add(identity(model[:-1] + b"\x01", heads()))
    names.add(
        identity(
            model,
            heads(
                outputs=(replace(OUTPUTS[0], key="other"), *OUTPUTS[1:]),
                calibration={**BUNDLE.calibration, "other": BUNDLE.calibration[OUTPUTS[0].key]},
            ),
        )
    )
    assert len(names) == 6
    assert all(len(name) == 8 for name in names)
