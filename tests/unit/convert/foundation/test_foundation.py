"""Conversion of a small teacher: every form runs, the gate judges, and no partial bundle is left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.checkpoint.reader import read_checkpoint
from convert.datasets.outputs_file import read_outputs
from convert.datasets.windows import accepted_windows, collect_windows
from convert.foundation import run as foundation
from convert.foundation.config import FoundationConfig
from convert.foundation.export import int8_input
from convert.foundation.gate import Verdict, judge
from convert.foundation.quantize import FLOAT_OUTPUT_SCALE, Judged, Made, choose_form
from convert.foundation.run import convert_foundation
from convert.foundation.standard import COARSE_RATIO, STEPS_PER_SD
from convert.foundation.windows import int8_clamp, prepare, split
from convert.parity.forms import HeadName
from convert.parity.limits import default_limits
from edge.bundle.reader import load_bundle
from edge.bundle.tensors import TensorSpec
from edge.cli.main import main as anyecg
from edge.model import load_model
from edge.self_test import self_test
from edge.sources.replay.folder import recording_files
from firmware_bridge.errors import CheckFailedError, InputError, OutputError, UsageError
from helpers.small_teacher import write_recordings

GOLDEN = Path(__file__).parents[3] / "golden" / "data"
TEACHER = GOLDEN / "net1d_1lead.pth"
GATE = default_limits()["gate"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_recordings(tmp_path_factory.mktemp("recordings"))
    (folder / "notes.csv").write_text("who,what\na,b\n")
    return folder


def outputs_file(folder: Path, count: int = 7) -> Path:
    heads = [{"key": f"h{i}", "lab": "x", "direction": "high", "kind": "probability"} for i in range(count)]
    (folder / "outputs.json").write_text(json.dumps({"outputs": heads}))
    return folder / "outputs.json"


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    convert_foundation(config_of(folder, recordings, "int8", evaluation_windows=24))
    return folder / "bundle"


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    folder = tmp_path_factory.mktemp("dynamic")
    convert_foundation(config_of(folder, recordings, "dynamic", calibration_windows=12, evaluation_windows=12))
    return folder / "bundle"


def config_of(folder: Path, recordings: Path, form: str, **options: int) -> FoundationConfig:
    return FoundationConfig(TEACHER, outputs_file(folder), recordings, folder / "bundle", form=form, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["int8", "dynamic"])
def test_the_bundle_verifies_and_runs(
    form: str, converted: Path, dynamic: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = {"int8": converted, "dynamic": dynamic}[form]
    assert anyecg(["bundle", "verify", str(bundle)]) == 0
    assert anyecg(["bundle", "show", str(bundle)]) == 0
    assert f"form {form}" in capsys.readouterr().out
    out = tmp_path / "e.jsonl"
    source = f"replay:{recordings / 'r0.csv'}?speed=max&seconds=30"
    assert anyecg(["run", "--source", source, "--bundle", str(bundle), "--out", str(out), "--view", "none"]) == 0
    estimates = [json.loads(line) for line in out.read_text().splitlines()]
    assert any(e.get("labs") for e in estimates)


def test_the_manifest_describes_the_bundle(converted: Path) -> None:
    bundle = load_bundle(converted)
    m = bundle.manifest
    assert (m.tier, m.front_end.name) == ("foundation", "ecgfounder/1")
    assert (m.input.zero_point, m.input.shape) == (0, (1, 1, 5000, 1))
    assert m.front_end.clamp == 128 * m.input.scale == round(m.front_end.clamp)
    assert 8.0 <= m.front_end.clamp <= 16.0
    assert self_test(bundle, load_model(bundle, "tflm")).worst <= 1
    report = json.loads((converted / "validation" / "parity.json").read_text())
    assert report["ok"]
    assert [link["after"] for link in report["links"]] == ["float", "int8", "reference", "tflm"]
    assert (m.form, report["facts"]["form"]) == ("int8", "int8")
    assert [row["form"] for row in report["facts"]["forms"]] == ["int8", "float32"]
    assert set(m.golden.limits) == {"litert", "litert-reference", "tflm"}
    assert (m.output.scale, m.output.coarse.first, m.output.coarse.ratio) == (1 / STEPS_PER_SD, 7, COARSE_RATIO)
    assert "notes.csv" in report["facts"]["recordings skipped"]
    assert len(report["layers"]) > 50
    assert (converted / "validation" / "parity.html").read_text().startswith("<!doctype html>")
    assert read_checkpoint(TEACHER).sha256 in (converted / "MODEL_CARD.md").read_text()


def test_the_same_windows_reach_the_model_as_in_the_runtime(converted: Path, dynamic: Path, recordings: Path) -> None:
    from edge.engine import make_front_end
    from edge.window import Window

    found = next(iter(accepted_windows(recordings / "r0.csv")))
    window = Window(0.0, 10.0, found.filtered, found.raw, np.empty(0, np.int64), scale_known=True)
    for path in (converted, dynamic):
        bundle = load_bundle(path)
        steps = bundle.manifest.input.to_steps(prepare(found.raw[None], 16.0).values[0])
        np.testing.assert_array_equal(make_front_end(bundle)(window), steps)


def test_layers_keep_their_signal(converted: Path) -> None:
    # TensorFlow's calibrator gave the product of the squeeze-and-excitation the range of the following sum.
    layers = json.loads((converted / "validation" / "parity.json").read_text())["layers"]
    scaled = [row["sqnr_db"] for row in layers if "se_scale" in row["name"]]
    assert scaled
    assert min(scaled) > 25.0


def test_a_float_form_is_rounded_at_its_ends(dynamic: Path) -> None:
    bundle = load_bundle(dynamic)
    m = bundle.manifest
    assert (m.form, m.input.dtype, m.output.dtype, m.output.scale) == (
        "dynamic",
        "float32",
        "float32",
        FLOAT_OUTPUT_SCALE,
    )
    assert bundle.golden_inputs.dtype == bundle.golden_outputs.dtype == np.int16
    assert set(m.golden.limits) == set(bundle.golden_by_interpreter) == {"litert", "litert-reference"}
    for backend in ("litert", "litert-reference"):
        self_test(bundle, load_model(bundle, backend))
    report = json.loads((dynamic / "validation" / "parity.json").read_text())
    assert [link["after"] for link in report["links"]] == ["float", "dynamic", "reference"]
    assert "no kernels" in report["not_run"]["TFLite Micro"]


@pytest.mark.parametrize(
    "form", [pytest.param("float16", marks=pytest.mark.slow), pytest.param("float32", marks=pytest.mark.slow), "auto"]
)
def test_the_other_forms_verify(form: str, recordings: Path, tmp_path: Path) -> None:
    result = convert_foundation(config_of(tmp_path, recordings, form, calibration_windows=8, evaluation_windows=8))
    assert result.form in ({"dynamic", "int8"} if form == "auto" else {form})
    rows = {row["form"]: row for row in result.report.facts["forms"]}
    assert set(rows) == ({"dynamic", "int8", "float16", "float32"} if form == "auto" else {form, "float32"})
    assert rows["float32"]["times_float32"] == 1.0
    assert anyecg(["bundle", "verify", str(tmp_path / "bundle")]) == 0


def test_every_head_has_the_same_resolution(converted: Path, dynamic: Path) -> None:
    for path in (converted, dynamic):
        bundle = load_bundle(path)
        outputs = bundle.golden_outputs.astype(float)
        assert np.all(outputs.std(axis=0) > 5), "every head moves by steps"
        stated = json.loads((path / "manifest.json").read_text())["conversion"]["standardised"]
        for head in bundle.manifest.outputs:
            entry = bundle.calibration[head.key]
            assert (entry.slope, entry.offset) == (stated[head.key]["scale"], stated[head.key]["centre"])


def test_a_shut_gate_is_an_error_and_leaves_no_bundle(tmp_path: Path, recordings: Path) -> None:
    (tmp_path / "gates.toml").write_text("[gate]\nflat_odds_factor = 1.0000001\n")
    config = FoundationConfig(
        TEACHER, outputs_file(tmp_path), recordings, tmp_path / "b", evaluation_windows=10, calibration_windows=8,
        gates=tmp_path / "gates.toml",
    )  # fmt: skip
    with pytest.raises(CheckFailedError, match=r"dynamic changes \d of 7 heads too much.*int8 changes") as caught:
        convert_foundation(config)
    assert "--form float32" in str(caught.value)
    assert "2 recordings are few" in str(caught.value)
    assert not (tmp_path / "b").exists()


def test_a_full_disk_keeps_the_old_bundle(converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from convert.bundle import writer as bundle_writer

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = (converted / "manifest.json").read_bytes()
    monkeypatch.setattr(bundle_writer.os, "fsync", full)
    contents = bundle_writer.BundleContents({}, b"x", {}, np.zeros((1, 1), np.int8), np.zeros((1, 1), np.int8), "card")
    with pytest.raises(OutputError, match="No space left"):
        bundle_writer.write_bundle(converted, contents)
    assert (converted / "manifest.json").read_bytes() == before
    assert not list(converted.parent.glob(".*"))


# The gate ------------------------------------------------------------------------------------------------------------


def heads(n: int, kind: str = "probability") -> list[HeadName]:
    return [HeadName(f"h{i}", kind) for i in range(n)]  # type: ignore[arg-type]


def test_gate_opens_for_small_and_shuts_for_large_differences() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((40, 3))
    assert judge(heads(3), a, a + 0.01 * rng.standard_normal(a.shape), GATE).ok
    noisy = a + [0, 0, 1.0] * rng.standard_normal(a.shape)
    verdict = judge(heads(3), a, noisy, GATE)
    assert verdict.reason == "loss"
    assert all(fault.startswith(("h2", "median")) for fault in verdict.faults)


def test_gate_sees_a_shift_that_correlation_does_not() -> None:
    a = np.random.default_rng(0).standard_normal((40, 1))
    assert "probability" in judge(heads(1), a, a + 1.0, GATE).faults[0]


def test_gate_judges_flat_heads_by_odds() -> None:
    a = 1e-3 * np.random.default_rng(0).standard_normal((40, 1))
    good, bad = judge(heads(1), a, a[::-1] + 0.05, GATE), judge(heads(1), a, a + 0.2, GATE)
    assert good.ok
    assert good.flat == 1
    assert any("odds change by 1.22" in fault for fault in bad.faults)


def test_gate_shuts_for_a_dead_head() -> None:
    a = np.random.default_rng(0).standard_normal((40, 1))
    assert not judge(heads(1, "value"), a, np.zeros_like(a), GATE).ok


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_gate_never_opens_on_nan(value: float) -> None:
    a = np.ones((40, 2))
    b = a.copy()
    b[3, 1] = value
    for pair in ((a, b), (b, a), (b, b)):
        verdict = judge(heads(2), *pair, GATE)
        assert verdict.reason == "not_finite"
        assert verdict.faults == ("NaN or infinity in the outputs",)


def test_gate_judges_standardised_heads_on_the_scale_of_the_teacher() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((40, 1))
    b = a + 0.1 * rng.standard_normal(a.shape)
    moving, still = HeadName("h", scale=1.2, centre=-2.0), HeadName("h", scale=0.01, centre=-2.0)
    assert judge([moving], a, b, GATE).flat == 0
    assert judge([still], a, b, GATE).flat == 1
    # The same differences in standard deviations are few or many in probability.
    assert judge([moving], a, b, GATE).ok
    assert "of the probability" in judge([replace(moving, scale=12.0, centre=0.0)], a, b, GATE).faults[0]


def verdict_of(form: str, ms: float, *, passed: bool, worst: str = "k_high") -> Judged:
    outputs = np.zeros((8, 3))
    spec = TensorSpec((1, 1, 1, 3), 1.0, 0)
    faults = () if passed else (f"{worst}: correlation 0.900 < 0.95",)
    verdict = Verdict("passed" if passed else "loss", faults, 0.99, 0, 0.9, worst, 0 if passed else 1)
    return Judged(Made(form, b"", spec, spec), outputs, verdict, ms)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("int8_ms", "int8_ok", "dynamic_ok", "taken"),
    [
        (3.9, True, True, "int8"),
        (4.1, True, True, "dynamic"),
        (4.0, False, True, "dynamic"),
        (9.0, True, False, "int8"),
    ],
)
def test_auto_takes_the_fastest_form_whose_gate_is_open(
    int8_ms: float, int8_ok: bool, dynamic_ok: bool, taken: str
) -> None:
    judged = [
        verdict_of("dynamic", 5.0, passed=dynamic_ok), verdict_of("int8", int8_ms, passed=int8_ok),
        verdict_of("float16", 1.0, passed=True), verdict_of("float32", 1.0, passed=True),
    ]  # fmt: skip
    assert choose_form(judged, "auto", accept_loss=False, recordings=99).made.form == taken


def test_a_shut_gate_names_heads_and_what_would_help() -> None:
    judged = [verdict_of("int8", 4.0, passed=False), verdict_of("float32", 14.0, passed=True)]
    with pytest.raises(CheckFailedError, match=r"int8 changes 1 of 3 heads.*lowest 0\.900, k_high") as caught:
        choose_form(judged, "int8", accept_loss=False, recordings=99)
    assert "--tune" in str(caught.value)
    assert "add some" not in str(caught.value), "there were many recordings"
    with pytest.raises(CheckFailedError, match="5 recordings are few"):
        choose_form(judged, "int8", accept_loss=False, recordings=5)
    assert choose_form(judged, "int8", accept_loss=True, recordings=5).made.form == "int8"


def test_gate_reports_a_head_named_nan_as_an_ordinary_loss() -> None:
    a = np.random.default_rng(0).standard_normal((40, 1))
    verdict = judge([HeadName("NaN_high", "probability")], a, a + 1.0, GATE)
    assert verdict.reason == "loss"


# Scales, outputs, recordings -----------------------------------------------------------------------------------------


def test_input_scale_rounds_as_the_runtime() -> None:
    source = int8_input(16.0, 5000)
    z = np.array([-99.0, -16.0, -0.0624, 0.0626, 15.875, 99.0])
    np.testing.assert_array_equal(source.to_steps(z), [-128, -128, 0, 1, 127, 127])
    np.testing.assert_array_equal(TensorSpec((3,), 0.5, 3).to_values(np.int8([3, 4, -128])), [0.0, 0.5, -65.5])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "cannot be parsed"),
        ("{}", "names no outputs"),
        ('{"outputs": [1]}', r"outputs\[0\] is not a table"),
        ('{"outputs": [{"key": "a", "lab": "x"}, {"key": "a", "lab": "x"}]}', "occurs twice"),
        ('{"outputs": [{"key": "A b", "lab": "x"}]}', "key 'A b'"),
        ('{"outputs": [{"key": "a"}]}', "'lab' must be a text"),
        ('{"outputs": [{"key": "a", "lab": "x", "kind": "odds"}]}', "kind 'odds'"),
        ('{"outputs": [{"key": "a", "lab": "x", "direction": "up"}]}', "direction 'up'"),
        ('{"outputs": [{"key": "a", "lab": "x", "index": 3}]}', "its index is 3"),
        ('{"outputs": [{"key": "a", "lab": "x", "kind": "value"}]}', "'unit' must be a text"),
        ('{"outputs": [{"key": "a", "lab": "x", "loin": "2823-3"}]}', "unknown key 'loin'"),
        ('{"outputs": [{"key": "a", "lab": "x", "horizon_min": -1}]}', "horizon_min"),
        ('{"outputs": [{"key": "a", "lab": "x", "evidence": {"auroc": 0.7}}]}', "evidence needs a tier"),
        ('{"outputs": [{"key": "a", "lab": "x", "means": "' + 121 * "m" + '"}]}', "'means' must be a text"),
    ],
)
def test_wrong_outputs_files_are_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "o.json").write_text(text)
    with pytest.raises(InputError, match=what):
        read_outputs(tmp_path / "o.json")


def test_outputs_in_toml(tmp_path: Path) -> None:
    (tmp_path / "o.toml").write_text(
        '[[outputs]]\nkey = "k"\nlab = "potassium"\nkind = "value"\nunit = "mmol/L"\nmeans = "m"\n'
    )
    found = read_outputs(tmp_path / "o.toml")
    assert found[0]["unit"] == "mmol/L"
    assert found[0]["means"] == "m"
    assert found[0]["evidence"]["tier"] == "limited"


def test_recordings_are_found_and_shared(recordings: Path) -> None:
    assert [p.name for p in recording_files(recordings)] == ["notes.csv", "r0.csv", "r1.csv"]
    found = collect_windows(recordings, 6)
    assert len(found.windows) == 6
    assert {w.recording.name for w in found.windows} == {"r0.csv", "r1.csv"}
    assert all(w.raw.shape == (5000,) and w.filtered.shape == (1250,) for w in found.windows)
    again = collect_windows(recordings, 6)
    np.testing.assert_array_equal(found.raw(), again.raw())


def test_a_folder_without_usable_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        collect_windows(tmp_path / "no", 4)
    with pytest.raises(InputError, match="holds no recording"):
        collect_windows(tmp_path, 4)
    (tmp_path / "short.csv").write_text("time,ecg_mV\n" + "".join(f"{i / 250:.4f},0.1\n" for i in range(500)))
    with pytest.raises(InputError, match="no usable recording"):
        collect_windows(tmp_path, 4)


def test_twelve_leads_are_refused(tmp_path: Path, recordings: Path) -> None:
    config = FoundationConfig(
        GOLDEN / "net1d_12lead_ratio_half.pth", outputs_file(tmp_path), recordings, tmp_path / "b"
    )
    with pytest.raises(InputError, match="reads 12 leads"):
        convert_foundation(config)


def test_an_output_folder_that_is_not_a_bundle_is_refused_early(tmp_path: Path, recordings: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.doc").write_text("x")
    for out, what in ((tmp_path / "b", "is not a bundle"), (tmp_path / "no" / "b", "is not a folder")):
        with pytest.raises(OutputError, match=what):
            convert_foundation(FoundationConfig(TEACHER, outputs_file(tmp_path), recordings, out))


@pytest.mark.parametrize(
    ("peak", "clamp"), [(3.0, 8.0), (7.2, 8.0), (7.3, 9.0), (9.9, 11.0), (14.9, 16.0), (16.0, 16.0)]
)
def test_r_peaks_are_not_clipped(peak: float, clamp: float) -> None:
    windows = np.zeros((2, 50), np.float32)
    windows[1, 7] = -peak
    assert int8_clamp(windows) == clamp


# Tuning --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_tuning_is_a_step_of_full_int8_and_leaves_no_state(tmp_path: Path, recordings: Path) -> None:
    plain = config_of(tmp_path, recordings, "int8", calibration_windows=8, evaluation_windows=8)
    config = replace(plain, tune_minutes=0.02)
    result = convert_foundation(config)
    steps = [row["step"] for row in result.report.facts["int8 steps"]]
    assert steps[-2] == "before tuning"
    assert steps[-1].startswith("tuned for ")
    assert not foundation.tuning_state(config.out).exists()
    assert anyecg(["bundle", "verify", str(config.out)]) == 0


def test_tuning_is_refused_for_other_forms(
    tmp_path: Path, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(config_of(tmp_path, recordings, "dynamic"), tune_minutes=1.0)
    with pytest.raises(UsageError, match="--tune is for full int8"):
        convert_foundation(config)
    assert anyecg(["convert", "foundation", str(TEACHER), "--data", str(recordings), "--out", "b", "--tune", "-1"]) == 2
    assert "'-1' is not a number of minutes" in capsys.readouterr().err


def test_windows_for_tuning_do_not_overlap_those_that_judge(recordings: Path) -> None:
    found = collect_windows(recordings, 30, hop_s=1.0)
    parts = split(found, "coverage", 8, 8)
    assert len(parts.evaluation) == 8
    assert len(parts.tuning)
    for i in parts.tuning:
        for j in parts.evaluation:
            a, b = found.windows[i], found.windows[j]
            assert a.recording != b.recording or abs(a.end_s - b.end_s) >= 10.0


def disagreeing(folder: Path, recordings: Path) -> FoundationConfig:
    """Return a conversion with a limit that no two interpreters keep."""
    (folder / "gates.toml").write_text("[parity]\ninterpreters_rms_sd = 1e-9\n")
    plain = config_of(folder, recordings, "int8", calibration_windows=8, evaluation_windows=8)
    return replace(plain, gates=folder / "gates.toml")


def test_a_form_whose_interpreters_disagree_shuts_its_gate(tmp_path: Path, recordings: Path) -> None:
    config = disagreeing(tmp_path, recordings)
    with pytest.raises(CheckFailedError, match="LiteRT and its reference kernels differ too much"):
        convert_foundation(config)
    assert not config.out.exists()


@pytest.mark.slow
def test_accepted_loss_opens_the_gate_of_such_a_form(tmp_path: Path, recordings: Path) -> None:
    config = replace(disagreeing(tmp_path, recordings), accept_loss=True)
    convert_foundation(config)
    assert anyecg(["bundle", "verify", str(config.out)]) == 0
