"""Small LiteRT models as other people export them: any input shape, any form, any end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

Form = Literal["float32", "float16", "dynamic", "int8", "int8 inside", "int8 from float", "int8 to float"]
End = Literal["logits", "sigmoid", "softmax", "scaled", "nan"]
Shape = tuple[int | None, ...]

HEADS = 3
FEATURES = 40


@cache
def own_model(
    shape: Shape = (1, 1250, 1),
    form: Form = "float32",
    end: End = "logits",
    *,
    features: int = 0,
    age: bool = False,
) -> bytes:
    """Return a model of one convolution, a mean and a dense layer.

    Args:
        shape: Shape of its input ``ecg``; ``None`` for a free dimension.
        form: Form of the model.
        end: What follows the dense layer.
        features: Number of values of a second output, ``features``; 0 for none.
        age: Whether it has a second input.
    """
    from convert.compute.tf_runtime import load_tensorflow, quiet_stderr

    tf = load_tensorflow()
    rng = np.random.default_rng(3)
    kernel, narrow, dense = (
        tf.constant(rng.normal(0, s, size).astype(np.float32))
        for s, size in ((0.3, (1, 15, 1, FEATURES)), (0.2, (1, 1, FEATURES, FEATURES)), (0.5, (FEATURES, HEADS)))
    )
    scale = tf.constant([0.01, 1.0, 300.0] if end == "scaled" else [1.0] * HEADS)

    def network(x: Any, years: Any = None) -> dict[str, Any]:
        samples = x.shape[1] if len(shape) == 3 and shape[1] is None else max(n or 1 for n in shape)
        y = tf.reshape(x, [1, 1, samples or -1, 1])
        y = tf.nn.relu(tf.nn.conv2d(y, kernel, [1, 1, 5, 1], "SAME"))
        y = tf.nn.relu(tf.nn.conv2d(y, narrow, 1, "SAME"))
        y = tf.reduce_mean(y, axis=[1, 2])
        z = tf.add(tf.matmul(y, dense), [0.5, -0.5, 0.1]) * scale
        z = z if years is None else z + years
        z = {"sigmoid": tf.sigmoid, "softmax": tf.nn.softmax, "nan": lambda v: tf.math.log(v * 0.0 - 1.0)}.get(
            end, tf.identity
        )(z)
        return {"answer": z, "features": y[:, :features]} if features else {"answer": z}

    specs = [tf.TensorSpec(shape, tf.float32, name="ecg")]
    specs += [tf.TensorSpec((1, 1), tf.float32, name="years")] if age else []
    function = tf.function(network, input_signature=specs)
    module = tf.Module()
    module.f = function
    with quiet_stderr():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module)
        _set_form(tf, converter, form, [n or 1 for n in shape])
        return bytes(converter.convert())


def _set_form(tf: Any, converter: Any, form: Form, shape: Sequence[int]) -> None:
    if form != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if form.startswith("int8"):
        draw = np.random.default_rng(4)
        converter.representative_dataset = lambda: (
            [np.clip(draw.normal(0, 1.2, shape), -6, 6).astype(np.float32)] for _ in range(8)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if form in {"int8", "int8 to float"}:
        converter.inference_input_type = tf.int8
    if form in {"int8", "int8 from float"}:
        converter.inference_output_type = tf.int8


def with_custom_operation(model: bytes, name: str) -> bytes:
    """Return a model whose first operation is a custom one of a name."""
    from convert.compute.flatbuffer import schema
    from convert.own_model.graph import OwnModel

    own = OwnModel(model, "model.tflite")
    code = own.tree.operatorCodes[own.main.operators[0].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = schema().BuiltinOperator.CUSTOM
    code.customCode = name.encode()
    return own.packed()


def describe_heads(path: Path, count: int = HEADS, *, value: bool = False) -> Path:
    """Write an outputs file of ``count`` heads, the last of which may be a value."""
    heads: list[dict[str, str]] = [{"key": f"h{i}", "lab": "x", "kind": "probability"} for i in range(count)]
    if value:
        heads[-1] = {"key": "glucose", "lab": "glucose", "kind": "value", "unit": "mg/dL"}
    path.write_text(json.dumps({"outputs": heads}))
    return path
