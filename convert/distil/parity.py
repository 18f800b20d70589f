"""Parity report of a distilled student: every link from its teacher's logits to TFLite Micro.

All outputs are on the scale of the student: the teacher's logits are standardised head by head with
:class:`convert.distil.train.Scaling`, so that a step of the int8 output means the same in every column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from convert.compute.inference import Engine, as_float, run_int8
from convert.compute.litert import Exported
from convert.compute.qat import QuantOps, Weights, float_forward, quantized_forward
from convert.compute.students import StudentSpec, activation_names, wire
from convert.compute.tf_runtime import load_tensorflow
from convert.datasets.heads import TeacherHead
from convert.distil.records import ComparedForm, Gap, LinkRow, Parity
from convert.distil.train import Distilled
from convert.parity.forms import HeadName, ParityReport, Stage, StageKind, compare
from convert.parity.layers import LayerRow, Sums
from convert.parity.report import report_files
from firmware_bridge.errors import CheckFailedError

PARITY_ROWS: tuple[tuple[str, ComparedForm], ...] = (
    ("the fake-quantized training graph", "fake_quant"),
    ("LiteRT with XNNPACK", "xnnpack"),
    ("TFLite Micro", "tflm"),
)
"""Name of each compared form, and its key in the report."""

WINDOWS = 120
LAYER_WINDOWS = 24

_ENGINES: tuple[tuple[StageKind, Engine], ...] = (("int8", "xnnpack"), ("reference", "reference"), ("tflm", "tflm"))


def student_parity(
    title: str,
    spec: StudentSpec,
    heads: Sequence[TeacherHead],
    trained: Distilled,
    exported: Exported,
    x: NDArray[np.int8],
    teacher: NDArray[np.float32],
) -> ParityReport:
    """Compare the teacher, the float student, the fake-quantized student and three interpreters of the exported model.

    Args:
        title: Title of the report.
        spec: The student.
        heads: The teacher's outputs.
        trained: Result of the training; its float student is from before quantization-aware training.
        exported: The model of the bundle.
        x: Windows, int8 ``(n, 1, 1250, 1)``.
        teacher: The teacher's outputs of the same windows, ``(n, heads)``.

    Raises:
        CheckFailedError: An interpreter disagrees, or an output is not finite.
    """
    n, real = len(heads), as_float(x)
    stages = [
        Stage("teacher", trained.scaling.to_student(teacher).astype(np.float64)),
        Stage("student", float_forward(spec, n, trained.folded, real).astype(np.float64)),
        Stage(
            "quantized", quantized_forward(spec, n, trained.quantized, real).astype(np.float64), exported.output_scale
        ),
    ]
    for kind, engine in _ENGINES:
        steps = run_int8(exported.model, x, engine).astype(np.float64)
        stages.append(Stage(kind, (steps - exported.output_zero_point) * exported.output_scale, exported.output_scale))
    report = compare(title, stages, [HeadName(h.key, "value") for h in heads])
    report.layers = student_layers(spec, n, trained.quantized, real[:LAYER_WINDOWS])
    report.facts = {
        "outputs": "the teacher's logits, standardised head by head like the student's outputs",
        "windows": len(x),
        "float student": "before quantization-aware training",
        "layers": "the trained student with and without fake quantization",
    }
    report.check()
    return report


def student_layers(
    spec: StudentSpec, n_outputs: int, weights: Mapping[str, NDArray[np.float32]], x: NDArray[np.float32]
) -> list[LayerRow]:
    """Compare every activation of the trained student with and without fake quantization.

    Args:
        spec: The student.
        n_outputs: Number of heads.
        weights: Folded weights with ranges.
        x: Windows as z-scores, ``(n, 1, 1250, 1)`` float32.
    """
    tf = load_tensorflow()
    constants = {k: tf.constant(v) for k, v in weights.items()}
    plain, fake = (QuantOps(spec, n_outputs, constants, observe=observe) for observe in (True, False))
    for ops in (plain, fake):
        wire(spec, ops, ops.input(tf.constant(x)))
    rows: list[LayerRow] = []
    before: float | None = None
    for index, name in enumerate([*(name for name, _ in activation_names(spec)), "head"]):
        sums = Sums()
        limits = None if name == "head" else (float(weights[f"{name}/low"]), float(weights[f"{name}/high"]))
        sums.add(plain.seen[name].numpy().astype(np.float64), fake.seen[name].numpy().astype(np.float64), limits)
        own = sums.sqnr_db()
        lost = None if own is None or before is None else before - own
        op = "MEAN" if name == "pool" else "ADD" if name.endswith("sum") else "CONV_2D"
        rows.append(LayerRow(index, name, op, own, lost, sums.saturated(), sums.finite))
        before = own if own is not None else before
    return rows


def parity_files(report: ParityReport) -> dict[str, bytes]:
    """Return ``validation/parity.html`` and ``validation/parity.json`` of a bundle."""
    return {f"validation/{name}": data for name, data in report_files(report).items()}


def links_of(report: ParityReport) -> list[LinkRow]:
    """Return the links without their heads, for the validation report."""
    return [
        {
            "before": link.before,
            "after": link.after,
            "windows": link.windows,
            "max": link.max,
            "mean": link.mean,
            "lsb": link.lsb,
            "correlation_median": link.correlation_median,
            "correlation_min": link.correlation_min,
            "ok": link.ok,
        }
        for link in report.links
    ]


def parity(spec: StudentSpec, trained: Weights, exported: Exported, x: NDArray[np.int8]) -> Parity:
    """Return the differences of the other forms of the exported model from LiteRT's reference kernels, in output LSB.

    Raises:
        CheckFailedError: TFLite Micro differs from the reference kernels.
    """
    reference = run_int8(exported.model, x).astype(int)
    fake = quantized_forward(spec, reference.shape[1], trained, as_float(x))
    steps = np.clip(np.rint(fake / exported.output_scale) + exported.output_zero_point, -128, 127)
    found: Parity = {
        "windows": len(x),
        "fake_quant": _gap(steps.astype(int), reference),
        "xnnpack": _gap(run_int8(exported.model, x, "xnnpack").astype(int), reference),
        "tflm": _gap(run_int8(exported.model, x, "tflm").astype(int), reference),
    }
    if found["tflm"]["max_lsb"]:
        raise CheckFailedError(
            "TFLite Micro and LiteRT's reference kernels disagree on the exported model",
            "check the versions of ai-edge-litert and tflite-micro",
        )
    return found


def _gap(outputs: NDArray[np.int_], reference: NDArray[np.int_]) -> Gap:
    gap = np.abs(outputs - reference)
    return {"max_lsb": int(gap.max()), "mean_lsb": round(float(gap.mean()), 4)}
