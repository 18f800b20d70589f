"""The bundle in the package, and the pieces that its numbers come from."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.bundle_writer import NOTICE
from convert.demo import PARITY_WINDOWS, DemoConfig
from convert.demo_card import model_card, output_row, report_markdown
from convert.demo_data import DataConfig, claim, load_cohort, split
from convert.demo_evaluate import Scored, calibrate, evidence, tier
from convert.demo_heads import DEMO_LABS, VALUE_CENTRE, VALUE_SCALE, demo_heads, targets
from convert.progress import Progress
from convert.students import ALLOWED_OPS, PRESETS
from convert.windows import Augmentation, augment, fixed_windows, random_windows, stream_of
from edge.bundle import demo_bundle_path, load_bundle
from edge.frontend_stream import StreamFilter, window_input_int8
from edge.model import load_model, self_test
from firmware_bridge.errors import InputError, OutputError, UsageError

FOLDER = demo_bundle_path()


@pytest.fixture(scope="module")
def manifest():
    return json.loads((FOLDER / "manifest.json").read_text())


@pytest.fixture(scope="module")
def report():
    return json.loads((FOLDER / "validation/report.json").read_text())


@pytest.mark.parametrize("backend", ["litert", "litert-reference", "tflm"])
def test_golden_windows_give_the_same_everywhere(backend):
    if backend == "tflm":
        pytest.importorskip("tflite_micro", reason="the micro extra is not installed")
    bundle = load_bundle("demo")
    assert len(bundle.golden_inputs) == 8
    assert len(np.unique(bundle.golden_outputs, axis=0)) > 1
    worst = self_test(bundle, load_model(bundle, backend))
    assert worst <= (1 if backend == "litert" else 0)


def test_it_keeps_the_promises_of_its_tier(manifest, report):
    spec = PRESETS[report["preset"]]
    assert manifest["tier"] == "micro"
    size = (FOLDER / "model.tflite").stat().st_size
    assert size == manifest["budgets"]["flash_bytes"] <= min(spec.flash_limit_bytes, 128 * 1024)
    assert manifest["budgets"]["arena_bytes"] <= min(spec.arena_limit_bytes, 48 * 1024)
    assert set(report["operations"]) <= ALLOWED_OPS
    assert report["parity"]["windows"] == PARITY_WINDOWS
    assert report["parity"]["tflm"]["max_lsb"] == 0


def test_the_arena_is_what_the_real_interpreter_needs(manifest):
    runtime = pytest.importorskip("tflite_micro", reason="the micro extra is not installed").runtime
    model = (FOLDER / "model.tflite").read_bytes()
    arena = manifest["budgets"]["arena_bytes"]
    runtime.Interpreter.from_bytes(model, arena_size=arena)
    with pytest.raises(RuntimeError):
        runtime.Interpreter.from_bytes(model, arena_size=arena - 1024)


def test_it_covers_the_labs_it_must(manifest):
    keys = {o["key"] for o in manifest["outputs"]}
    assert keys >= {
        "potassium_low", "potassium_high", "calcium_low", "calcium_high", "magnesium_low", "glucose_low",
        "hemoglobin_low", "free_t4_high", "sodium_low", "sodium_high", "potassium",
    }  # fmt: skip
    assert set(json.loads((FOLDER / "calibration.json").read_text())["heads"]) == keys


def test_codes_are_those_of_the_laboratory_table(manifest, shared_dir):
    import csv

    with (shared_dir / "labs.csv").open() as file:
        table = {row["key"]: row for row in csv.DictReader(file)}
    for output in manifest["outputs"]:
        assert output["loinc"] == table[output["lab"]]["loinc"]
        assert output["unit"] == ("1" if output["kind"] == "probability" else table[output["lab"]]["unit_ucum"])


def test_the_card_says_what_the_manifest_says(manifest, report):
    card = (FOLDER / "MODEL_CARD.md").read_text()
    assert card == model_card(manifest, report)
    for output in manifest["outputs"]:
        assert output_row(output) in card
        assert report["heads"][output["key"]]["evidence"] == output["evidence"]
    assert "Not for people's health" in card
    assert (FOLDER / "validation/report.md").read_text() == report_markdown(report)


def test_every_probability_has_evidence_from_patients_it_never_met(manifest, report):
    parts = report["split"]
    assert parts["train"] + parts["validation"] + parts["calibration"] + parts["test"] == parts["patients"]
    for output in manifest["outputs"]:
        e = output["evidence"]
        assert e["n"] == parts["test"]
        if output["kind"] == "probability":
            assert e["ci"][0] <= e["auroc"] <= e["ci"][1]
            assert e["tier"] == tier(e["auroc"])
    assert manifest["notice"] == NOTICE


def test_potassium_is_found_and_the_negative_control_is_not(report):
    heads = report["heads"]
    for key in ("potassium_low", "potassium_high"):
        assert 0.75 <= heads[key]["evidence"]["auroc"] <= 0.95
    for key in ("sodium_low", "sodium_high"):
        low, high = heads[key]["evidence"]["ci"]
        assert low <= 0.5 <= high
    assert heads["potassium"]["evidence"]["mae"] < heads["potassium"]["mae_of_the_mean"]


def test_nobody_is_in_two_parts_of_the_split():
    parts = split(1000, 3)
    joined = np.concatenate(list(parts.values()))
    assert sorted(joined) == list(range(1000))
    assert set(parts) == {"train", "validation", "calibration", "test"}
    assert not np.array_equal(parts["test"], split(1000, 4)["test"])


def test_training_windows_are_the_devices_windows():
    rng = np.random.default_rng(0)
    record = np.cumsum(rng.standard_normal(500 * 16)) * 0.05
    stream = stream_of(record, 500)
    device, pushed = StreamFilter(grid_hz=500), []
    for i in range(0, len(record), 37):
        pushed.append(device.push(record[i : i + 37]))
    reference = np.concatenate(pushed)
    np.testing.assert_array_equal(stream, reference.astype(np.float32))
    windows = fixed_windows(stream, 3)
    assert windows.shape == (3, 1, 1250, 1)
    np.testing.assert_array_equal(windows[0, 0, :, 0], window_input_int8(stream[:1250].astype(np.float64)))
    # Kept as float32 for memory: at most a rounding step away from the float64 stream of the device.
    gap = windows[0, 0, :, 0].astype(int) - window_input_int8(reference[:1250])
    assert np.abs(gap).max() <= 1
    assert np.mean(gap != 0) < 0.01


def test_random_windows_follow_the_seed_and_gain_does_not_matter():
    streams = np.random.default_rng(1).standard_normal((4, 3000)).astype(np.float32)
    one = random_windows(streams, np.random.default_rng(5), Augmentation())
    np.testing.assert_array_equal(one, random_windows(streams, np.random.default_rng(5), Augmentation()))
    np.testing.assert_array_equal(one, random_windows(streams * 4, np.random.default_rng(5), Augmentation()))
    assert not np.array_equal(one, random_windows(streams, np.random.default_rng(5), None))


def test_augmentation_can_be_switched_off():
    x = np.random.default_rng(1).standard_normal((3, 1250))
    np.testing.assert_array_equal(augment(x, np.random.default_rng(0), Augmentation(probability=0.0)), x)


@pytest.mark.parametrize("bad", [np.full(8000, np.nan), np.zeros(1000)])
def test_unusable_records_are_named(bad):
    with pytest.raises(InputError):
        stream_of(bad, 500)


def test_targets_respect_limits_and_missing_values():
    heads = demo_heads()
    labs = {lab: np.array([np.nan, 0.1, 1e4]) for lab, _ in DEMO_LABS}
    y = targets(heads, labs)
    for i, head in enumerate(heads):
        assert np.isnan(y[0, i])
        if head.kind == "probability":
            assert list(y[1:, i]) == ([1.0, 0.0] if head.direction == "low" else [0.0, 1.0])
    value = [h.key for h in heads].index("potassium")
    expected = np.float32((0.1 - VALUE_CENTRE["potassium"]) / VALUE_SCALE["potassium"])
    assert y[1, value] == expected


def _scored(signal, n=400, windows=6, seed=0):
    rng = np.random.default_rng(seed)
    potassium = rng.normal(4.2, 0.8, n)
    outputs = np.zeros((n, windows, 12))
    outputs += signal * (potassium - 4.2)[:, None, None] + rng.normal(0, 0.5, (n, windows, 12))
    return Scored(outputs, {lab: potassium for lab, _ in DEMO_LABS})


def test_calibrated_probabilities_match_the_prevalence_of_new_patients():
    heads = demo_heads()
    index = [h.key for h in heads].index("potassium_high")
    entry = calibrate(heads[index], index, _scored(2.0), _scored(2.0, windows=3), seed=0)
    new = _scored(2.0, seed=1)
    p = 1 / (1 + np.exp(-(entry["a"] * new.scores(index) + entry["b"])))
    assert abs(p.mean() - np.mean(new.labs["potassium"] > 5.0)) < 0.03
    assert entry["a"] > 0
    assert 0 < entry["threshold"] < 1
    assert entry["interval"]["sd"] > 0


def test_a_head_that_knows_nothing_stays_near_its_prevalence():
    heads = demo_heads()
    scored = _scored(0.0)
    entry = calibrate(heads[1], 1, scored, scored, seed=0)
    p = 1 / (1 + np.exp(-(entry["a"] * scored.scores(1) + entry["b"])))
    assert p.std() < 0.1
    assert entry["a"] > 0


def test_the_values_interval_covers_new_patients():
    heads = demo_heads()
    index = len(heads) - 1
    entry = calibrate(heads[index], index, _scored(1.0), _scored(1.0), seed=0)
    new = _scored(1.0, n=1000, seed=2)
    error = entry["slope"] * new.scores(index) + entry["intercept"] - new.labs["potassium"]
    assert 0.85 < np.mean(np.abs(error) <= entry["interval"]["half_width"]) < 0.95
    found = evidence(heads[index], index, new, entry, seed=0)
    assert found["mae"] == pytest.approx(np.abs(error).mean(), abs=1e-4)
    assert found["auroc"] is None


@given(st.floats(0, 1))
def test_tiers_are_the_papers(area):
    assert tier(area) == ("strong" if area > 0.65 else "limited" if area < 0.55 else "moderate")


def test_a_work_folder_never_mixes_two_runs(tmp_path):
    claim(tmp_path, {"a": 1})
    claim(tmp_path, {"a": 1})
    with pytest.raises(UsageError, match="another run"):
        claim(tmp_path, {"a": 2})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"not an archive at all"])
def test_damaged_intermediate_files_are_named(tmp_path, content):
    from convert.demo_data import _read_shard
    from convert.training import load_state

    path = tmp_path / "state.npz"
    path.write_bytes(content)
    for read in (load_state, _read_shard):
        with pytest.raises(InputError, match=r"state\.npz"):
            read(path)


def test_a_place_that_holds_other_things_is_refused_before_the_work(tmp_path):
    from convert.demo import train_demo

    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not a bundle"):
        train_demo(tmp_path, tmp_path / "w", DemoConfig(), None)


def test_a_work_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot use"):
        claim(tmp_path / "file" / "w", {})


def test_too_few_patients_are_refused(tmp_path):
    with pytest.raises(UsageError, match="at least 100"):
        load_cohort(tmp_path, DataConfig(10, 1, 30.0), None)


def test_the_command_in_the_card_makes_this_configuration():
    from convert.cli_demo import build_parser

    config = DemoConfig(patients=123, seed=4, seconds=20.0, preset="nano", float_epochs=2, quant_epochs=1)
    args = build_parser().parse_args(config.command().split()[2:])
    assert (args.patients, args.seed, args.seconds, args.preset) == (123, 4, 20.0, "nano")
    assert (args.float_epochs, args.quant_epochs) == (2, 1)
    assert DemoConfig().command() == f"anyecg train-demo --out DIR --patients {DemoConfig().patients} --seed 1"


def test_progress_shows_rate_and_time_left():
    import io

    stream = io.StringIO()
    bar = Progress("x", 10, "things", stream, done=5)
    bar.step(10)
    assert "10/10 things" in stream.getvalue()
    assert "0:00 left" in stream.getvalue()
    Progress("x", 10, "things", None).step(10)


@pytest.mark.slow
def test_the_whole_command_is_restartable_and_reproducible(tmp_path):
    import subprocess

    def run(name):
        given = "--patients 100 --seconds 14 --preset nano --float-epochs 1 --quant-epochs 1 --seed 2"
        code = "import sys; from convert.cli_demo import main\nif __name__ == '__main__': sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", code, "--out", str(tmp_path / name), *given.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=True)
        return done.stdout

    first = run("a")
    assert "potassium_high" in first
    model = (tmp_path / "a/model.tflite").read_bytes()
    run("b")
    assert (tmp_path / "b/model.tflite").read_bytes() == model
    (tmp_path / "a.work/nano-quant-1-1.npz").unlink()
    run("a")
    assert (tmp_path / "a/model.tflite").read_bytes() == model
    bundle = load_bundle(tmp_path / "a")
    assert self_test(bundle, load_model(bundle, "litert-reference")) == 0
