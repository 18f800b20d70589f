"""Runs an exported model over many windows, in each of the interpreters that have to agree."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.compute.litert import reference_interpreter
from convert.compute.tf_runtime import quiet_stderr
from firmware_bridge.errors import MissingExtraError

Engine = Literal["reference", "xnnpack", "tflm"]


def run_int8(model: bytes, inputs: NDArray[np.int8], engine: Engine = "reference") -> NDArray[np.int8]:
    """Outputs of an int8 model, one window at a time.

    Args:
        model: The TFLite flatbuffer.
        inputs: ``(n, 1, 1, samples, 1)`` or ``(n, 1, samples, 1)``.
        engine: LiteRT's reference kernels, LiteRT as it runs on a Pi, or TFLite Micro.

    Returns:
        ``(n, outputs)``, int8.

    Raises:
        MissingExtraError: TFLite Micro was asked for and is not installed.
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
    """The smallest arena, in whole KiB, with which the TFLite Micro interpreter accepts a model.

    The interpreter reports what it used only on its log; trying sizes measures the same thing without reading a log.

    Args:
        model: The TFLite flatbuffer.
        limit_bytes: Where to give up.

    Raises:
        MissingExtraError: TFLite Micro is not installed.
        ValueError: It does not fit into ``limit_bytes``.
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
