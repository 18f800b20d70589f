"""The lint reports each target that a model fails, with the reason. The models come from the real converter."""

from __future__ import annotations

import contextlib
import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.compute.students import ALLOWED_OPS, PRESETS
from convert.compute.tf_runtime import load_tensorflow, quiet_stderr
from convert.micro.arena import _measure_apart as measure_apart
from convert.micro.graph import read_graph
from convert.micro.ops import CMSIS_NN_OPS, ESP_NN_OPS, adder
from convert.micro.planner import planned_bytes
from convert.micro.rules import KERNELS, SCHEMA, TARGETS, check_targets, lint
from edge.bundle.reader import load_bundle
from edge.cli.main import main as anyecg
from firmware_bridge.errors import CheckFailedError, InputError

SHAPE = (1, 1, 64, 8)
INT8_FROM = ("dense", "grouped", "dilated", "swish", "softmax", "batch", "conv")


def network(tf, kind):
    rng = np.random.default_rng(3)

    def weights(*shape):
        return tf.constant(rng.normal(0, 0.3, shape).astype(np.float32))

    def run(x):
        conv = tf.nn.conv2d
        if kind == "dense":
            return tf.matmul(tf.reshape(x, [1, 512]), weights(512, 5))
        if kind == "grouped":
            return conv(x, weights(1, 3, 4, 16), 1, "SAME")
        if kind == "dilated":
            return conv(x, weights(1, 3, 8, 8), 1, "SAME", dilations=[1, 1, 2, 1])
        y = conv(x, weights(1, 3, 8, 8), 1, "SAME")
        if kind == "swish":
            return y * tf.sigmoid(y)
        if kind == "softmax":
            return tf.nn.softmax(y)
        if kind == "topk":
            return tf.math.top_k(y, 2)[0]
        return y

    return run


@cache
def model(kind: str) -> bytes:
    """Make a tiny model with one fault: int8 by the converter's own quantization, or float."""
    tf = load_tensorflow()
    batch = {"batch": 2, "dynamic": None}.get(kind, 1)
    module = tf.Module()
    module.run = tf.function(
        network(tf, kind), input_signature=[tf.TensorSpec([batch, *SHAPE[1:]], tf.float32)], autograph=False
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.run.get_concrete_function()], module)
    if kind in INT8_FROM:
        rng = np.random.default_rng(1)
        shape = (batch, *SHAPE[1:])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([rng.normal(0, 1, shape).astype(np.float32)] for _ in range(4))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet_stderr():
        return bytes(converter.convert())


@cache
def demo() -> bytes:
    return load_bundle("demo").model


def failures(report, target):
    return {f.rule for f in report.of(target) if f.level == "fail"}


@pytest.mark.parametrize("kind", ["conv", "swish", "grouped"])
def test_the_plan_of_any_model_is_that_of_the_interpreter(kind):
    _, used = measure_apart(model(kind))
    assert planned_bytes(read_graph(model(kind)), lambda _op: 0) == used.head


def test_the_demonstration_passes():
    report = lint(demo(), "demo")
    assert report.passed()
    assert [t for t in TARGETS if report.fits(t)] == ["c99", "tflm", "cmsis-nn", "esp-nn", "micro", "small"]
    assert failures(report, "nano") == {"flash", "arena"}
    assert report.operations == {"ADD": 4, "CONV_2D": 12, "DEPTHWISE_CONV_2D": 9, "MEAN": 1}
    assert not report.passed(["nano"])
    assert report.passed(["micro", "esp-nn"])
    costs = {(c.runtime, c.key): c for c in report.runtimes}
    assert costs["c99", "cortex-m4-dsp"].ram_bytes <= 4096
    assert costs["c99", "cortex-m4-dsp"].flash_bytes < 50_500
    assert costs["tflm", "cmsis-nn"].flash_bytes == 120_191
    assert costs["c99", "cortex-m4-dsp"].instructions < costs["tflm", "cmsis-nn"].instructions


def test_a_plain_convolution_fits_all_but_plain_c99():
    report = lint(model("conv"))
    assert [t for t in TARGETS if not report.fits(t)] == ["c99"], report.findings
    assert {c.runtime for c in report.runtimes} == {"tflm"}


NOT_COVERED = {
    "conv": "CONV_2D of PartitionedCall:0: a kernel of shape [8, 1, 3, 8], not (outputs, 1, taps, 1)",
    "dense": "RESHAPE|FULLY_CONNECTED",
    "dilated": "a dilation of 2",
    "swish": "CONV_2D of Conv2D2: a kernel",
    "batch": "activations of shape [2, 1, 64, 8]",
    "float": "activations of type float32",
}


@pytest.mark.parametrize("kind", NOT_COVERED)
def test_plain_c99_names_what_it_does_not_cover(kind):
    (found,) = [f for f in lint(model(kind)).of("c99") if f.level == "fail"]
    assert found.rule == "not-covered"
    said = f"{found.where}: {found.why}"
    assert any(text in said for text in NOT_COVERED[kind].split("|")), said


FAULTS = {
    "dense": ({t: {"per-channel-dense"} for t in KERNELS}, "quantized per channel"),
    "grouped": ({"tflm": set(), "cmsis-nn": set(), "esp-nn": {"grouped-convolution"}}, "ESP-NN's wrapper"),
    "dilated": ({"tflm": set(), "cmsis-nn": set(), "esp-nn": {"dilation"}}, "slow reference kernel"),
    "swish": ({"tflm": set(), "cmsis-nn": {"slow-operation"}, "esp-nn": {"slow-operation"}}, "LOGISTIC of Sigmoid"),
    "softmax": ({t: set() for t in KERNELS}, "students have only"),
    "batch": ({t: {"batch"} for t in KERNELS}, "the batch is not 1"),
    "float": ({t: {"type"} for t in KERNELS}, "float32: the micro tier is int8 throughout"),
    "dynamic": ({t: {"type", "shape"} for t in KERNELS}, "a shape that is not fixed"),
    "topk": ({t: {"type", "operation"} for t in KERNELS}, "TOPK_V2 of "),
}
IN_PRESETS = {
    "dense": {"per-channel-dense", "student-operation"},
    "swish": {"student-operation"},
    "softmax": {"student-operation"},
    "dilated": set(),
    "dynamic": {"type", "shape", "arena"},
    "topk": {"type", "operation", "arena"},
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_is_found_for_the_affected_targets(kind):
    wanted, said = FAULTS[kind]
    report = lint(model(kind), kind)
    assert {t: failures(report, t) for t in KERNELS} == wanted
    assert failures(report, "small") == IN_PRESETS.get(kind, wanted["esp-nn"])
    assert any(said in f"{f.where}: {f.why}" for f in report.findings)
    assert not report.passed()


def test_grouped_convolutions_are_a_note_for_cmsis_nn():
    notes = [f for f in lint(model("grouped")).of("cmsis-nn") if f.level == "note"]
    assert [f.rule for f in notes] == ["grouped-convolution"]


def test_check_targets_gives_the_first_reason():
    report = lint(demo(), "demo")
    check_targets(report, ["tflm", "micro"])
    size = len(load_bundle("demo").model)
    with pytest.raises(CheckFailedError, match=f"demo fails nano: {size} bytes of flash: the limit is 32768"):
        check_targets(report, ["micro", "nano"])


def test_student_operations_are_well_known_everywhere():
    for op in ALLOWED_OPS:
        assert adder(op) is not None
        assert op in CMSIS_NN_OPS & ESP_NN_OPS


@pytest.mark.parametrize(
    ("op", "method"),
    [
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("RELU6", "AddRelu6"),
        ("BATCH_TO_SPACE_ND", "AddBatchToSpaceNd"),
        ("SPLIT_V", "AddSplitV"),
        ("PADV2", "AddPadV2"),
        ("RESIZE_NEAREST_NEIGHBOR", "AddResizeNearestNeighbor"),
        ("SELECT_V2", "AddSelectV2"),
        ("TOPK_V2", None),
        ("CUSTOM:mine", None),
        ("BUILTIN_9999", None),
    ],
)
def test_registration_methods(op, method):
    assert adder(op) == method


def test_command(tmp_path, capsys):
    assert anyecg(["lint", "demo"]) == 0
    out = capsys.readouterr().out
    verdicts = out.partition("verdict  why\n")[2]
    rows = dict(line.split()[:2] for line in verdicts.splitlines() if not line.startswith(" "))
    assert rows == {t: "FAIL" if t == "nano" else "ok" for t in TARGETS}
    path = tmp_path / "swish.tflite"
    path.write_bytes(model("swish"))
    assert anyecg(["lint", str(path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == SCHEMA
    assert found["passed"] is False
    assert set(found["targets"]) == set(TARGETS)
    assert found["targets"]["esp-nn"]["findings"][0]["rule"] == "slow-operation"
    assert anyecg(["lint", str(path), "--target", "tflm"]) == 0


def test_command_on_a_file_that_is_not_a_model(tmp_path, capsys):
    path = tmp_path / "x.tflite"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert anyecg(["lint", str(path)]) == 3
    assert "is not a TFLite model" in capsys.readouterr().err
    path.write_bytes(demo()[:300])
    assert anyecg(["lint", str(path)]) == 3
    assert "damaged" in capsys.readouterr().err
    assert anyecg(["lint", str(tmp_path / "none")]) == 4
    assert anyecg(["lint", "demo", "--target", "z80"]) == 2


def test_a_crash_of_the_interpreter_is_a_finding(tmp_path, monkeypatch):
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(dying))
    report = lint(demo(), "demo")
    assert failures(report, "tflm") == {"interpreter"}
    assert failures(report, "small") == {"interpreter", "arena"}
    assert not report.passed()
    assert report.arena is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(8, 78535), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4))
def test_damaged_models_give_one_error(changes):
    damaged = bytearray(demo())
    for position, data in changes:
        damaged[position : position + len(data)] = data
    with contextlib.suppress(InputError):
        read_graph(bytes(damaged))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 400))
def test_noise_gives_one_error(noise, keep):
    head = demo()[:8] + demo()[-keep:] if keep else demo()[:8]
    for data in (noise, noise[:4] + b"TFL3" + noise[8:], head + noise):
        with contextlib.suppress(InputError):
            read_graph(data)


def test_small_preset_limits_are_those_of_the_students():
    assert {name: (s.flash_limit_bytes, s.arena_limit_bytes) for name, s in PRESETS.items()} == {
        "nano": (32768, 16384),
        "micro": (131072, 49152),
        "small": (524288, 131072),
    }


def test_operations_are_named_by_their_layer() -> None:
    from convert.micro.graph import Operation, Tensor
    from convert.micro.rules import _at

    def op(index: int, name: str) -> Operation:
        tensor = Tensor(name, (1,), dynamic=False, type="int8", constant=False, scale=(1.0,))
        return Operation(index, "MUL", (tensor,), (tensor,), 1, 1)

    names = ["core_1/stage_list__5__swish1_1/mul_1", "Relu6_1;add_1", "", "batchnorm", "a\nb/c"]
    places = [_at([op(i, name)]) for i, name in enumerate(names)]
    assert places == ["MUL of stage_list.5.swish1", "MUL of Relu6_1", "MUL #2", "MUL #3", "MUL of a?b"]
    assert _at(op(i, name) for i, name in enumerate(names)).endswith(" and 2 more")
