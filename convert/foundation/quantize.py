"""Search for a quantized form of a teacher that passes the gate: int8, then int8 with float layers, then int16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.inference import run_int8
from convert.compute.litert import describe
from convert.compute.progress import Progress
from convert.foundation.export import Scale, int16_flatbuffer, output_scale, quantized_flatbuffer
from convert.foundation.gate import Verdict, judge
from convert.foundation.records import AttemptRow, Form
from convert.parity.forms import HeadName
from convert.parity.layers import LayerRow, costly_layers, layer_table, short_name

CHECK_WINDOWS = 12
"""Number of windows on which the interpreters are compared; the reference kernels take 0.23 s for each."""

LAYER_WINDOWS = 6
"""Number of windows in the comparison of layers."""

SETTLE = 4
"""Maximum number of times that the output step is made coarser."""

MARGIN = 1.5
"""Factor by which the output step exceeds the largest difference between two correct interpreters."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Models and windows for the attempts.

    Attributes:
        float_model: The float TFLite model.
        calibrated: The float TFLite model with the range of each tensor.
        calibration: Windows that set the ranges, ``(n, samples)`` float32, with values that the int8 input can hold.
        evaluation: Other windows in the same form.
        steps: The windows ``evaluation`` as int8, ``(n, 1, samples, 1)``.
        teacher: Outputs of the float model on ``evaluation``, ``(n, heads)``.
        heads: Name and kind of each column.
        source: Scale of the input.
        limits: Limits, see :func:`convert.parity.forms.load_limits`.
    """

    float_model: bytes
    calibrated: bytes
    calibration: NDArray[np.float32]
    evaluation: NDArray[np.float32]
    steps: NDArray[np.int8]
    teacher: NDArray[np.float64]
    heads: Sequence[HeadName]
    source: Scale
    limits: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One quantized form and its verdict.

    Attributes:
        form: Name of the form.
        model: The quantized TFLite model.
        sink: Scale of the output.
        outputs: Outputs on the evaluation windows, ``(n, heads)``.
        verdict: Result of the gate.
        float_layers: Short names of the layers that stay in float.
    """

    form: Form
    model: bytes
    sink: Scale
    outputs: NDArray[np.float64]
    verdict: Verdict
    float_layers: tuple[str, ...] = ()

    def row(self) -> AttemptRow:
        """Return the attempt as an entry of the report."""
        return {
            "form": self.form,
            "ok": self.verdict.ok,
            "bytes": len(self.model),
            "float_layers": list(self.float_layers),
            "correlation_median": self.verdict.correlation_median,
            "flat_heads": self.verdict.flat,
            "faults": list(self.verdict.faults[:10]),
        }


def quantize_until_good(material: Material, stream: TextIO | None) -> tuple[list[Attempt], list[LayerRow]]:
    """Try the forms in order until the gate opens.

    Args:
        material: Models, windows and limits.
        stream: Stream for progress lines, or ``None``.

    Returns:
        The attempts, of which the last one passed unless none did; and the layers of the int8 form, empty if no
        fallback needed them.
    """
    say = stream.write if stream is not None else lambda _: 0
    say("quantizing: int8\n")
    attempts = [_int8(material)]
    if attempts[0].verdict.ok or not np.all(np.isfinite(material.teacher)):
        return attempts, []
    layers = layer_table(material.float_model, attempts[0].model, material.evaluation[:LAYER_WINDOWS])
    for count in material.limits["fallback"]["float_layers"]:
        worst = costly_layers(layers, int(count))
        say(
            f"the gate is shut ({attempts[-1].verdict.faults[0]}); quantizing again with {len(worst)} layers in float\n"
        )
        attempts.append(_mixed(material, attempts[0].sink, worst))
        if attempts[-1].verdict.ok:
            return attempts, layers
    say(f"the gate is shut ({attempts[-1].verdict.faults[0]}); next: int16 activations\n")
    attempts.append(_int16(material, attempts[0].sink, stream))
    return attempts, layers


def interpreter_noise_lsb(model: bytes, steps: NDArray[np.int8]) -> int:
    """Return the largest difference between XNNPACK and the reference kernels over windows, in LSB of the output."""
    a, b = run_int8(model, steps, "xnnpack"), run_int8(model, steps, "reference")
    return int(np.max(np.abs(a.astype(np.int16) - b.astype(np.int16))))


def _int8(material: Material) -> Attempt:
    """Return the full int8 form, with an output step that is coarse enough for two interpreters to agree.

    Two correct implementations round intermediate values differently, and the self-test of a bundle allows one step.
    """
    sink = output_scale(material.calibrated)
    model = quantized_flatbuffer(material.calibrated, material.source)
    for _ in range(SETTLE):
        noise = interpreter_noise_lsb(model, material.steps[:CHECK_WINDOWS])
        if noise <= 1:
            break
        sink = _coarser(sink, MARGIN * noise)
        model = quantized_flatbuffer(material.calibrated, material.source, sink)
    return _judged("int8", model, material)


def _coarser(sink: Scale, factor: float) -> Scale:
    scale = float(np.float32(sink.scale * factor))
    middle = (sink.low() + sink.high()) / 2.0
    return Scale(scale, int(np.clip(round(-0.5 - middle / scale), -128, 127)))


def _mixed(material: Material, sink: Scale, worst: Sequence[LayerRow]) -> Attempt:
    model = quantized_flatbuffer(material.calibrated, material.source, sink, [row.name for row in worst])
    attempt = _judged("int8 with float layers", model, material)
    return replace(attempt, float_layers=tuple(short_name(row.name) for row in worst))


def _int16(material: Material, sink: Scale, stream: TextIO | None) -> Attempt:
    progress = Progress("calibrating for int16", len(material.calibration), "windows", stream)
    model = int16_flatbuffer(material.float_model, material.calibration, material.source, sink, progress.step)
    return _judged("int16 activations", model, material)


def _judged(form: Form, model: bytes, material: Material) -> Attempt:
    found = describe(model)
    sink = Scale(found.output_scale, found.output_zero_point)
    outputs = sink.restore(run_int8(model, material.steps, "xnnpack"))
    verdict = judge(material.heads, material.teacher, outputs, material.limits["gate"])
    return Attempt(form, model, sink, outputs, verdict)
