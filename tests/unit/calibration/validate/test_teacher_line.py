"""Calibrations on the teacher's scale and on the model's give the same probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.validate.teacher_line import in_logits, teacher_lines, to_model
from convert.foundation.standard import Line
from edge.bundle.calibration import HeadCalibration, parse_calibration
from edge.bundle.reader import load_bundle
from edge.bundle.schema import Evidence, OutputHead
from edge.stats import sigmoid

HEAD = OutputHead(
    0, "k", "potassium", None, "1", "high", "probability", None, Evidence(None, None, None, "limited", None)
)
INTERVAL = {"method": "logit_sd", "sd": 0.4, "level": 0.9}
ENTRIES: list[dict[str, Any]] = [
    {"method": "none"},
    {"method": "temperature", "a": 0.7},
    {"method": "platt", "a": 1.3, "b": -0.4},
    {"method": "isotonic", "x": [-3.0, -1.0, 0.5], "y": [0.01, 0.2, 0.7]},
]


def parsed(entry: dict[str, Any]) -> HeadCalibration:
    whole = {"interval": INTERVAL, "threshold": 0.3, **entry}
    return parse_calibration({"schema": "anyecg.calibration/1", "heads": {"k": whole}}, [HEAD])["k"]


def probability(c: HeadCalibration, x: np.ndarray) -> np.ndarray:
    return np.interp(x, *c.knots) if c.knots is not None else sigmoid(c.slope * x + c.offset)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["method"])
@given(centre=st.floats(-6.0, 6.0), scale=st.floats(0.01, 5.0))
def test_a_calibration_survives_the_change_of_scale(entry: dict[str, Any], centre: float, scale: float) -> None:
    line, outputs = Line(centre, scale), np.linspace(-4.0, 4.0, 33)
    logits = centre + scale * outputs
    wanted = parsed(entry)
    model = parsed(to_model({"interval": INTERVAL, **entry}, line))
    np.testing.assert_allclose(probability(model, outputs), probability(wanted, logits), atol=1e-6)
    back = in_logits(model, line)
    np.testing.assert_allclose(probability(back, logits), probability(wanted, logits), atol=1e-6)
    assert back.interval_width == pytest.approx(wanted.interval_width, rel=1e-3, abs=1e-6)


def test_an_unscaled_entry_is_unchanged() -> None:
    assert to_model(ENTRIES[1], Line()) == ENTRIES[1]
    bundle = load_bundle("demo")
    assert set(teacher_lines(bundle).values()) == {Line()}
