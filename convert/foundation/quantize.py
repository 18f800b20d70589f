"""Finds the quantized form of a teacher that its gate lets through: int8, then some layers float, then int16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.inference import run_int8
from convert.compute.litert import describe
from convert.compute.progress import Progress
from convert.foundation.export import Scale, int16_flatbuffer, output_scale, quantized_flatbuffer
from convert.foundation.gate import Verdict, judge
from convert.parity.forms import HeadName
from convert.parity.layers import LayerRow, costly_layers, layer_table, short_name

Form = Literal["int8", "int8 with float layers", "int16 activations"]

CHECK_WINDOWS = 12
"""Windows on which the interpreters are compared: the reference kernels take 0.23 s for one."""

LAYER_WINDOWS = 6
SETTLE = 4
"""Times the output scale may be made coarser."""

MARGIN = 1.5
"""The output's step is this many times the largest difference that two right interpreters showed."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What an attempt is made of and judged on.

    Attributes:
        float_model: The float flatbuffer.
        calibrated: The same with ranges.
        calibration: ``(n, samples)`` windows as floats that the input can hold.
        evaluation: Other windows, the same way.
        steps: ``evaluation`` as int8 ``(n, 1, samples, 1)``.
        teacher: ``(n, heads)`` float outputs on ``evaluation``.
        heads: One a column.
        source: Scale of the input.
        limits: As :func:`convert.parity.forms.load_limits` gives them.
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
    """One quantized form.

    Attributes:
        form: Which.
        model: The flatbuffer.
        sink: Scale of its output.
        outputs: ``(n, heads)`` on the evaluation windows.
        verdict: Of the gate.
        float_layers: Layers that were kept in float, by name for people.
    """

    form: Form
    model: bytes
    sink: Scale
    outputs: NDArray[np.float64]
    verdict: Verdict
    float_layers: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """The attempt in the report."""
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
    """Tries forms in order until the gate opens.

    Args:
        material: Models, windows and limits.
        stream: Where progress goes.

    Returns:
        The attempts, the last of which is the one that passed or, where none did, the int16 one; and the layers of the
        int8 form, empty where no fallback needed them.
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
    """The largest difference, in steps of the output, between XNNPACK and the reference kernels over windows."""
    a, b = run_int8(model, steps, "xnnpack"), run_int8(model, steps, "reference")
    return int(np.max(np.abs(a.astype(np.int16) - b.astype(np.int16))))


def _int8(material: Material) -> Attempt:
    """Full int8, with an output no finer than what interpreters agree on.

    Two right implementations round intermediate values differently, and the self-test of a bundle allows one step.
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
