"""The page with the curves of fused outputs, and the gate that the command and its benchmark share."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from calibration.fusion.additive import Rows
from calibration.fusion.page import curves, fusion_page
from calibration.fusion.run import enough, gated
from convert.stats.metrics import Score
from edge.bundle.reader import load_bundle
from edge.waves.fuse import MEASUREMENTS
from helpers.pages import faults

TERMS = [
    {"feature": "t_mv", "x": [0.1, 0.3, 0.9], "y": [-0.5, 0.0, 2.0], "missing": -0.25},
    {"feature": "t_symmetry", "x": [0.7, 1.8], "y": [0.1, -0.1], "missing": 0.0},
]
FUSION = {"weight": 0.8, "offset": 0.1, "terms": TERMS}


def page() -> str:
    outputs = load_bundle("demo").manifest.outputs
    said = {head.key: {"left": "not clearly better than the network"} for head in outputs}
    said["potassium_high"] = {
        "auroc_network": 0.81, "auroc_fused": 0.845, "difference": 0.035, "difference_ci": [0.012, 0.058],
    }  # fmt: skip
    return fusion_page(outputs, {"potassium_high": {"fusion": FUSION}}, said, "demo on <cohort>")


def points(svg: str) -> list[tuple[float, float]]:
    """Return the corners of the curve, pixels."""
    path = re.search(r'<polyline points="([^"]+)" class="s-blue"', svg)
    assert path is not None
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in path[1].split())]


def test_a_curve_has_its_knots_and_is_constant_beyond_them() -> None:
    first, second = curves(FUSION)
    drawn = points(first)
    assert len(drawn) == 5
    assert drawn[0][1] == drawn[1][1]
    assert drawn[-1][1] == drawn[-2][1]
    x = np.array([px for px, _ in drawn[1:4]])
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(0.2 / 0.8, abs=0.005)
    logits = np.array([py for _, py in drawn[1:4]])
    assert (logits[0] - logits[1]) / (logits[0] - logits[2]) == pytest.approx(0.5 / 2.5, abs=0.005)
    scale = (logits[0] - logits[2]) / 2.5
    other = points(second)
    assert (other[2][1] - other[1][1]) / 0.2 == pytest.approx(scale, rel=0.03), "one vertical axis for all curves"
    assert "not measured: -0.25" in first
    assert "not measured" not in second
    for svg in (first, second):
        ET.fromstring(svg)


def test_every_measurement_has_a_name() -> None:
    term = {"x": [0.0, 1.0], "y": [0.0, 1.0], "missing": 0.0}
    for name in MEASUREMENTS:
        (svg,) = curves({"terms": [{**term, "feature": name}]})
        assert name not in svg


def test_the_page_says_what_is_fused_and_why_the_others_are_not() -> None:
    found = page()
    assert "1 of 12 outputs reads the waves of the ECG" in found
    assert "AUROC 0.845 fused, 0.810 network alone, difference +0.035 (0.012 to 0.058)" in found
    assert found.count("<svg") == 2
    assert found.count("not clearly better than the network") == 11
    assert "demo on &lt;cohort&gt;" in found
    assert not faults(found)


def rows(patients: int) -> Rows:
    rng = np.random.default_rng(1)
    means = np.full((patients, len(MEASUREMENTS)), np.nan)
    labels = np.arange(patients) % 2 == 0
    means[:, MEASUREMENTS.index("t_mv")] = rng.normal(size=patients) + labels
    return Rows(rng.normal(size=patients) + labels, means, labels, np.arange(patients))


def test_the_gate() -> None:
    many = rows(200)
    better, unclear = Score(0.1, 0.05, 0.15), Score(0.1, -0.01, 0.2)
    model, left = gated(many, ["t_mv"], better)
    assert model is not None
    assert left == ""
    assert gated(many, [], better) == (None, "no measurement adds to the network")
    assert gated(many, ["t_mv"], unclear) == (None, "not clearly better than the network")
    assert gated(many, ["t_mv"], Score(None, None, None)) == (None, "not clearly better than the network")
    reversed_network = Rows(-3.0 * many.network, many.means, many.labels, many.patient)
    assert gated(reversed_network, ["t_mv"], better) == (None, "the results contradict the sign of the output")
    assert enough(many)
    assert not enough(rows(18))
    assert not enough(Rows(many.network, many.means, many.labels, np.arange(200) % 4)), "patients, not rows"
