"""Run an exported model over many windows, in each of the interpreters that must agree."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.compute.litert import reference_interpreter
from convert.compute.tf_runtime import quiet_stderr
from firmware_bridge.errors import MissingExtraError

Engine = Literal["reference", "xnnpack", "tflm"]


def as_float(inputs: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return int8 model inputs as the z-scores that they stand for, float32 of the same shape."""
    return inputs.astype(np.float32) / np.float32(16.0)


def run_int8(model: bytes, inputs: NDArray[np.int8], engine: Engine = "reference") -> NDArray[np.int8]:
    """Run an int8 model, one window at a time.

    Args:
        model: The TFLite flatbuffer.
        inputs: Windows, ``(n, 1, 1, samples, 1)`` or ``(n, 1, samples, 1)``, int8.
        engine: ``reference`` (LiteRT with its reference kernels), ``xnnpack`` (LiteRT as on a Raspberry Pi) or ``tflm``
            (TFLite Micro).

    Returns:
        Outputs, ``(n, outputs)``, int8.

    Raises:
        MissingExtraError: ``engine`` is ``tflm`` and TFLite Micro is not installed.
    """
    windows = inputs.reshape(len(inputs), 1, 1, inputs.shape[-2], 1)
    if engine == "tflm":
        return _run_tflm(model, windows)
    if engine == "reference":
        interpreter = reference_interpreter(model)
    else:
        from ai_edge_litert.interpreter import Interpreter

        with quiet_stderr():
            interpreter = Interpreter(model_content=model, num_threads=1)
            interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    sink = interpreter.get_output_details()[0]["index"]
    out = []
    for window in windows:
        interpreter.set_tensor(source, window)
        interpreter.invoke()
        out.append(interpreter.get_tensor(sink).reshape(-1))
    return np.stack(out).astype(np.int8)


def _run_tflm(model: bytes, windows: NDArray[np.int8]) -> NDArray[np.int8]:
    try:
        from tflite_micro import runtime
    except ImportError as error:
        raise MissingExtraError("checking against TFLite Micro", "micro") from error
    interpreter = runtime.Interpreter.from_bytes(model)
    out = []
    for window in windows:
        interpreter.set_input(window, 0)
        interpreter.invoke()
        out.append(np.asarray(interpreter.get_output(0)).reshape(-1).copy())
    return np.stack(out).astype(np.int8)


def arena_bytes(model: bytes, limit_bytes: int = 512 * 1024) -> int:
    """Return the smallest arena in bytes, a multiple of 1 KiB, with which TFLite Micro accepts a model.

    The interpreter reports its use only in its log. Trying sizes measures the same without reading a log.

    Args:
        model: The TFLite flatbuffer.
        limit_bytes: Largest arena to try.

    Raises:
        MissingExtraError: TFLite Micro is not installed.
        ValueError: The model needs more than ``limit_bytes``.
    """
    try:
        from tflite_micro import runtime
    except ImportError as error:
        raise MissingExtraError("measuring the arena", "micro") from error

    def fits(kib: int) -> bool:
        try:
            with quiet_stderr():
                runtime.Interpreter.from_bytes(model, arena_size=kib * 1024)
        except RuntimeError:
            return False
        return True

    low, high = 0, limit_bytes // 1024
    if not fits(high):
        raise ValueError(f"the model needs an arena of more than {limit_bytes} bytes")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high * 1024
