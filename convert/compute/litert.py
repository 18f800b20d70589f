"""Export a student to a full-int8 TFLite model with batch size 1, and read such a model back.

The batch size is fixed, because a free one adds SHAPE, STRIDED_SLICE and PACK to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.qat import MIN_RANGE, QuantOps
from convert.compute.students import WINDOW_SAMPLES, StudentSpec, wire
from convert.compute.tf_runtime import load_tensorflow, quiet_stderr


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported model.

    Attributes:
        model: The TFLite flatbuffer.
        output_scale: Scale of the int8 output.
        output_zero_point: Zero point of the int8 output.
        output_shape: Shape of the output tensor.
        ops: Names of the operations in the file, in order.
    """

    model: bytes
    output_scale: float
    output_zero_point: int
    output_shape: tuple[int, ...]
    ops: tuple[str, ...]


def export_int8(
    spec: StudentSpec,
    n_outputs: int,
    weights: Mapping[str, NDArray[np.float32]],
    *,
    samples: int = WINDOW_SAMPLES,
) -> Exported:
    """Write a student as a full-int8 model, batch 1, int8 in and out.

    Args:
        spec: The student.
        n_outputs: Number of heads.
        weights: Folded weights with ranges, learned (quantization-aware) or measured (:func:`post_training_ranges`).
        samples: Window length.
    """
    tf = load_tensorflow()
    constants = {k: tf.constant(v) for k, v in weights.items() if not k.endswith(("/low", "/high"))}
    lows = {k: float(v) for k, v in weights.items() if k.endswith("/low")}
    highs = {k: max(float(v), MIN_RANGE) for k, v in weights.items() if k.endswith("/high")}
    ops = QuantOps(spec, n_outputs, {**constants, **lows, **highs}, export=True)

    def run(x: Any) -> Any:
        logits, _ = wire(spec, ops, ops.input(x))
        return logits

    converter = _converter(run, samples)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    with quiet_stderr():
        return describe(converter.convert())


def export_float(
    spec: StudentSpec,
    n_outputs: int,
    folded: Mapping[str, NDArray[np.float32]],
    *,
    samples: int = WINDOW_SAMPLES,
) -> bytes:
    """Write a student without any quantization: float z-scores in, float logits out, batch 1.

    Args:
        spec: The student.
        n_outputs: Number of heads.
        folded: Folded weights, as :func:`convert.compute.qat.float_forward` takes them.
        samples: Window length.
    """
    tf = load_tensorflow()
    ops = QuantOps(spec, n_outputs, {k: tf.constant(v) for k, v in folded.items()}, observe=True)

    def run(x: Any) -> Any:
        logits, _ = wire(spec, ops, x)
        return logits

    converter = _converter(run, samples)
    with quiet_stderr():
        return bytes(converter.convert())


def _converter(run: Callable[[Any], Any], samples: int) -> Any:
    """Return TensorFlow Lite's converter for a function of one window."""
    tf = load_tensorflow()
    module = tf.Module()
    module.run = tf.function(run, input_signature=[tf.TensorSpec([1, 1, samples, 1], tf.float32)])
    function = module.run.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([function], module)


def describe(model: bytes) -> Exported:
    """Read output quantization, shape and operations back from a flatbuffer."""
    interpreter = reference_interpreter(model)
    out = interpreter.get_output_details()[0]
    scale, zero_point = out["quantization"]
    ops = tuple(str(op["op_name"]) for op in interpreter._get_ops_details())  # noqa: SLF001 - no public reader
    return Exported(model, float(scale), int(zero_point), tuple(int(n) for n in out["shape"]), ops)


def reference_interpreter(model: bytes) -> Any:
    """Return LiteRT with its reference kernels, which TFLite Micro equals bit for bit."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    return interpreter
