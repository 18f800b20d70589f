"""The operations that LiteRT's reference kernels and TensorFlow Lite Micro round differently, and scales that agree."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from convert.compute.agreeing_scales import _Model, doubtful_inputs, with_agreeing_scales
from convert.compute.litert import reference_interpreter
from firmware_bridge.errors import CheckFailedError

runtime = pytest.importorskip("tflite_micro").runtime

PAIRS = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
LOGISTIC_OUT = (1.0 / 256.0, -128)


def tensor(schema: Any, name: str, scale: float, zero_point: int) -> Any:
    t = schema.TensorT()
    t.name, t.type, t.buffer = name, schema.TensorType.INT8, 0
    t.shape = np.array([1, 1, 256, 256], np.int32)
    t.quantization = schema.QuantizationParametersT()
    t.quantization.scale = np.array([scale], np.float32)
    t.quantization.zeroPoint = np.array([zero_point], np.int64)
    return t


def one_operation(name: str, *ends: tuple[float, int]) -> bytes:
    """Return a model of one operation; ``ends`` are scale and zero point of its inputs and of its output."""
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    flatbuffers: Any = importlib.import_module("flatbuffers")
    model, graph, op, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = 2
    graph.tensors = [tensor(schema, f"t{i}", *end) for i, end in enumerate(ends)]
    op.opcodeIndex = 0
    op.inputs = graph.inputs = np.arange(len(ends) - 1, dtype=np.int32)
    op.outputs = graph.outputs = np.array([len(ends) - 1], np.int32)
    if name == "MUL":
        op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
    graph.operators = [op]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def differing(model: bytes) -> int:
    """Return how many of all inputs the two interpreters answer differently; each step differs by one at most."""
    reference, micro = reference_interpreter(model), runtime.Interpreter.from_bytes(model, arena_size=1 << 20)
    for i, details in enumerate(reference.get_input_details()):
        x = PAIRS[i].astype(np.int8).reshape(1, 1, 256, 256)
        reference.set_tensor(details["index"], x)
        micro.set_input(x, i)
    reference.invoke()
    micro.invoke()
    found = reference.get_tensor(reference.get_output_details()[0]["index"]).astype(int)
    gap = np.abs(found - micro.get_output(0).astype(int))
    assert gap.max() <= 1
    return int(np.count_nonzero(gap))


def products(count: int) -> list[bytes]:
    """Return multiplications like those of a swish, of which the two interpreters round some pair differently."""
    rng = np.random.default_rng(3)
    found: list[bytes] = []
    while len(found) < count:
        scale = float(rng.uniform(0.01, 0.1))
        ends = ((scale, int(rng.integers(-128, 128))), LOGISTIC_OUT, (scale * rng.uniform(0.3, 1.1), -100))
        model = one_operation("MUL", *ends)
        if doubtful_inputs(model):
            found.append(model)
    return found


def test_the_pairs_of_a_product_that_differ_are_counted_exactly_and_removed() -> None:
    for model in products(5):
        assert doubtful_inputs(model) == {"t2": differing(model)}
        settled = with_agreeing_scales(model)
        assert differing(settled) == 0
        assert doubtful_inputs(settled) == {}
        assert len(settled) == len(model)
        assert _Model(settled).scale(2)[0] == pytest.approx(_Model(model).scale(2)[0], rel=1e-4)


def test_products_that_agree_stay_byte_for_byte() -> None:
    model = one_operation("MUL", (0.125, 3), (0.25, -7), (0.5, 1))
    assert differing(model) == 0
    assert doubtful_inputs(model) == {}
    assert with_agreeing_scales(model) == model


def test_the_inputs_of_a_logistic_that_differ_are_among_the_doubtful_ones_and_removed() -> None:
    rng = np.random.default_rng(5)
    models = [one_operation("LOGISTIC", (float(s), 20), LOGISTIC_OUT) for s in rng.uniform(0.02, 0.2, 150)]
    doubtful = [m for m in models if doubtful_inputs(m)]
    assert 1 <= len(doubtful) < 40
    assert all(differing(m) == 0 for m in models if m not in doubtful)
    assert all(differing(with_agreeing_scales(m)) == 0 for m in doubtful)


def test_a_known_logistic_differs_until_its_scale_is_changed() -> None:
    # 0.5 / 256 above a whole step: ln((63.5 + 1e-6) / (192.5 - 1e-6)) / -50.
    middle = float(np.log(192.5 / 63.5) / 50.0)
    near = (middle * (1.0 + k * 2.0**-23) for k in range(-3, 4))
    model = next(m for s in near if differing(m := one_operation("LOGISTIC", (s, 0), LOGISTIC_OUT)))
    assert doubtful_inputs(model)
    assert differing(with_agreeing_scales(model)) == 0


def test_a_product_that_cannot_agree_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convert.compute.agreeing_scales.MAX_STEPS", 0)
    with pytest.raises(CheckFailedError, match="round t2 differently"):
        with_agreeing_scales(products(1)[0])
