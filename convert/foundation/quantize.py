"""The forms of a teacher: make them, judge each against its float form, measure their speed, and choose one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.litert import describe
from convert.foundation.export import INT8_STEPS, quantized_flatbuffer
from convert.foundation.gate import Verdict, judge
from convert.foundation.records import FormRow, Wanted
from convert.foundation.shift import with_shifted_heads
from convert.foundation.standard import STEPS_PER_SD, with_copies
from convert.foundation.weights import dynamic_flatbuffer, float16_flatbuffer
from convert.parity.forms import HeadName, interpreters_agree
from convert.quantization import StepRow
from edge.bundle.schema import Form
from edge.bundle.tensors import TensorSpec
from edge.frontend.ecgfounder import CLAMP
from edge.model import Model, open_model
from firmware_bridge.errors import CheckFailedError

FLOAT_INPUT_SCALE = 1.0 / 2048.0
"""Steps of the input of a float form, z-scores: int16 reaches the clamp of 16, and the rounding is 500 times finer than
that of int8. Rounded inputs are equal on processors whose filters differ in the last digits."""

FLOAT_OUTPUT_SCALE = 1.0 / 1024.0
"""Steps of the output of a float form, standard deviations of a head: int16 reaches 32 of them."""

FASTER = 1.25
"""How many times as fast as dynamic range full int8 must be for ``auto`` to take it."""

AUTO: frozenset[Form] = frozenset({"dynamic", "int8"})
"""Forms that ``auto`` chooses from."""

REFERENCE_WINDOWS = 8
"""Number of windows for the reference kernels, which take 0.2 s for each with the full teacher."""

TIMED_WINDOWS = 4
TIMED_ROUNDS = 5
"""The forms run in turns, and the best time of each counts, because other programs may use the machine."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranged:
    """A float model with the range of each tensor, ready for the converter.

    Attributes:
        model: The float TFLite model.
        steps: What each step of its preparation bought.
    """

    model: bytes
    steps: Sequence[StepRow] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Models and windows for the forms.

    Attributes:
        float_model: The float TFLite model, with standardised heads.
        calibrated: Function that returns the float model with the range of each tensor.
        calibration: Windows that set the ranges, z-scores, ``(n, samples)``.
        calibration_teacher: Outputs of the float model on ``calibration``, ``(n, heads)``.
        evaluation: Windows for the gate, z-scores, ``(n, samples)``.
        teacher: Outputs of the float model on ``evaluation``, ``(n, heads)``.
        heads: Name, kind and scale of each column.
        source: Input of the int8 form.
        limits: Limits, see :func:`convert.parity.limits.load_limits`.
    """

    float_model: bytes
    calibrated: Callable[[], Ranged]
    calibration: NDArray[np.float32]
    calibration_teacher: NDArray[np.float64]
    evaluation: NDArray[np.float32]
    teacher: NDArray[np.float64]
    heads: Sequence[HeadName]
    source: TensorSpec
    limits: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """One form of the model.

    Attributes:
        form: Name of the form.
        model: The TFLite model.
        source: Input of the model.
        sink: Output of the model.
        steps: What each step of the preparation bought; for full int8 only.
        prepared: The float model that the converter got, whose layers the model has; for full int8 only.
    """

    form: Form
    model: bytes
    source: TensorSpec
    sink: TensorSpec
    steps: Sequence[StepRow] = ()
    prepared: bytes = b""

    @property
    def clamp(self) -> float:
        """Largest absolute z-score of the input."""
        return self.source.scale * INT8_STEPS if self.source.dtype == "int8" else CLAMP


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One form with its verdict.

    Attributes:
        made: The form.
        outputs: Outputs on the evaluation windows, ``(n, heads)``.
        verdict: Result of the gate.
        ms: Time of one window on this machine with one thread, milliseconds.
    """

    made: Made
    outputs: NDArray[np.float64]
    verdict: Verdict
    ms: float

    def row(self, float_ms: float) -> FormRow:
        """Return the form as an entry of the report."""
        v, sd = self.verdict, self.outputs.std(axis=0)
        return {
            "form": self.made.form,
            "gate": "open" if v.ok else "shut",
            "bytes": len(self.made.model),
            "ms": round(self.ms, 2),
            "times_float32": round(float_ms / self.ms, 2),
            "correlation_median": v.correlation_median,
            "correlation_min": v.correlation_min,
            "worst_head": v.worst,
            "heads_below": v.heads_below,
            "flat_heads": v.flat,
            "steps_per_sd_min": round(float(sd.min()) / self.made.sink.scale, 1),
            "faults": list(v.faults[:10]),
        }


def forms_to_make(wanted: Wanted) -> tuple[Form, ...]:
    """Return the forms that a conversion makes: all of them for ``auto``, else the wanted one and float32."""
    if wanted == "auto":
        return ("dynamic", "int8", "float16", "float32")
    return ("float32",) if wanted == "float32" else (wanted, "float32")


def make_form(form: Form, material: Material) -> Made:
    """Make one form of a teacher.

    Raises:
        AnyEcgError: The converter fails.
    """
    if form == "int8":
        return _int8(material)
    model = _FLOAT_FORMS[form](material.float_model)
    samples, heads = material.evaluation.shape[1], len(material.heads)
    source = TensorSpec((1, 1, samples, 1), FLOAT_INPUT_SCALE, 0, "float32")
    return Made(form, model, source, TensorSpec((1, 1, 1, heads), FLOAT_OUTPUT_SCALE, 0, "float32"))


_FLOAT_FORMS: dict[str, Callable[[bytes], bytes]] = {
    "dynamic": dynamic_flatbuffer, "float16": float16_flatbuffer, "float32": bytes
}  # fmt: skip


def _int8(material: Material) -> Made:
    ranged = material.calibrated()
    calibrated, coarse = with_copies(ranged.model)
    wanted = TensorSpec((1, 1, 1, 2 * len(material.heads)), 1.0 / STEPS_PER_SD, 0, "int8", coarse)
    model = quantized_flatbuffer(calibrated, material.source, wanted)
    # The converter rounds the scale to float32.
    found = describe(model)
    sink = replace(wanted, scale=found.output_scale, zero_point=found.output_zero_point)
    made = Made("int8", model, material.source, sink)
    # Rounding shifts the mean of a head. The float model on unrounded windows says by how much.
    outputs = run_form(made, open_model(model, material.source, sink, "litert"), material.calibration)
    error = material.calibration_teacher - outputs
    shifted = with_shifted_heads(model, error.mean(axis=0), sink)
    return replace(made, model=shifted, steps=ranged.steps, prepared=calibrated)


def judge_forms(made: Sequence[Made], material: Material, stream: TextIO | None) -> list[Judged]:
    """Run every form on the evaluation windows, judge it, and measure its time."""
    say = stream.write if stream is not None else lambda _: 0
    models = [open_model(one.model, one.source, one.sink, "litert") for one in made]
    times = _times(made, models, material.evaluation[:TIMED_WINDOWS])
    out = []
    for one, model, ms in zip(made, models, times, strict=True):
        outputs = run_form(one, model, material.evaluation)
        verdict = judge(material.heads, material.teacher, outputs, material.limits["gate"])
        if one.form in AUTO:
            verdict = _with_interpreters(verdict, one, outputs, material)
        out.append(Judged(one, outputs, verdict, ms))
        shown = verdict.faults[0] if verdict.faults else "every limit holds"
        say(f"{one.form}: gate {'open' if verdict.ok else 'shut'}, {shown}; {ms:.1f} ms\n")
    return out


def _with_interpreters(verdict: Verdict, made: Made, outputs: NDArray[np.float64], material: Material) -> Verdict:
    """Shut the gate if LiteRT and its reference kernels disagree; no self-test could tell that from a wrong model."""
    slow = open_model(made.model, made.source, made.sink, "litert-reference")
    reference = run_form(made, slow, material.evaluation[:REFERENCE_WINDOWS])
    limits = {**material.limits["parity"], "flat_logit_sd": material.limits["gate"]["flat_logit_sd"]}
    text, agree = interpreters_agree(material.heads, outputs[: len(reference)], reference, limits)
    if agree or verdict.reason == "not_finite":
        return verdict
    fault = f"LiteRT and its reference kernels differ too much ({text})"
    return replace(verdict, reason="loss", faults=(*verdict.faults, fault))


def run_form(made: Made, model: Model, windows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the outputs of a form on z-scores ``(n, samples)`` as the runtime sees them, ``(n, heads)``."""
    return np.stack([made.sink.to_values(model.run(made.source.to_steps(window))) for window in windows])


def _times(made: Sequence[Made], models: Sequence[Model], windows: NDArray[np.float32]) -> list[float]:
    inputs = [[one.source.to_steps(window) for window in windows] for one in made]
    best = [float("inf")] * len(made)
    for _ in range(TIMED_ROUNDS):
        for i, model in enumerate(models):
            for window in inputs[i]:
                start_s = time.perf_counter()
                model.run(window)
                best[i] = min(best[i], (time.perf_counter() - start_s) * 1e3)
    return best


def choose_form(judged: Sequence[Judged], wanted: Wanted, *, accept_loss: bool, recordings: int) -> Judged:
    """Return the form for the bundle.

    ``auto`` takes the dynamic-range form, or full int8 if its gate opens and it is clearly faster.

    Args:
        judged: The forms with their verdicts.
        wanted: The form that the user asked for.
        accept_loss: Whether a shut gate is accepted.
        recordings: Number of recordings that the windows are from.

    Raises:
        CheckFailedError: No wanted form passes the gate; the message names the heads and what would help.
    """
    among = [j for j in judged if j.made.form in (AUTO if wanted == "auto" else {wanted})]
    passed = [j for j in among if j.verdict.ok]
    if passed:
        # Dynamic range loses less, and times of one machine vary by more than a few per cent.
        return min(passed, key=lambda j: j.ms * (FASTER if j.made.form == "int8" else 1.0))
    if not accept_loss or any(j.verdict.reason == "not_finite" for j in among):
        raise CheckFailedError("; ".join(_lost(j) for j in among), _advice(judged, wanted, recordings))
    return max(among, key=lambda j: (j.verdict.correlation_median or -1.0, -len(j.verdict.faults)))


FEW_RECORDINGS = 20


def _lost(j: Judged) -> str:
    v, name = j.verdict, j.made.form
    if v.reason == "not_finite":
        return f"the form {name} gives NaN or infinity"
    shown = f"{name} changes {v.heads_below} of {j.outputs.shape[1]} heads too much"
    if v.correlation_median is not None:
        shown += f" (median correlation {v.correlation_median:.3f}, lowest {v.correlation_min:.3f}, {v.worst})"
    return f"{shown}: {', '.join(v.faults[:3])}"


def _advice(judged: Sequence[Judged], wanted: Wanted, recordings: int) -> str:
    open_forms = [j.made.form for j in judged if j.verdict.ok and j.made.form != wanted]
    if wanted == "int8":
        advice = "use --form dynamic, or try --tune MINUTES"
    elif open_forms:
        advice = f"use --form {open_forms[0]}, whose gate is open"
    else:
        advice = "use --form float32"
    few = f"; {recordings} recordings are few to judge on, so add some" if recordings < FEW_RECORDINGS else ""
    return f"{advice}, or --accept-loss{few}"
