"""TRIPOD+AI and STARD checklists, filled as far as the numbers of a report allow."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, TypedDict

from edge.bundle.words import lab_words

Report = Mapping[str, Any]

AUTHORS = "for the authors"
"""What a checklist says where the report does not know the answer."""


class ItemRecord(TypedDict):
    """An item of a checklist; ``answer`` is empty if the authors must fill it."""

    item: str
    topic: str
    answer: str


def checklists(report: Report) -> dict[str, list[ItemRecord]]:
    """Return both checklists.

    Args:
        report: The validation report without the checklists.
    """
    text = (resources.files("calibration") / "data" / "checklists.toml").read_text(encoding="utf-8")
    return {name: [_item(row, report) for row in rows] for name, rows in tomllib.loads(text).items()}


def _item(row: Mapping[str, str], report: Report) -> ItemRecord:
    answer = ANSWERS[row["report"]](report) if "report" in row else ""
    return {"item": row["item"], "topic": row["topic"], "answer": answer}


def _data(r: Report) -> str:
    d, simulated = r["header"]["data"], r["header"]["data"]["simulated"]
    kind = "simulated patients" if simulated else "dates and sites: for the authors"
    return f"{d['name']}, part '{d['split']}', SHA-256 {d['sha256'][:16]}; {kind}"


def _preparation(r: Report) -> str:
    b = r["header"]["bundle"]
    bundle = f"{b['name']} {b['version']}, tier {b['tier']}"
    return f"with the engine of the device, in the same way for every recording: bundle {bundle}"


def _labels(r: Report) -> str:
    return str(r["header"]["labels"]["rule"])


def _predictors(_: Report) -> str:
    return "ten-second windows of one ECG lead; no other predictor"


def _size(r: Report) -> str:
    p = r["gate"]["limits"]["patients"]
    return (
        f"no verdict below {p['positives_min']:g} patients with and {p['negatives_min']:g} without the abnormal "
        "result; 'anyecg validate BUNDLE --plan-size' plans the size"
    )


def _missing(r: Report) -> str:
    a, c = r["abstention"], r["header"]["counts"]
    reasons = ", ".join(f"{name} {n}" for name, n in a["reasons"].items()) or "none"
    silent = f"{c['recordings_in_data'] - c['recordings']} of {c['recordings_in_data']} recordings without an estimate"
    by_rhythm = "".join(f", {key} by rhythm {n}" for key, n in a.get("by_rhythm", {}).items())
    return f"{silent}; hops without an answer: {reasons}{by_rhythm}; nothing is imputed"


def _methods(r: Report) -> str:
    return (
        f"AUROC, AUPRC, calibration and decisions with 95 % intervals over patients ({r['header']['resamples']} "
        "replicates); Holm over outputs, false discovery rate over groups"
    )


def _imbalance(r: Report) -> str:
    shares = [c["prevalence"] for c in r["clinical"]["heads"]]
    if not shares:
        return "no output has enough patients; nothing is resampled or weighted"
    return f"prevalence {min(shares):.1%} to {max(shares):.1%} in the data; nothing is resampled or weighted"


def _fairness(r: Report) -> str:
    s = r["subgroups"]
    worse = sum(row["clearly_worse"] for row in s["rows"])
    kinds = sorted({row["by"] for row in s["rows"]})
    by = f" by {', '.join(kinds)}" if kinds else ""
    return f"{len(s['rows'])} results by group{by}, {worse} clearly worse, {s['suppressed']} groups too small"


def _output(r: Report) -> str:
    n = sum(bool(h.get("decision")) for h in r["heads"])
    return f"{n} probabilities with the threshold of the bundle, fixed before; thresholds of rules are cross-fitted"


def _overlap(r: Report) -> str:
    remarks = [x for x in r["header"]["data"]["remarks"] if "patients" in x]
    return "; ".join(remarks) or "no judged patient trained or calibrated the bundle (checked by hashes)"


def _sharing(r: Report) -> str:
    return f"code: anyecg-edge {r['header']['versions']['anyecg-edge']}; the rest: {AUTHORS}"


def _flow(r: Report) -> str:
    c = r["header"]["counts"]
    counts = ", ".join(f"{c[what]} {what}" for what in ("patients", "recordings", "estimates"))
    return f"{counts}; see the chapter Abstention"


def _events(r: Report) -> str:
    return f"{r['header']['counts']['events']} abnormal results; each output states its own"


def _model(r: Report) -> str:
    return f"model SHA-256 {r['header']['bundle']['model_sha256'][:16]}, in the bundle with its model card"


def _performance(r: Report) -> str:
    return str(r["summary"])


def _blinding(_: Report) -> str:
    return "outputs are computed without the results; whether the laboratory knew the ECG: for the authors"


def _severity(r: Report) -> str:
    rows = r["clinical"]["severity"]
    signs = {"high": "above", "low": "below"}
    words = [
        f"{lab_words(s['lab'])} {signs[s['direction']]} {s['cut_off']:g} {s['unit']}: {s['positive_patients']} patients"
        for s in rows
    ]
    return "; ".join(words) or AUTHORS


ANSWERS: dict[str, Callable[[Report], str]] = {
    "data": _data, "preparation": _preparation, "labels": _labels, "predictors": _predictors, "size": _size,
    "missing": _missing, "methods": _methods, "imbalance": _imbalance, "fairness": _fairness, "output": _output,
    "overlap": _overlap, "sharing": _sharing, "flow": _flow, "events": _events, "model": _model,
    "performance": _performance, "blinding": _blinding, "severity": _severity,
}  # fmt: skip
