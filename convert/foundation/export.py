"""Export of a Keras Net1D to TFLite models: float, float with the range of each tensor, and full int8.

The network is converted once. The other forms are made from the float model in seconds. The ranges of input and output
are set, not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.agreeing_scales import with_agreeing_scales
from convert.compute.flatbuffer import ends, opened, packed, schema
from convert.compute.tf_runtime import THREADS, load_tensorflow, quiet_stderr
from edge.bundle.tensors import TensorSpec
from firmware_bridge.errors import AnyEcgError, CheckFailedError

INT8_STEPS = 128
"""Number of steps from zero to the clamp of the input."""


def int8_input(clamp: float, samples: int) -> TensorSpec:
    """Return the int8 input of a model for z-scores clamped to ``-clamp..clamp``.

    Args:
        clamp: Largest absolute z-score.
        samples: Length of a window, samples.
    """
    return TensorSpec((1, 1, samples, 1), clamp / INT8_STEPS, 0)


def float_flatbuffer(core: Any, samples: int, outputs: Sequence[int] = (0,)) -> bytes:
    """Convert the core of a Net1D to a float model with batch size 1.

    Args:
        core: ``Net1D.core`` with a fixed length.
        samples: Length of a window, samples.
        outputs: Indices of the outputs in order: 0 for logits, 1 for features.

    Returns:
        A TFLite model from float ``(1, 1, samples, leads)`` to ``(1, 1, 1, outputs)``.
    """
    return converted(frozen(core, samples, outputs))


def frozen(core: Any, samples: int, outputs: Sequence[int] = (0,)) -> Any:
    """Return the core of a Net1D as a function of constants, which does not need the core any more.

    Args:
        core: ``Net1D.core`` with a fixed length.
        samples: Length of a window, samples.
        outputs: Indices of the outputs in order: 0 for logits, 1 for features.
    """
    tf = load_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    leads = int(core.inputs[0].shape[-1])

    def run(window: Any) -> Any:
        found = core(window, training=False)
        return [found[i] for i in outputs]

    function = tf.function(run, input_signature=[tf.TensorSpec([1, 1, samples, leads], tf.float32, name="window")])
    with quiet_stderr():
        # The calibrating interpreter does not support variables.
        return convert_variables_to_constants_v2(function.get_concrete_function())


def converted(function: Any) -> bytes:
    """Convert the result of :func:`frozen` to a float TFLite model."""
    tf = load_tensorflow()
    with quiet_stderr():
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function]).convert())


def calibrated_flatbuffer(
    float_model: bytes, windows: NDArray[np.float32], step: Callable[[int], None] = lambda _: None
) -> bytes:
    """Add the smallest and largest value of every tensor over windows to a float model.

    TensorFlow's calibrator is not used. If an operation writes over its input, it records the range of the result for
    both tensors. The product of a squeeze-and-excitation then had the range of the following sum, which cost 13 dB in
    each block (measured on the full teacher).

    Args:
        float_model: Result of :func:`float_flatbuffer`.
        windows: Input windows of the device as float, ``(n, samples)``.
        step: Function that is called with the number of finished windows.

    Raises:
        CheckFailedError: A tensor has NaN or infinity.
    """
    load_tensorflow()
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with quiet_stderr():
        interpreter = Interpreter(
            model_content=float_model,
            num_threads=THREADS,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    model = opened(float_model)
    graph = model.subgraphs[0]
    made = sorted({int(graph.inputs[0]), *(int(i) for op in graph.operators for i in op.outputs)})
    low, high = np.full(len(made), np.inf), np.full(len(made), -np.inf)
    for k, window in enumerate(windows):
        interpreter.set_tensor(int(graph.inputs[0]), window.reshape(1, 1, -1, 1))
        interpreter.invoke()
        for j, index in enumerate(made):
            lowest, highest = _range(interpreter.tensor(index))
            low[j], high[j] = np.minimum(low[j], lowest), np.maximum(high[j], highest)
        step(k + 1)
    if not np.all(np.isfinite(low) & np.isfinite(high)):
        bad = graph.tensors[made[int(np.argmin(np.isfinite(low) & np.isfinite(high)))]].name.decode()
        raise CheckFailedError(f"NaN or infinity in the layer {bad.split(';')[0]}", "give another checkpoint")
    for index, lowest, highest in zip(made, low, high, strict=True):
        ranges = schema().QuantizationParametersT()
        ranges.min, ranges.max = np.array([lowest], np.float32), np.array([highest], np.float32)
        graph.tensors[index].quantization = ranges
    return packed(model)


def _range(view: Callable[[], NDArray[np.float32]]) -> tuple[float, float]:
    """Return the smallest and largest value; the view into the interpreter must not outlive the call."""
    values = view()
    return float(values.min()), float(values.max())


def quantized_flatbuffer(calibrated: bytes, source: TensorSpec, sink: TensorSpec | None = None) -> bytes:
    """Quantize a calibrated model to int8 with int8 input and output.

    LiteRT's reference kernels and TensorFlow Lite Micro compute the same steps with it.

    Args:
        calibrated: Result of :func:`calibrated_flatbuffer`.
        source: Steps of the input.
        sink: Steps of the output; ``None`` for the measured range.

    Raises:
        AnyEcgError: The converter fails, or no scales exist with which two interpreters agree.
    """
    tf = load_tensorflow()
    from tensorflow.lite.python import convert

    prepared = with_ranges(calibrated, source, sink)
    with _one_line(), quiet_stderr():
        made = bytes(convert.mlir_quantize(prepared, input_data_type=tf.int8, output_data_type=tf.int8))
    return with_agreeing_scales(made)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise AnyEcgError(f"the converter cannot quantize this network: {first}") from None


def with_ranges(calibrated: bytes, source: TensorSpec, sink: TensorSpec | None = None) -> bytes:
    """Set the range of the input, and of the output unless it is ``None``, in a calibrated model."""
    model = opened(calibrated)
    _graph, first, last = ends(model)
    for tensor, spec in ((first, source), (last, sink)):
        if spec is not None:
            low, high = spec.to_values(np.array([-128, 127], np.int8))
            tensor.quantization.min, tensor.quantization.max = np.array([low], np.float32), np.array([high], np.float32)
    return packed(model)
