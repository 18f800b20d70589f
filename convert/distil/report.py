"""Model card and readable validation report of a distilled student, made from the numbers of its JSON report."""

from __future__ import annotations

from collections.abc import Mapping

from convert.bundle.card import number, output_row
from convert.bundle.fit import AUROCS
from convert.distil.parity import PARITY_ROWS
from convert.distil.records import Elsewhere, JudgedHead, Report, StudentManifest

_LISTED = 50
"""Maximum number of recordings without a window that the readable report lists."""

_SHOWN = 400
"""Maximum number of heads in the table of the card; the JSON report has all."""


def model_card(manifest: StudentManifest, report: Report) -> str:
    """Return the model card as Markdown.

    Args:
        manifest: The manifest without its file list.
        report: The validation report.
    """
    size, split, s = report["size"], report["split"], report["summary"]
    rows = "\n".join(output_row(o) for o in manifest["outputs"][:_SHOWN])
    return f"""# {manifest["name"]} {manifest["version"]}

**Research software, not a medical device.** A student network distilled from the teacher
`{report["teacher"]["name"]}`. For ten seconds of ECG it approximates the output of its teacher; the table below shows
how closely. The card does not judge the teacher itself.

| | |
|---|---|
| Tier | {manifest["tier"]} |
| Teacher | {report["teacher"]["name"]}, sha256 `{report["teacher"]["sha256"]}` |
| Input | ten seconds of one ECG lead, front end `stream/1`, int8 z-scores at 125 Hz |
| Network | depthwise-separable convolutions, preset `{report["preset"]}`, {size["parameters"]} parameters, full int8 |
| Size | {size["model_bytes"]} bytes of flash, {size["arena_bytes"]} bytes of TFLite Micro arena |
| Licence | {manifest["licence"]} |

## Data

{split["recordings"]} recordings of {split["patients"]} patients gave {split["windows"]} windows that passed the quality
gate; {split["skipped"]} recordings gave none. {split["imitation"]} of the recordings are simulated ECGs of varied
shapes, on which the student only imitates its teacher. Split by patient: {split["train"]} patients for training,
{split["validation"]} to choose the epoch, {split["calibration"]} for calibration, {split["test"]} for the test. No
patient is in two parts.

## Student and teacher on the test patients

Correlation of logits, median over the heads: {number(s["median_correlation_int8"])} window by window,
{number(s["median_correlation_cases"])} case by case. Macro AUROC over {s["heads_with_auroc"]} heads with laboratory
results of both kinds: student {number(s["macro_auroc_int8"])}, teacher {number(s["macro_auroc_teacher"])}.

| output | means | LOINC | result | cases | positives | evidence |
|---|---|---|---|---|---|---|
{rows}

A dash means that no laboratory results were given. Only the distance to the teacher is known then, and the evidence is
limited.

## Calibration

A head with at least ten cases of either kind among the calibration patients is fitted to laboratory results. The other
heads are fitted to their teacher and keep its threshold; their interval covers the distance to the teacher, not to the
laboratory. `calibration.json` states the kind of each head (`basis`).

## Limits

An estimate from the ECG is not a laboratory result. The student was trained with disturbances of wearables (gain,
wander, mains, muscle, motion, lost contact, polarity, sampling rate) to keep its answers under them. It does not read
signals that the quality gate rejects.
"""


def report_markdown(report: Report) -> str:
    """Return the validation report as Markdown, from the content of ``validation/report.json``."""
    s, parity = report["summary"], report["parity"]
    areas = [s["macro_auroc_int8"], s["macro_auroc_float"], s["macro_auroc_ptq"], s["macro_auroc_teacher"]]
    medians = [s["median_correlation_int8"], s["median_correlation_float"], s["median_correlation_ptq"]]
    lines = [
        "# Validation report",
        "",
        f"Student `{report['preset']}` of `{report['teacher']['name']}`, on {report['split']['test']} test patients.",
        "",
        "| | int8 (shipped) | float | PTQ int8 | teacher |",
        "|---|---|---|---|---|",
        f"| macro AUROC | {' | '.join(number(area, 4) for area in areas)} |",
        f"| median correlation of logits | {' | '.join(number(r, 4) for r in medians)} | 1 |",
        "",
        "`parity.html` compares every form of the model from the teacher to TFLite Micro, also layer by layer.",
        "",
        "PTQ is the same float student quantized after training (min-max); the shipped model was trained further with",
        "fake quantization.",
        "",
        "## Heads",
        "",
        "r: correlation with the teacher's logits. ECE: calibration error of the shipped model, 15 bins of equal size.",
        "",
        "| head | r int8 | r float | r PTQ | r cases | AUROC int8 | float | PTQ | teacher | ECE | cases | basis |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, h in report["heads"].items():
        shown = [h["correlation_int8"], h["correlation_float"], h["correlation_ptq"], h["correlation_cases"]]
        r = [number(value) for value in shown]
        a = [number(h.get(name)) for name in AUROCS.values()]
        a.append(number(h.get("calibration_error")))
        lines.append(f"| `{key}` | {' | '.join(r)} | {' | '.join(a)} | {h['evidence']['n']} | {h['basis']} |")
    lines += _values(report["heads"])
    lines += [
        "",
        "## Parity",
        "",
        f"Difference from LiteRT's reference kernels over {parity['windows']} test windows, in LSB of the output:",
        "",
        "| form | largest | mean |",
        "|---|---|---|",
        *(f"| {name} | {parity[key]['max_lsb']} | {parity[key]['mean_lsb']} |" for name, key in PARITY_ROWS),
        "",
    ]
    lines += _elsewhere(report["elsewhere"])
    if report["skipped"]:
        lines += ["## Recordings without a window", ""]
        lines += [f"- `{name}`: {why}" for name, why in report["skipped"][:_LISTED]]
        rest = len(report["skipped"]) - _LISTED
        lines += [f"- and {rest} more; `report.json` lists all"] if rest > 0 else []
        lines.append("")
    return "\n".join(lines)


def _values(heads: Mapping[str, JudgedHead]) -> list[str]:
    values = {k: h for k, h in heads.items() if "mae_from_teacher" in h}
    if not values:
        return []
    lines = [
        "",
        "## Values",
        "",
        "| head | MAE | teacher's MAE | of the mean alone | coverage of the 90 % interval | from the teacher |",
        "|---|---|---|---|---|---|",
    ]
    for key, h in values.items():
        shown = [h["evidence"]["mae"], h.get("mae_teacher"), h.get("mae_of_the_mean"), h.get("coverage")]
        lines.append(f"| `{key}` | {' | '.join(number(v) for v in shown)} | {number(h['mae_from_teacher'])} |")
    return lines


def _elsewhere(found: Elsewhere | None) -> list[str]:
    if found is None:
        return []
    medians = (number(found["median_correlation_int8"]), number(found["median_correlation_float"]))
    return [
        "## Other recordings",
        "",
        f"Correlation with the teacher on {found['windows']} windows of {found['recordings']} recordings that were not",
        f"used for training or calibration ({found['skipped']} more recordings gave no window).",
        "",
        "| head | r int8 | r float |",
        "|---|---|---|",
        f"| median | {' | '.join(medians)} |",
        *(
            f"| `{key}` | {number(h['correlation_int8'])} | {number(h['correlation_float'])} |"
            for key, h in found["heads"].items()
        ),
        "",
    ]
