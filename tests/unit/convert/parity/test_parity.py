"""Parity: limits of the links, NaN that never passes, and the report as table, page and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from convert.parity.forms import HeadName, Stage, compare
from convert.parity.layers import LayerRow, Sums, costly_layers, short_name, worst_layers
from convert.parity.limits import default_limits, load_limits
from convert.parity.plots import layer_groups, lost_correlation
from convert.parity.report import html_page, report_files, text_table
from edge.stats import correlation
from firmware_bridge.errors import CheckFailedError, InputError

HEADS = [HeadName("a"), HeadName("b", "value")]


def chain(**changes: np.ndarray) -> list[Stage]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 2))
    steps = np.rint(x / 0.05) * 0.05
    outputs = {
        "original": x, "keras": x + 1e-6, "float": x - 1e-6, "int8": steps, "reference": steps, "tflm": steps[:3],
    } | changes  # fmt: skip
    lsb = {"int8": 0.05, "reference": 0.05, "tflm": 0.05}
    return [Stage(kind, values, lsb.get(kind)) for kind, values in outputs.items()]  # type: ignore[arg-type]


def test_a_good_chain_holds() -> None:
    report = compare("x", chain(), HEADS)
    assert report.ok
    report.check()
    assert [(link.before, link.after, link.windows) for link in report.links][-1] == ("reference", "tflm", 3)
    quantized = report.links[2]
    assert quantized.lsb is not None
    assert quantized.lsb <= 0.5 + 1e-4
    assert quantized.heads[0].probability_max is not None
    assert quantized.heads[1].probability_max is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stage", ["original", "keras", "float", "int8", "reference", "tflm"])
def test_nan_anywhere_is_a_failure(stage: str, value: float) -> None:
    bad = next(s.outputs for s in chain() if s.kind == stage).copy()
    bad[1, 1] = value
    report = compare("x", chain(**{stage: bad}), HEADS)
    assert not report.ok
    broken = [link for link in report.links if stage in {link.before, link.after}]
    assert all(not link.ok and not link.finite and link.max is None for link in broken)
    with pytest.raises(CheckFailedError, match="NaN or infinity"):
        report.check()
    json.dumps(report.as_json(), allow_nan=False)
    assert "NOT FINITE" in text_table(report)
    assert "NOT FINITE" in html_page(report)


def test_nan_on_both_sides_is_not_agreement() -> None:
    both = np.full((12, 2), np.nan)
    assert not compare("x", [Stage("keras", both), Stage("float", both)], HEADS).ok


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"keras": 1e-3}, "original and Keras differ by"),
        ({"reference": 0.1}, "differ by 2 LSB, the limit is 1 LSB"),
        ({"tflm": 0.05}, "differ by 1 LSB, the limit is 0 LSB"),
    ],
)
def test_the_error_names_the_failed_link(changes: dict[str, float], what: str) -> None:
    good = {s.kind: s.outputs for s in chain()}
    moved = {kind: good[kind] + by for kind, by in changes.items()}  # type: ignore[index]
    with pytest.raises(CheckFailedError, match=what):
        compare("x", chain(**moved), HEADS).check()


def test_interpreters_of_a_teacher_are_judged_by_the_spread_of_its_heads() -> None:
    steps = chain()[-1].outputs
    sd = float(steps.std())
    near, far = chain(tflm=steps + 0.05 * sd), chain(tflm=steps + 0.5 * sd)
    assert not compare("x", near, HEADS).ok
    assert compare("x", near, HEADS, micro=False).ok
    report = compare("x", far, HEADS, micro=False)
    assert not report.ok
    assert report.links[-1].limit.startswith("RMS 0.3 sd, found 0.")


def test_no_windows_is_not_agreement() -> None:
    empty = np.zeros((0, 2))
    assert not compare("x", [Stage("keras", empty), Stage("float", empty)], HEADS).ok


def test_correlation() -> None:
    a = np.arange(5.0)
    assert correlation(a, 3 * a + 1) == pytest.approx(1.0)
    assert correlation(a, -a) == pytest.approx(-1.0)
    assert correlation(a, np.zeros(5)) == 0.0
    assert correlation(np.ones(5), a) is None
    assert correlation(a, a * np.nan) is None


def test_limits_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text("[parity]\nfloat_max = 0.5\n")
    limits = load_limits(tmp_path / "g.toml")
    assert limits["parity"]["float_max"] == 0.5
    assert limits["gate"] == default_limits()["gate"]
    assert compare("x", chain(keras=chain()[0].outputs + 0.1), HEADS, limits).links[0].ok
    for text, what in (("[gate]\nx = 1", "gate.x is not a limit"), ("[gate]\ncorrelation_min = 'a'", "not a limit"),
                       ("[", "not valid TOML")):  # fmt: skip
        (tmp_path / "g.toml").write_text(text)
        with pytest.raises(InputError, match=what):
            load_limits(tmp_path / "g.toml")
    with pytest.raises(InputError, match="cannot read"):
        load_limits(tmp_path / "none.toml")


def test_sqnr_is_of_the_centred_signal() -> None:
    rng = np.random.default_rng(0)
    x = 1000.0 + rng.standard_normal(10_000)
    sums = Sums()
    for part in np.split(x, 10):
        sums.add(part, part + 0.1, (999.0, 1001.0))
    # Unit variance against 0.1 squared is 20 dB. The mean of 1000 has no effect.
    assert sums.sqnr_db() == pytest.approx(20.0, abs=0.3)
    assert sums.saturated() == pytest.approx(0.317, abs=0.02)
    constant = Sums()
    constant.add(np.ones(5), np.ones(5), None)
    assert constant.sqnr_db() is None
    assert constant.finite
    broken = Sums()
    broken.add(np.ones(5), np.array([1, 1, np.nan, 1, 1]), None)
    assert not broken.finite


def rows() -> list[LayerRow]:
    return [
        LayerRow(0, "core_1/a__conv_1/BiasAdd;x", "CONV_2D", 40.0, None, 0.0, finite=True),
        LayerRow(1, "core_1/b_1/batchnorm/mul", "MUL", 12.0, 28.0, 0.1, finite=True),
        LayerRow(2, "Identity", "CONV_2D", None, None, 0.0, finite=False),
    ]


def test_worst_layers_first() -> None:
    assert [r.index for r in worst_layers(rows())] == [2, 1, 0]
    assert costly_layers(rows(), 1)[0].index == 1
    assert [short_name(r.name) for r in rows()] == ["a.conv", "b", "Identity"]


def test_a_layer_that_is_not_finite_fails_the_report() -> None:
    report = compare("x", chain(), HEADS)
    report.layers = rows()
    assert not report.ok
    with pytest.raises(CheckFailedError, match="NaN or infinity in the layer Identity"):
        report.check()


def test_the_plot_shows_what_each_head_lost_by_name() -> None:
    changed = chain()[3].outputs.copy()
    changed[:, 1] += np.random.default_rng(1).normal(0, 0.3, 12)
    link = compare("x", chain(int8=changed), HEADS).links[2]
    (worst, lost), (other, less) = lost_correlation(link.heads)
    assert (worst, other) == ("b", "a")
    assert lost == pytest.approx(1.0 - np.corrcoef(chain()[2].outputs[:, 1], changed[:, 1])[0, 1])
    assert 0.0 < less < 1e-3 < lost


def test_parts_of_a_network_are_named() -> None:
    names = [
        "c/first_bn_1/add",
        "c/stage_list__0__block_list__0__bn_1/x",
        "c/stage_list__0__sum_1/Add",
        "c/pool_1/Mean",
    ]
    rows = [LayerRow(i, name, "ADD", 10.0, None, 0.0, finite=True) for i, name in enumerate(names)]
    assert layer_groups(rows) == [(0, "first_bn"), (1, "stage 0"), (3, "pool")]
    student = [LayerRow(i, n, "ADD", 1.0, None, 0.0, finite=True) for i, n in enumerate(["block0.depth", "block0.sum"])]
    assert layer_groups(student) == [(0, "block0")]


def test_page_and_json() -> None:
    report = compare("a <b>", chain(), HEADS)
    report.layers, report.not_run, report.facts = rows()[:2], {"TFLite Micro": "absent"}, {"x": 1.5}
    files = report_files(report)
    page, twin = files["parity.html"].decode(), json.loads(files["parity.json"])
    for alt in ("Outputs of both forms", "All heads: lost correlation", "Signal to quantization noise of each layer"):
        assert f'role="img" aria-label="{alt}' in page
    assert "a &lt;b&gt;" in page
    assert "TFLite Micro: not run, absent" in page
    assert twin["schema"] == "anyecg.parity/1"
    assert len(twin["links"]) == 5
    assert report_files(report) == files
    assert "worst layers" in text_table(report)
