"""The demonstration's model card, made from the numbers of manifest and report, and the rows that cards share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convert.bundle.card import number, output_row


def model_card(manifest: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """The model card.

    Args:
        manifest: The manifest without its file list.
        report: As in ``validation/report.json``.
    """
    rows = "\n".join(output_row(o) for o in manifest["outputs"])
    beside = "\n".join(
        f"| `{key}` | {number(h.get('auroc_teacher'))} | {number(h['auroc_float'])} | {number(h['auroc_int8'])} | "
        f"{number(h['calibration_error'])} | {number(h.get('sensitivity'), 2)} | {number(h.get('specificity'), 2)} |"
        for key, h in report["heads"].items()
        if h.get("auroc_int8") is not None
    )
    split, size, simulator, s = report["split"], report["size"], report["simulator"], report["summary"]
    value, imitated = report["heads"]["potassium"], split["imitation"]
    macro = (number(s[f"macro_auroc_{form}"], 4) for form in ("teacher", "float", "int8", "ptq"))
    of_teacher, of_float, of_int8, of_ptq = macro
    return f"""# {manifest["name"]} {manifest["version"]}

**Not for people's health.** This model was trained on simulated patients only. It shows that the whole chain works; it
must not be used to diagnose, treat, monitor or reassure anybody, and nothing it says about a real ECG means anything.

| | |
|---|---|
| Tier | {manifest["tier"]} |
| Input | ten seconds of one ECG lead, front end `stream/1`, int8 z-scores at 125 Hz |
| Network | depthwise-separable convolutions, preset `{report["preset"]}`, {size["parameters"]} parameters, full int8 |
| Teacher | `{report["teacher"]["name"]}`, a Net1D trained on the same simulated patients |
| Size | {size["model_bytes"]} bytes of flash, {size["arena_bytes"]} bytes of TFLite Micro arena |
| Licence | {manifest["licence"]} |
| Command | `{report["command"]}` |

## Data

{report["cohort"]["patients"]} patients of `convert.simulate`, version {simulator["version"]}, seed {simulator["seed"]}:
ECGSYN dynamics, lead II, the noise of a chest patch. The couplings between laboratory values and the ECG are those of
the literature where there are any and arbitrary otherwise; abnormal values are more frequent than in any clinic. The
teacher was trained on {report["cohort"]["train"]} of them, {report["seconds"]:g} s each. The student had a part of
these, {report["student_seconds"]:g} s each, and imitated its teacher besides on {imitated} simulated ECGs of every
shape, which have no laboratory values. No real recording was used.

The student's split, by patient, of those with usable signal: {split["train"]} train, {split["validation"]} choose the
epoch, {split["calibration"]} calibrate, {split["test"]} test. Nobody is in two of them, and the teacher was not trained
on those who choose, calibrate or test.

## What it reached on the {split["test"]} test patients

Scores are the mean output over the windows of a patient that pass the quality gate, up to four. Intervals: 95 %,
bootstrap over patients.

| output | means | LOINC | result | patients | positives | evidence |
|---|---|---|---|---|---|---|
{rows}

Sodium is the negative control: it has no effect on the simulated (or, as far as known, any) ECG, so its AUROC must lie
about 0.5. A model that does better has found a leak. The value's MAE stands beside {number(value["mae_of_the_mean"])}
mmol/L, which always saying the mean would reach.

Teacher beside student, AUROC; calibration error of the shipped model over 15 bins of equal size; and what its
thresholds do:

| output | teacher | float student | int8 | calibration error | sensitivity | specificity |
|---|---|---|---|---|---|---|
{beside}
| macro | {of_teacher} | {of_float} | {of_int8} | | | |

Quantized after training instead of trained with quantization, the same student has a macro AUROC of {of_ptq}. Logits of
student and teacher, window by window, correlate by {number(s["median_correlation_int8"])} (median over the outputs).
`validation/parity.html` follows the numbers from the teacher to TFLite Micro.

## Calibration

Probabilities: Platt scaling on the {split["calibration"]} calibration patients; threshold by Youden's index there.
Their interval covers how far student and teacher disagree about the same patient and how uncertain the Platt line is;
the runtime adds the scatter of the windows at hand. It does not cover what the ECG cannot know about the lab: the
probability says that. The value: least squares on half of the calibration patients, split-conformal 90 % half-width on
the other half; it covered {number(value["coverage"])} of the test patients.

## Limits

Simulated physiology is simple physiology: an AUROC here says nothing about patients. One lead, fixed polarity.
Prevalences are those of the simulator, so probabilities are calibrated to it and to nothing else. The LOINC codes name
the measured laboratory quantity that the output refers to; an estimate is never such a measurement.
"""
