"""``bundle make`` turns a model that fits into a verified bundle, and names what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from helpers.own_models import Form, Shape, describe_heads, own_model, with_custom_operation
from helpers.small_teacher import write_recordings

pytest.importorskip("tensorflow")

from convert.bundle.golden_windows import model_inputs, simulated
from convert.compute.flatbuffer import schema
from convert.datasets.outputs_file import read_outputs
from convert.own_model.fit import fit
from convert.own_model.graph import OwnModel
from convert.own_model.interpret import run_fitted
from convert.own_model.run import OwnModelConfig, make_bundle
from edge.bundle.reader import Bundle, demo_bundle_path, load_bundle
from edge.cli.main import main
from edge.model import load_model
from edge.self_test import self_test
from firmware_bridge.errors import AnyEcgError, CheckFailedError, InputError, OutputError, UsageError


def made(tmp_path: Path, model: bytes, heads: int = 3, *, value: bool = False, **options: Any) -> Bundle:
    (tmp_path / "mine.tflite").write_bytes(model)
    outputs = describe_heads(tmp_path / "outputs.json", heads, value=value)
    front_end = options.pop("front_end", "stream/1")
    make_bundle(OwnModelConfig(tmp_path / "mine.tflite", outputs, front_end, tmp_path / "bundle", **options))
    return load_bundle(tmp_path / "bundle")


def outputs_of(bundle: Bundle) -> np.ndarray:
    """Outputs of the golden windows in logits or units, as the runtime's first step makes them."""
    model = load_model(bundle, "litert")
    raw = np.stack([bundle.manifest.output.to_values(model.run(w)) for w in bundle.golden_inputs])
    lines = [bundle.calibration[h.key] for h in bundle.manifest.outputs]
    return raw * [c.slope for c in lines] + [c.offset for c in lines]


def run_alone(model: bytes, windows: np.ndarray, name: str = "answer") -> np.ndarray:
    """Outputs of a float model on z-scores, through its signature."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    shape = [abs(int(n)) for n in interpreter.get_input_details()[0]["shape_signature"]]
    shape[int(np.argmax(shape)) if max(shape) > 1 else 1] = windows.shape[1]
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
    runner = interpreter.get_signature_runner()
    return np.stack([runner(ecg=w.reshape(shape).astype(np.float32))[name].reshape(-1) for w in windows])


WINDOWS = 8


@pytest.mark.parametrize(
    "shape", [(1, 1, 1250), (1, 1250, 1), (1, 1250), (1, 1, 1, 1250), (None, 1250, 1), (1, None, 1), (1250,)]
)
def test_every_order_of_the_dimensions_gives_the_same_outputs(tmp_path: Path, shape: Shape) -> None:
    model = own_model(shape)
    fitted = fit(OwnModel(model, "mine.tflite"), "stream/1", read_outputs(describe_heads(tmp_path / "o.json")), None)
    z = np.rint(model_inputs("stream/1", simulated(WINDOWS)) * 2048) / 2048
    np.testing.assert_allclose(run_fitted(fitted, z, "mine.tflite").outputs, run_alone(model, z), atol=1e-5)
    assert (fitted.model == model) == (None not in shape)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(None, 1250, 1), (1, None, 1)])
def test_a_free_dimension_is_fixed_in_the_bundle(tmp_path: Path, shape: Shape) -> None:
    model = own_model(shape)
    bundle = made(tmp_path, model)
    z = bundle.manifest.input.to_values(bundle.golden_inputs).reshape(WINDOWS, 1250)
    np.testing.assert_allclose(outputs_of(bundle), run_alone(model, z), atol=2e-3)
    assert (bundle.manifest.tier, bundle.manifest.front_end.name) == ("micro", "stream/1")


@pytest.mark.parametrize("form", get_args(Form))
def test_every_form_is_recognised_and_verified(tmp_path: Path, form: Form) -> None:
    bundle = made(tmp_path, own_model((1, 1, 1250, 1), form))
    assert bundle.manifest.form == form.split()[0]
    assert bundle.manifest.input.dtype == ("int8" if form in {"int8", "int8 to float"} else "float32")
    assert bundle.manifest.output.dtype == ("int8" if form in {"int8", "int8 from float"} else "float32")
    assert set(bundle.golden_by_interpreter) == {"litert", "litert-reference"}
    for backend in ("litert", "litert-reference"):
        self_test(bundle, load_model(bundle, backend))
    report = json.loads((tmp_path / "bundle" / "validation" / "parity.json").read_text())
    assert report["ok"]
    assert report["title"] == "mine 0.1.0: parity"
    assert report["facts"]["windows from"] == "simulated patients"
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert card.startswith("# mine 0.1.0\n")
    assert "a model that this kit did not train" in card


def test_an_int8_input_keeps_its_own_scale(tmp_path: Path) -> None:
    bundle = made(tmp_path, own_model((1, 1, 1250, 1), "int8"))
    source = bundle.manifest.input
    assert source.scale != 0.0625
    z = model_inputs("stream/1", simulated(WINDOWS))
    np.testing.assert_array_equal(bundle.golden_inputs.reshape(WINDOWS, 1250), source.to_steps(z))


def test_a_teacher_of_500_hz_reads_the_other_front_end(tmp_path: Path) -> None:
    bundle = made(tmp_path, own_model((1, 1, 5000)), front_end="ecgfounder/1")
    assert (bundle.manifest.tier, bundle.manifest.front_end.name) == ("foundation", "ecgfounder/1")


def test_a_sigmoid_at_the_end_is_left_out(tmp_path: Path) -> None:
    bundle = made(tmp_path, own_model(end="sigmoid"))
    z = bundle.manifest.input.to_values(bundle.golden_inputs).reshape(WINDOWS, 1250)
    p = run_alone(own_model(end="sigmoid"), z)
    np.testing.assert_allclose(1.0 / (1.0 + np.exp(-outputs_of(bundle))), p, atol=1e-3)
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert "before the sigmoid" in manifest["conversion"]["changes"][0]


def test_an_int8_sigmoid_is_left_out(tmp_path: Path) -> None:
    bundle = made(tmp_path, own_model((1, 1, 1250, 1), "int8", "sigmoid"))
    assert bundle.manifest.output.dtype == "int8"
    assert bundle.manifest.output.scale != pytest.approx(1 / 256)


def test_heads_of_very_different_size_are_standardised(tmp_path: Path) -> None:
    bundle = made(tmp_path, own_model(end="scaled"), value=True)
    z = bundle.manifest.input.to_values(bundle.golden_inputs).reshape(WINDOWS, 1250)
    expected = run_alone(own_model(end="scaled"), z)
    found = outputs_of(bundle)
    sd = expected.std(axis=0)
    assert sd[2] > 1000 * sd[0]
    assert np.all(np.abs(found - expected) < np.maximum(0.01 * sd, 1e-5))
    assert bundle.calibration["glucose"].method == "linear"


def test_the_output_that_fits_is_taken_and_others_are_left_out(tmp_path: Path) -> None:
    model = own_model(features=5)
    bundle = made(tmp_path, model, 5)
    z = bundle.manifest.input.to_values(bundle.golden_inputs).reshape(WINDOWS, 1250)
    np.testing.assert_allclose(outputs_of(bundle), run_alone(model, z, "features"), atol=2e-3)


def test_two_outputs_that_fit_need_a_choice(tmp_path: Path) -> None:
    model = own_model(features=3)
    with pytest.raises(
        InputError, match=r"2 outputs of mine\.tflite have 3 values: .*'answer' float32 \[1, 3\].*--output"
    ):
        made(tmp_path, model)
    bundle = made(tmp_path, model, output="features")
    z = bundle.manifest.input.to_values(bundle.golden_inputs).reshape(WINDOWS, 1250)
    np.testing.assert_allclose(outputs_of(bundle), run_alone(model, z, "features"), atol=2e-3)
    with pytest.raises(UsageError, match="no output 'logits'"):
        made(tmp_path, model, output="logits")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 2500, 1), r"'ecg' float32 \[1, 2500, 1\] .* takes 2500 values, and ten seconds of stream/1 are 1250"),
        ((1, 5000, 1), r"takes 5000 values.*\(give --front-end ecgfounder/1\)"),
        ((1, 1250, 12), "takes 12 leads or channels, and the device gives one lead"),
        ((8, 1250, 1), "takes 8 windows at once"),
        ((1, 50, 25), "not along one dimension"),
    ],
)
def test_an_input_that_does_not_fit_is_named(shape: Shape, message: str) -> None:
    model = OwnModel(own_model(shape) if shape[0] == 1 and shape[2] == 1 else resized(shape), "mine.tflite")
    with pytest.raises(InputError, match=message):
        fit(model, "stream/1", [], None)


def resized(shape: Shape) -> bytes:
    """A model whose input claims a shape."""
    own = OwnModel(own_model(), "mine.tflite")
    own.set_input(own.inputs[0].index, tuple(n or -1 for n in shape))
    return own.packed()


def test_free_dimensions_that_do_not_tell_are_refused() -> None:
    own = OwnModel(own_model(), "mine.tflite")
    own.main.tensors[own.inputs[0].index].shapeSignature = np.array([-1, -1, -1], np.int32)
    with pytest.raises(InputError, match="free dimensions do not tell"):
        fit(OwnModel(own.packed(), "mine.tflite"), "stream/1", [], None)


def test_other_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 inputs \('ecg' float32 \[1, 1250, 1\]; 'years' float32 \[1, 1\]\)"):
        made(tmp_path, own_model(age=True))
    with pytest.raises(InputError, match=r"no output of mine\.tflite has 7 values.*'answer' float32 \[1, 3\]"):
        made(tmp_path, own_model(), 7)
    with pytest.raises(InputError, match="SOFTMAX"):
        made(tmp_path, own_model(end="softmax"))
    with pytest.raises(InputError, match="is a sigmoid, but the head 'glucose' is described as a value"):
        made(tmp_path, own_model(end="sigmoid"), value=True)
    with pytest.raises(CheckFailedError, match="NaN or infinity for 3 heads: h0, h1, h2"):
        made(tmp_path, own_model(end="nan"))
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("FlexErf", "operations of TensorFlow that LiteRT lacks: Erf"), ("Mine", "custom operations: Mine")],
)
def test_operations_that_litert_lacks_are_named(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        OwnModel(with_custom_operation(own_model(), name), "mine.tflite")


def test_a_type_that_the_runtime_lacks_is_named() -> None:
    own = OwnModel(own_model(), "mine.tflite")
    own.main.tensors[own.inputs[0].index].type = schema().TensorType.UINT8
    with pytest.raises(InputError, match=r"'ecg' uint8 .* wanted is float32 or int8"):
        fit(OwnModel(own.packed(), "mine.tflite"), "stream/1", [], None)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    model = own_model()
    rng = np.random.default_rng(1)
    for _ in range(60):
        data = bytearray(model)
        for at in rng.integers(8, len(data), 6):
            data[at] = rng.integers(0, 256)
        try:
            fit(OwnModel(bytes(data), "mine.tflite"), "stream/1", [], None)
        except AnyEcgError:
            continue
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}")
    for data in (b"", b"x" * 100, model[: len(model) // 2]):
        with pytest.raises(InputError):
            OwnModel(data, "mine.tflite")


def test_recordings_instead_of_simulated_patients(tmp_path: Path) -> None:
    data = write_recordings(tmp_path / "recordings", 1, 40)
    made(tmp_path, own_model(), data=data, name="ward 7", version="2.0", licence="MIT", windows=6)
    report = json.loads((tmp_path / "bundle" / "validation" / "parity.json").read_text())
    assert report["title"] == "ward 7 2.0: parity"
    assert report["facts"]["windows from"] == "1 recordings"
    assert report["facts"]["windows"] <= 6


@pytest.mark.slow
def test_the_same_model_gives_the_same_golden_vectors(tmp_path: Path) -> None:
    one, two = (made(tmp_path, own_model()) for _ in range(2))
    np.testing.assert_array_equal(one.golden_inputs, two.golden_inputs)
    np.testing.assert_array_equal(one.golden_outputs, two.golden_outputs)


def test_probabilities_in_disguise_are_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.tflite").write_bytes(own_model(features=5))
    outputs = describe_heads(tmp_path / "o.json", 5)
    argv = ["bundle", "make", str(tmp_path / "m.tflite"), "--outputs", str(outputs), "--front-end", "stream/1"]
    assert main([*argv, "--out", str(tmp_path / "b")]) == 0
    shown = capsys.readouterr()
    assert shown.out.endswith(
        f"{tmp_path / 'b'}: float32, {(tmp_path / 'b' / 'model.tflite').stat().st_size} bytes, verified\n"
    )
    assert ("lies between 0 and 1" in shown.err) == bool(outputs_of(load_bundle(tmp_path / "b")).max() <= 1.0)
    assert main(["bundle", "verify", str(tmp_path / "b")]) == 0


def test_the_place_is_checked_first(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "notes").write_text("x")
    with pytest.raises(OutputError, match="is not a bundle"):
        make_bundle(OwnModelConfig(tmp_path / "none", tmp_path / "none", "stream/1", tmp_path / "bundle"))


def test_the_manifest_of_a_bundle_describes_outputs() -> None:
    """The converters write null for what an output does not have."""
    found = read_outputs(demo_bundle_path() / "manifest.json")
    assert [one["key"] for one in found] == [head.key for head in load_bundle("demo").manifest.outputs]
    assert [one.get("means") for one in found] == [head.means for head in load_bundle("demo").manifest.outputs]
