"""The model card and the readable validation report of the demonstration, made from the numbers of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def output_row(output: Mapping[str, Any]) -> str:
    """One line of the card's table; the tests hold it against the manifest."""
    e = output["evidence"]
    what = f"{output['lab']} {output['direction']}" if output["direction"] else f"{output['lab']} (value)"
    if output["kind"] == "value":
        strength = f"MAE {number(e['mae'])} {output['unit']}"
    else:
        ci = f" ({number(e['ci'][0])}–{number(e['ci'][1])})" if e["ci"] else ""
        strength = f"AUROC {number(e['auroc'])}{ci}"
    count = "–" if e["positives"] is None else str(e["positives"])
    return f"| `{output['key']}` | {what} | {output['loinc']} | {strength} | {e['n']} | {count} | {e['tier']} |"


def model_card(manifest: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The model card.

    Args:
        manifest: The manifest without its file list.
        facts: Sizes, split, parity and command of the run, as in ``validation/report.json``.
    """
    rows = "\n".join(output_row(o) for o in manifest["outputs"])
    split, size, simulator = facts["split"], facts["size"], facts["simulator"]
    mean_mae = number(facts["heads"]["potassium"]["mae_of_the_mean"])
    return f"""# {manifest["name"]} {manifest["version"]}

**Not for people's health.** This model was trained on simulated patients only. It shows that the whole chain works; it
must not be used to diagnose, treat, monitor or reassure anybody, and nothing it says about a real ECG means anything.

| | |
|---|---|
| Tier | {manifest["tier"]} |
| Input | ten seconds of one ECG lead, front end `stream/1`, int8 z-scores at 125 Hz |
| Network | depthwise-separable convolutions, preset `{facts["preset"]}`, {size["parameters"]} parameters, full int8 |
| Size | {size["model_bytes"]} bytes of flash, {size["arena_bytes"]} bytes of TFLite Micro arena |
| Licence | {manifest["licence"]} |
| Command | `{facts["command"]}` |

## Data

{split["patients"]} patients of `convert.simulate` (version {simulator["version"]}, seed {simulator["seed"]}),
{facts["seconds"]:g} s each: ECGSYN dynamics, lead II, the noise of a chest patch.
The couplings between laboratory values and the ECG are those of the literature where there are any and arbitrary
otherwise; abnormal values are more frequent than in any clinic. No real recording was used.

Split by patient: {split["train"]} train, {split["validation"]} choose the epoch, {split["calibration"]} calibrate,
{split["test"]} test. Nobody is in two of them.

## What it reached on the {split["test"]} test patients

Scores are the mean output over {facts["windows"]} windows of a patient, none rejected. Intervals: 95 %, bootstrap over
patients.

| output | means | LOINC | result | patients | positives | evidence |
|---|---|---|---|---|---|---|
{rows}

Sodium is the negative control: it has no effect on the simulated (or, as far as known, any) ECG, so its AUROC must lie
about 0.5. A model that does better has found a leak. The value's MAE stands beside {mean_mae} mmol/L, which always
saying the mean would reach.

## Calibration

Probabilities: Platt scaling on the {split["calibration"]} calibration patients; threshold by Youden's index there.
Their interval covers how far a second training run disagrees about the same patient and how uncertain the Platt line
is; the runtime adds the scatter of the windows at hand. It does not cover what the ECG cannot know about the lab: the
probability says that. The value: least squares on half of the calibration patients, split-conformal 90 % half-width on
the other half.

## Limits

Simulated physiology is simple physiology: an AUROC here says nothing about patients. One lead, fixed polarity.
Prevalences are those of the simulator, so probabilities are calibrated to it and to nothing else. The LOINC codes name
the measured laboratory quantity that the output refers to; an estimate is never such a measurement.
"""


def report_markdown(report: Mapping[str, Any]) -> str:
    """The readable twin of ``validation/report.json``."""
    lines = [
        "# Validation report",
        "",
        f"Simulated, held-out patients ({report['split']['test']}); command `{report['command']}`.",
        "",
        "## Heads",
        "",
        "AUROC of the patient's aggregated score: the shipped int8 model, its float form before quantization-aware",
        "training, and post-training quantization of that float form (min-max).",
        "",
        "| head | int8 | 95 % CI | float | PTQ int8 | one window | Brier (prevalence alone) | sens. | spec. |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key, head in report["heads"].items():
        if head["evidence"]["auroc"] is None and head["evidence"]["mae"] is not None:
            continue
        e = head["evidence"]
        ci = f"{number(e['ci'][0])}–{number(e['ci'][1])}" if e["ci"] else "–"
        areas = [e["auroc"], head["auroc_float"], head["auroc_ptq"], head["auroc_single_window"]]
        shipped, real, ptq, single = (number(a) for a in areas)
        brier = f"{number(head['brier'])} ({number(head['brier_of_the_prevalence'])})"
        rates = f"{number(head['sensitivity'])} | {number(head['specificity'])}"
        lines.append(f"| `{key}` | {shipped} | {ci} | {real} | {ptq} | {single} | {brier} | {rates} |")
    lines += [
        "",
        "## Values",
        "",
        "| head | MAE | of always saying the mean | r | coverage of the 90 % interval |",
        "|---|---|---|---|---|",
    ]
    for key, head in report["heads"].items():
        if head["evidence"]["mae"] is not None:
            lines.append(
                f"| `{key}` | {number(head['evidence']['mae'])} | {number(head['mae_of_the_mean'])} | "
                f"{number(head['pearson'])} | {number(head['coverage'])} |"
            )
    parity = report["parity"]
    lines += [
        "",
        "## The same numbers everywhere",
        "",
        f"Over {parity['windows']} test windows, in steps (LSB) of the output:",
        "",
        "| against LiteRT's reference kernels | largest | mean |",
        "|---|---|---|",
        *(
            f"| {name} | {parity[key]['max_lsb']} | {parity[key]['mean_lsb']} |"
            for name, key in PARITY_ROWS
            if key in parity
        ),
        "",
    ]
    return "\n".join(lines)


PARITY_ROWS = (
    ("the fake-quantized training graph", "fake_quant"),
    ("LiteRT with XNNPACK", "xnnpack"),
    ("TFLite Micro", "tflm"),
)
"""What is compared, and its key in the report."""
