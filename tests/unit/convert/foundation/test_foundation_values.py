"""A teacher with values in the unit of the laboratory, through conversion, parity, estimate and calibration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.writer import write_checkpoint
from convert.cli.parity import run_parity
from convert.datasets.heads import heads_of_bundle, heads_of_file
from convert.datasets.windows import collect_windows
from convert.foundation.config import FoundationConfig, FoundationResult
from convert.foundation.parity import run_float
from convert.foundation.run import convert_foundation
from convert.foundation.standard import (
    Line,
    described,
    in_units,
    scaling_of,
    scaling_of_bundle,
    standardised_flatbuffer,
    unscaled,
    with_copies,
)
from convert.foundation.windows import prepare
from convert.parity.forms import ParityReport
from convert.simulate.write import CohortPlan, write_cohort
from edge.bundle.reader import load_bundle
from edge.cli.main import main as anyecg
from edge.estimate import Estimator
from edge.model import load_model
from firmware_bridge.errors import BundleError

GOLDEN = Path(__file__).parents[3] / "golden" / "data"
TEACHER = GOLDEN / "net1d_1lead.pth"
VALUES = {2: ("glucose", "mg/dL", 110.0, 30.0), 5: ("sodium", "mmol/L", 139.0, 3.0), 6: ("pH", "1", 7.4, 0.05)}
"""Column of the golden teacher by lab: unit, mean and standard deviation of its output."""


def outputs_file(folder: Path) -> Path:
    rows = [{"key": f"h{i}", "lab": "x", "direction": "high", "kind": "probability"} for i in range(7)]
    for i, (lab, unit, _, _) in VALUES.items():
        rows[i] = {"key": f"{lab}_value".lower(), "lab": lab, "kind": "value", "unit": unit}
    path = folder / "outputs.json"
    path.write_text(json.dumps({"outputs": rows}))
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "cohort"
    write_cohort(CohortPlan(patients=14, seed=5, seconds=20.0), folder)
    return folder


@pytest.fixture(scope="module")
def windows(recordings: Path) -> np.ndarray:
    return prepare(collect_windows(recordings, 24).raw(), 16.0).values


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, windows: np.ndarray) -> Path:
    """Return the golden network with heads that vary between patients, and values in the unit of the laboratory.

    Random rows of ``dense`` would show little more than rounding, because the features of patients vary in only one or
    two directions.
    """
    folder = tmp_path_factory.mktemp("teacher")
    outputs_file(folder)
    features = outputs_of(TEACHER, windows, 1)
    _, sizes, lines = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    tensors = {k: v.copy() for k, v in read_checkpoint(TEACHER).tensors.items()}
    rng = np.random.default_rng(0)
    for i in range(7):
        _, _, mean, spread = VALUES.get(i, ("", "", -1.0, 1.0))
        row = lines[0] * rng.choice([-1.0, 1.0]) + lines[1] * rng.normal() * 0.3 * sizes[1] / sizes[0]
        row *= spread / (features @ row).std()
        tensors["dense.weight"][i], tensors["dense.bias"][i] = row, mean - (features @ row).mean()
    write_checkpoint(folder / "teacher.pth", tensors)
    return folder


def outputs_of(checkpoint: Path, windows: np.ndarray, output: int = 0) -> np.ndarray:
    from convert.checkpoint.load import net1d_from_checkpoint
    from convert.foundation.export import float_flatbuffer

    core = net1d_from_checkpoint(checkpoint).with_length(5000).core
    return run_float(float_flatbuffer(core, 5000, (output,)), windows)


@pytest.fixture(scope="module")
def converted(
    tmp_path_factory: pytest.TempPathFactory, teacher: Path, recordings: Path
) -> tuple[Path, FoundationResult]:
    folder = tmp_path_factory.mktemp("converted")
    config = FoundationConfig(
        teacher, None, recordings, folder / "bundle", calibration_windows=24, evaluation_windows=24, form="int8"
    )
    return folder / "bundle", convert_foundation(config)


def test_a_teacher_with_values_passes_its_gate(
    converted: tuple[Path, FoundationResult], teacher: Path, windows: np.ndarray
) -> None:
    folder, result = converted
    assert result.form == "int8"
    assert result.report.facts["gate"] == "open"
    assert result.report.facts["output step"] < 0.1, "not of the range of glucose"
    assert all(row["steps_per_sd_min"] >= 40 for row in result.report.facts["forms"])
    bundle = load_bundle(folder)
    wanted = outputs_of(teacher / "teacher.pth", windows)
    model, source, tensor = load_model(bundle, "litert"), bundle.manifest.input, bundle.manifest.output
    heads = heads_of_bundle(bundle)
    for window, truth in zip(windows, wanted, strict=True):
        raw = tensor.to_values(model.run(source.to_steps(window)))
        for i, head in enumerate(heads):
            spread = VALUES[i][3] if i in VALUES else 1.0
            assert abs(head.slope * raw[i] + head.offset - truth[i]) < 0.5 * spread


def test_the_device_shows_the_unit_of_the_laboratory(
    converted: tuple[Path, FoundationResult], windows: np.ndarray
) -> None:
    bundle = load_bundle(converted[0])
    estimator, model = Estimator(bundle), load_model(bundle, "litert")
    for k, window in enumerate(bundle.manifest.input.to_steps(windows)):
        estimator.add(10.0 + k, model.run(window), 1.0)
    shown = {lab.key: lab for lab in estimator.labs()}
    for lab, unit, mean, spread in VALUES.values():
        found = shown[f"{lab}_value".lower()]
        assert found.unit == unit
        assert abs(found.value - mean) < spread


@pytest.fixture(scope="module")
def parity(converted: tuple[Path, FoundationResult], teacher: Path) -> ParityReport:
    return run_parity(str(converted[0]), teacher, None, None, 8, None)


def test_parity_shows_differences_of_values_in_their_unit(
    converted: tuple[Path, FoundationResult], parity: ParityReport, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = converted[0]
    assert parity.ok
    link = next(link for link in parity.links if (link.before, link.after) == ("float", "int8"))
    rows = {h.key: h for h in link.heads}
    glucose, lines = rows["glucose_value"], load_bundle(folder).calibration["glucose_value"]
    assert glucose.unit == "mg/dL"
    assert glucose.max == pytest.approx(glucose.lsb * report_step(folder) * lines.slope, rel=1e-4)
    assert rows["h0"].unit is None
    assert rows["h0"].max == pytest.approx(
        rows["h0"].lsb * report_step(folder) * load_bundle(folder).calibration["h0"].slope, rel=1e-4
    )
    assert link.max < 1.0, "glucose does not drown the logits"
    assert anyecg(["convert", "parity", str(folder)]) == 0
    assert "glucose_value, mg/dL" in capsys.readouterr().out
    written = json.loads((folder / "validation" / "parity.json").read_text())
    heads = {h["key"]: h for h in written["links"][1]["heads"]}
    assert heads["sodium_value"]["unit"] == "mmol/L"
    assert "unit" not in heads["h0"]
    assert "sodium_value, mmol/L" in (folder / "MODEL_CARD.md").read_text()
    assert ">unit</th>" in (folder / "validation" / "parity.html").read_text()


def report_step(folder: Path) -> float:
    return load_bundle(folder).manifest.output.scale


def test_original_outputs_are_compared_in_the_models_scale(
    converted: tuple[Path, FoundationResult], teacher: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    logits = outputs_of(teacher / "teacher.pth", windows[:4])
    np.savez(tmp_path / "o.npz", x=windows[:4, None], logits=logits)
    report = run_parity(str(converted[0]), teacher, None, tmp_path / "o.npz", 4, None)
    assert [link.before for link in report.links][:2] == ["original", "keras"]
    assert report.ok


def test_a_new_calibration_does_not_change_the_parity(
    converted: tuple[Path, FoundationResult], teacher: Path, parity: ParityReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convert.cli import parity as parity_cli

    bundle = load_bundle(converted[0])
    other = {key: replace(c, slope=3.0 * c.slope, offset=0.0) for key, c in bundle.calibration.items()}
    monkeypatch.setattr(parity_cli, "load_bundle", lambda _: replace(bundle, calibration=other))
    assert run_parity(str(converted[0]), teacher, None, None, 8, None).links == parity.links


# The scaling itself --------------------------------------------------------------------------------------------------


def test_heads_have_mean_0_and_standard_deviation_1() -> None:
    rng = np.random.default_rng(0)
    outputs = np.column_stack([rng.normal(-4.0, 2.0, 48), rng.normal(110.0, 30.0, 48), rng.normal(-3.0, 0.02, 48)])
    scaling = scaling_of([False, True, False], outputs)
    z = scaling.to_model(outputs)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(z.std(axis=0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(scaling.to_teacher(z), outputs, rtol=1e-12)


def test_the_folded_model_gives_standardised_outputs(teacher: Path, windows: np.ndarray) -> None:
    from convert.checkpoint.load import net1d_from_checkpoint
    from convert.foundation.export import float_flatbuffer

    model = float_flatbuffer(net1d_from_checkpoint(teacher / "teacher.pth").with_length(5000).core, 5000)
    outputs = run_float(model, windows)
    scaling = scaling_of([i in VALUES for i in range(7)], outputs)
    folded = standardised_flatbuffer(model, scaling)
    wanted = scaling.to_model(outputs[:3])
    np.testing.assert_allclose(run_float(folded, windows[:3]), wanted, atol=2e-4)
    twice, coarse = with_copies(folded)
    found = run_float(twice, windows[:3])
    assert (found.shape, coarse.first) == ((3, 14), 7)
    np.testing.assert_allclose(found[:, :7], wanted, atol=2e-4)
    np.testing.assert_allclose(found[:, 7:] * coarse.ratio, wanted, atol=2e-4)


def test_a_scaling_that_is_not_known_changes_nothing() -> None:
    outputs = np.random.default_rng(0).standard_normal((12, 2))
    outputs[3, 0] = np.nan
    assert not scaling_of([False, True], outputs).any
    assert described([{"key": "a"}, {"key": "b"}], unscaled(2)) == {}
    assert standardised_flatbuffer(b"any", unscaled(7)) == b"any"


def test_constant_heads_have_a_scale() -> None:
    dead = np.column_stack([np.full(12, 7.4), np.zeros(12), np.full(12, -2.0)])
    scaling = scaling_of([True, True, False], dead)
    assert all(line.scale > 0.0 for line in scaling.lines)
    assert np.all(np.isfinite(scaling.to_model(dead)))


@pytest.mark.parametrize("entry", [{}, {"centre": 1.0}, {"centre": 1.0, "scale": 0.0}, {"centre": "1", "scale": 1.0},
                                   {"centre": float("nan"), "scale": 1.0}, 3])  # fmt: skip
def test_an_invalid_manifest_is_refused(converted: tuple[Path, FoundationResult], entry: object) -> None:
    outputs = load_bundle(converted[0]).manifest.outputs
    with pytest.raises(BundleError, match="the scaling of glucose_value is invalid"):
        scaling_of_bundle({"conversion": {"standardised": {"glucose_value": entry}}}, outputs, 7)
    for older in ({}, {"conversion": None}, {"conversion": {"form": "int8"}}, {"conversion": {"values": 3}}):
        assert not scaling_of_bundle(older, outputs, 7).any
    stated = json.loads((converted[0] / "manifest.json").read_text())
    line = Line(*(stated["conversion"]["standardised"]["glucose_value"][name] for name in ("centre", "scale")))
    assert scaling_of_bundle(stated, outputs, 7).lines[2] == line
    of_version_0_2 = {"conversion": {"values": {"glucose_value": {"centre": 110.0, "scale": 30.0}}}}
    found = scaling_of_bundle(of_version_0_2, outputs, 7).lines
    assert found[2] == Line(110.0, 30.0)
    assert found[0] == Line()


def test_heads_are_calibrated_from_the_outputs_of_the_model(
    converted: tuple[Path, FoundationResult], teacher: Path
) -> None:
    manifest = json.loads((converted[0] / "manifest.json").read_text())
    scaling = scaling_of_bundle(manifest, load_bundle(converted[0]).manifest.outputs, 7)
    found = in_units(heads_of_file(teacher / "outputs.json"), scaling)
    assert [(h.slope, h.offset) for h in found] == [
        (h.slope, h.offset) for h in heads_of_bundle(load_bundle(converted[0]))
    ]
    assert found[0].slope != 1.0, "logits are standardised, too"
