"""Run a fitted model in LiteRT, and choose the steps in which the runtime counts its input and output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.tf_runtime import quiet_stderr
from convert.foundation.quantize import FLOAT_INPUT_SCALE, FLOAT_OUTPUT_SCALE
from convert.own_model.fit import Fitted
from edge.bundle.tensors import TensorSpec
from firmware_bridge.errors import InputError

F64 = NDArray[np.float64]

STEPS_PER_SD = 50
"""Smallest number of output steps in a standard deviation of a head."""

ROOM = 8.0
"""Range of a float output, relative to the largest value over the windows."""

STILL = 1e-3
"""Standard deviation below which a head does not vary; it does not decide about steps."""

_INT16_MAX = 32767


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """A model in LiteRT.

    Attributes:
        source: Its input in the runtime's steps.
        shape: Shape of its output.
        outputs: Its outputs, ``(windows, heads)``.
    """

    source: TensorSpec
    shape: tuple[int, ...]
    outputs: F64


def run_fitted(fitted: Fitted, windows: F64, name: str) -> Ran:
    """Run a model on windows as the device will: rounded to the steps of its input.

    Args:
        fitted: The model.
        windows: z-scores, ``(n, samples)``.
        name: Name of the file, for error messages.

    Raises:
        InputError: LiteRT does not load or run the model.
    """
    try:
        interpreter = _interpreter(fitted.model)
        source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        taken = source_spec(fitted, tuple(int(n) for n in source["shape"]))
        out = []
        for window in windows:
            steps = taken.to_steps(window)
            given = steps if taken.dtype == "int8" else taken.to_values(steps)
            interpreter.set_tensor(source["index"], given.reshape(taken.shape).astype(source["dtype"]))
            interpreter.invoke()
            out.append(interpreter.get_tensor(sink["index"]).reshape(-1).astype(np.float64))
    except (ValueError, RuntimeError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise InputError(f"LiteRT does not run {name}: {first}", "export it with TFLITE_BUILTINS only") from None
    values = np.stack(out)
    if fitted.sink.scale is not None and fitted.sink.type == "int8":
        values = (values - fitted.sink.zero_point) * fitted.sink.scale
    return Ran(taken, tuple(int(n) for n in sink["shape"]), values)


def _interpreter(model: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


def source_spec(fitted: Fitted, shape: tuple[int, ...]) -> TensorSpec:
    """Return the input in the runtime's steps: an int8 input has its own scale."""
    end = fitted.source
    if end.type == "int8" and end.scale is not None:
        return TensorSpec(shape, end.scale, end.zero_point)
    return TensorSpec(shape, FLOAT_INPUT_SCALE, 0, "float32")


def sink_spec(fitted: Fitted, ran: Ran) -> TensorSpec | None:
    """Return the output in the runtime's steps; ``None`` if no step of a float output serves all heads."""
    end = fitted.sink
    if end.type == "int8" and end.scale is not None:
        return TensorSpec(ran.shape, end.scale, end.zero_point)
    largest = max(float(np.abs(ran.outputs).max()), STILL)
    # A power of two, so that steps are exact on every machine.
    step = 2.0 ** math.ceil(math.log2(ROOM * largest / _INT16_MAX))
    if steps_per_sd(ran.outputs, step).min(initial=math.inf) < STEPS_PER_SD:
        return None
    return TensorSpec(ran.shape, step, 0, "float32")


def standard_spec(ran: Ran) -> TensorSpec:
    """Return the output of a model with standardised heads in the runtime's steps."""
    return TensorSpec(ran.shape, FLOAT_OUTPUT_SCALE, 0, "float32")


def steps_per_sd(outputs: F64, step: float) -> F64:
    """Return the standard deviation of each head that varies, in steps."""
    sd = outputs.std(axis=0)
    return np.asarray(sd[sd >= STILL] / step)
