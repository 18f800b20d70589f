"""What correct interpreters differ by on the golden windows of a model, and the limits of its self-test.

Every interpreter rounds intermediate values in its own way, and a deep network makes more of the differences. Another
processor, or another version of an interpreter, differs in the same way, so the differences between the interpreters at
the conversion are the measure. For a float form, a change of the input in the seventh digit is one more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.tf_runtime import quiet_stderr
from convert.foundation.quantize import Made
from edge.bundle.golden import Limit
from edge.bundle.tensors import Steps, TensorSpec
from edge.model import BackendName, open_model
from edge.self_test import measured
from firmware_bridge.errors import AnyEcgError, MissingExtraError

NUDGE = 1e-6
"""Relative change of a float input, about what another order of additions changes."""

FLOOR = Limit(1.0, 0.5, 0.5)
"""Smallest limits, steps: an output at the border between two steps may fall on either side."""

MICRO_WINDOWS = 3
"""Windows for TFLite Micro, which takes 1.1 s for each with the full teacher on a host."""


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Golden vectors of a form.

    Attributes:
        inputs: Inputs in steps, ``(k, *input.shape)``.
        outputs: Outputs of the reference kernels for int8, else of LiteRT, ``(k, heads)`` steps.
        by_interpreter: Outputs of each interpreter, steps.
        limits: Limit of each interpreter.
        micro: Outputs of TFLite Micro for the first windows, ``(n, heads)`` steps, or why it cannot run the form.
    """

    inputs: Steps
    outputs: Steps
    by_interpreter: Mapping[str, Steps]
    limits: Mapping[str, Limit]
    micro: Steps | str


def golden_of(made: Made, windows: NDArray[np.floating[Any]], margin: float) -> Golden:
    """Run the golden windows in each interpreter, and derive the limits of the self-test.

    Args:
        made: The form.
        windows: Golden windows, z-scores, ``(k, samples)``.
        margin: Limits relative to what the interpreters differ by.
    """
    inputs = np.stack([made.source.to_steps(w) for w in windows]).reshape(len(windows), *made.source.shape)
    litert, reference = (_run(made, inputs, name) for name in ("litert", "litert-reference"))
    apart = [litert - reference]
    if made.source.dtype == made.sink.dtype == "float32":
        apart += [_run(made, inputs, "litert", 1.0 + nudge) - litert for nudge in (NUDGE, -NUDGE)]
    own = _widest(apart, margin)
    limits = {"litert": own, "litert-reference": FLOOR if made.sink.dtype == "int8" else own}
    steps = {"litert": _steps(litert, made.sink), "litert-reference": _steps(reference, made.sink)}
    micro = micro_outputs(made, inputs[:MICRO_WINDOWS])
    if not isinstance(micro, str):
        limits["tflm"] = _widest([micro - reference[: len(micro)]], margin)
    first = "litert-reference" if made.sink.dtype == "int8" else "litert"
    return Golden(inputs, steps[first], steps, limits, micro)


def _widest(differences: list[NDArray[np.int32]], margin: float) -> Limit:
    found = [FLOOR, *(measured(d) for d in differences)]
    largest = [max(getattr(f, name) for f in found[1:]) * margin for name in ("max", "rms", "shift")]
    return Limit(*(round(max(a, b), 3) for a, b in zip((FLOOR.max, FLOOR.rms, FLOOR.shift), largest, strict=True)))


def _steps(outputs: NDArray[np.int32], sink: TensorSpec) -> Steps:
    return outputs.astype(sink.steps_dtype)


def _run(made: Made, inputs: Steps, backend: BackendName, factor: float = 1.0) -> NDArray[np.int32]:
    # A factor on the scale changes the float values without leaving the steps of the input.
    source = TensorSpec(made.source.shape, made.source.scale * factor, made.source.zero_point, made.source.dtype)
    model = open_model(made.model, source, made.sink, backend)
    return np.stack([model.run(window) for window in inputs]).astype(np.int32)


def micro_outputs(made: Made, inputs: Steps) -> NDArray[np.int32] | str:
    """Return the outputs of TFLite Micro, ``(n, heads)`` steps, or why it cannot run the form."""
    if made.sink.dtype != "int8":
        return "it has no kernels for this form, only for int8"
    try:
        with quiet_stderr():
            return _run(made, inputs, "tflm")
    except MissingExtraError as error:
        return str(error)
    except (AnyEcgError, RuntimeError, ValueError) as error:
        return f"it cannot run this model ({(str(error).splitlines() or ['?'])[0]})"
