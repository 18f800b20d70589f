"""The model card of the demonstration bundle, made from the numbers of the manifest and the report."""

from __future__ import annotations

from convert.bundle.card import number, output_row
from convert.demo.records import DemoReport, ImitatedEntry
from convert.distil.records import StudentManifest


def _real(entry: ImitatedEntry | None) -> str:
    """Return what the card says about real recordings."""
    if entry is None:
        return "No real recording was used."
    names = ", ".join(r["name"] for r in entry["recordings"])
    return f"""Real recordings without labels
were used in the same way, for the training of the student alone: {entry["leads"]} leads of
{len(entry["recordings"])} recordings, each as it was recorded and in {entry["copies"]} further forms. They must not
be used to judge the model.

- Source and licence: {entry["source"] or "not stated"}.
- Recordings: {names}.
- `validation/report.json` has the SHA-256 of each file. That of the list of all hashes is `{entry["sha256"]}`."""


def model_card(manifest: StudentManifest, report: DemoReport) -> str:
    """Return the model card as Markdown.

    Args:
        manifest: The manifest without its file list.
        report: Content of ``validation/report.json``.
    """
    rows = "\n".join(output_row(o) for o in manifest["outputs"])
    comparison = "\n".join(
        f"| `{key}` | {number(h.get('auroc_teacher'))} | {number(h['auroc_float'])} | {number(h['auroc_int8'])} | "
        f"{number(h['calibration_error'])} | {number(h.get('sensitivity'), 2)} | {number(h.get('specificity'), 2)} |"
        for key, h in report["heads"].items()
        if h.get("auroc_int8") is not None
    )
    split, size, simulator, s = report["split"], report["size"], report["simulator"], report["summary"]
    value, real = report["heads"]["potassium"], report.get("imitated")
    imitated = split["imitation"] - (0 if real is None else real["leads"] * (1 + real["copies"]))
    of_teacher, of_float = number(s["macro_auroc_teacher"], 4), number(s["macro_auroc_float"], 4)
    of_int8, of_ptq = number(s["macro_auroc_int8"], 4), number(s["macro_auroc_ptq"], 4)
    return f"""# {manifest["name"]} {manifest["version"]}

**Not for medical use.** All laboratory values that this model was trained on are simulated. It shows that the whole
chain works. It must not be used to diagnose, treat, monitor or reassure anyone, and its results on a real ECG have no
meaning.

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
ECGSYN dynamics, lead II, the noise of a chest patch. The couplings between laboratory values and the ECG come from the
literature where it has them, and are arbitrary otherwise. Abnormal values are more frequent than in a clinic. The
teacher was trained on {report["cohort"]["train"]} of these patients, {report["seconds"]:g} s each. The student was
trained on some of them, {report["student_seconds"]:g} s each. It also imitated the teacher on {imitated} simulated ECGs
of varied shapes, which have no laboratory values. {_real(real)}

The student's split, by patient, of the patients with usable signal: {split["train"]} for training,
{split["validation"]} to choose the epoch, {split["calibration"]} for calibration, {split["test"]} for the test. No
patient is in two parts, and the teacher was trained on none of the patients of the last three parts.

## Results on the {split["test"]} test patients

The score of a patient is the mean output over the windows that pass the quality gate, four at most. The intervals are
95 % bootstrap intervals over patients.

| output | means | LOINC | result | patients | positives | evidence |
|---|---|---|---|---|---|---|
{rows}

Sodium is the negative control: it has no effect on the simulated ECG (and no known effect on a real one), so its AUROC
must be about 0.5. A higher AUROC would show a leak in the data. For comparison, always predicting the mean potassium
has an MAE of {number(value["mae_of_the_mean"])} mmol/L.

The next table compares teacher and student by AUROC. The calibration error of the shipped model uses 15 bins of equal
size; sensitivity and specificity are those at its thresholds:

| output | teacher | float student | int8 | calibration error | sensitivity | specificity |
|---|---|---|---|---|---|---|
{comparison}
| macro | {of_teacher} | {of_float} | {of_int8} | | | |

With quantization after training instead of during training, the same student has a macro AUROC of {of_ptq}. The
correlation of the logits of student and teacher over the windows is {number(s["median_correlation_int8"])} (median over
the outputs). `validation/parity.html` compares all forms of the model, from the teacher to TFLite Micro.

## Calibration

Probabilities: Platt scaling on the {split["calibration"]} calibration patients; the thresholds maximise Youden's index
on the same patients. The interval of a probability covers the disagreement of student and teacher about the same
patient and the uncertainty of the Platt fit; the runtime adds the scatter of the current windows. The interval does not
cover what the ECG cannot tell about the lab; the probability itself expresses that. Value: least squares on half of the
calibration patients, split-conformal 90 % half-width on the other half; the interval covered
{number(value["coverage"])} of the test patients.

## Limits

Simulated physiology is simple: an AUROC on it does not apply to real patients. The model reads one lead of fixed
polarity. The prevalences are those of the simulator, so the probabilities are calibrated to the simulator only. The
LOINC codes name the laboratory quantity that an output refers to; an estimate is never such a measurement.
"""
