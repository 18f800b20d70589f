"""The protocol of SignalMC-MED (arXiv 2603.09940): ``anyecg evaluate --protocol signalmcmed``.

The first ten minutes of a visit are sixty pieces; the features of a frozen network are averaged over them. A ridge
regression on the standardised means estimates each value and a logistic regression each probability, with penalties
chosen on the validation part. Five draws of the training patients at six shares show how much data the features need.
Features of ECG waves are a strong baseline there, alone and together with those of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO, TypedDict

import numpy as np
from numpy.typing import NDArray

from calibration.checks.overlap import known_patients
from calibration.evaluate.teacher import OpenTeacher
from calibration.protocols.linear import Fitted, fit_logistic, fit_ridge, pearson
from calibration.protocols.pieces import PIECES, Visits, read_visits
from calibration.report.text import aligned
from convert.compute.progress import Progress
from convert.datasets.prepared import PreparedDataset
from convert.stats.metrics import auroc
from convert.teacher.prepared_patients import prepared_aliases
from edge.records import NOTICE

SCHEMA = "anyecg.signalmcmed/1"
SHARES = (1.0, 0.75, 0.5, 0.25, 0.1, 0.05)
RUNS = 5
MIN_TRAIN = 20
"""Smallest number of labelled training visits for a fit; each class needs a quarter of it."""

Features = Literal["waves", "network", "both"]
KINDS: tuple[Features, ...] = ("waves", "network", "both")

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SignalPlan:
    """Options of the protocol.

    Attributes:
        shares: Shares of the training patients.
        runs: Draws of the training patients for each share.
        seed: Seed of the draws.
        jobs: Number of processes for the features of ECG waves.
    """

    shares: tuple[float, ...] = SHARES
    runs: int = RUNS
    seed: int = 1
    jobs: int = 1


class CellRecord(TypedDict):
    """Results of one head, kind of features and share: test scores of the runs; ``None`` where it was not fitted."""

    share: float
    scores: list[float | None]
    penalties: list[float | None]
    mean: float | None
    sd: float | None


class SignalHeadRecord(TypedDict):
    """A head: Pearson's correlation of a value, AUROC of a probability."""

    key: str
    kind: str
    measure: str
    train: int
    val: int
    test: int
    features: dict[str, list[CellRecord]]


def signalmcmed(
    data: PreparedDataset, teacher: OpenTeacher, work: Path, plan: SignalPlan, progress: TextIO | None
) -> dict[str, Any]:
    """Run the protocol.

    Args:
        data: A prepared data set, best with the chronological split and pieces ten seconds apart.
        teacher: Teacher or foundation bundle with the features.
        work: Folder of intermediate files.
        plan: Options.
        progress: Stream for the progress lines, or ``None``.

    Returns:
        The report, as JSON-able values.

    Raises:
        InputError: A part is empty, or the teacher was trained on test patients.
    """
    remarks = known_patients(teacher.name, teacher.patients, prepared_aliases(data, "test"))
    if "split_chrono" not in str(data.manifest["source"]):
        remarks.append("the data were not prepared with '--split chrono', which the published table uses")
    spec = teacher.spec(work)
    train, val, test = (read_visits(data, part, spec, work, plan.jobs, progress) for part in ("train", "val", "test"))
    draws = _draws(train, plan)
    bar = Progress("fitting", len(data.heads), "heads", progress)
    heads = []
    for j in range(len(data.heads)):
        heads.append(_head(data, j, (train, val, test), draws))
        bar.step(j + 1)
    return {
        "schema": SCHEMA,
        "notice": NOTICE,
        "teacher": {"name": teacher.name, "kind": teacher.kind, "sha256": teacher.sha256},
        "data": {"name": data.folder.name, "source": data.manifest["source"], "simulated": data.simulated},
        "pieces": PIECES,
        "features": {"network": train.network.shape[1], "waves": train.waves.shape[1]},
        "visits": {"train": len(train.visit), "val": len(val.visit), "test": len(test.visit)},
        "shares": list(plan.shares),
        "runs": plan.runs,
        "remarks": remarks,
        "heads": heads,
    }


def _draws(train: Visits, plan: SignalPlan) -> dict[float, list[NDArray[np.bool_]]]:
    """Return the training visits of each share and run; whole patients are drawn."""
    patients = np.unique(train.patient)
    out: dict[float, list[NDArray[np.bool_]]] = {}
    for share in plan.shares:
        count = max(1, round(share * len(patients)))
        rows = []
        for run in range(1 if count == len(patients) else plan.runs):
            kept = np.random.default_rng([plan.seed, run, 0x51]).permutation(patients)[:count]
            rows.append(np.isin(train.patient, kept))
        out[share] = rows
    return out


def _head(
    data: PreparedDataset, j: int, parts: tuple[Visits, Visits, Visits], draws: Mapping[float, list[NDArray[np.bool_]]]
) -> SignalHeadRecord:
    head = data.heads[j]
    test = parts[2]
    known = [np.isfinite(part.truth[:, j]) for part in parts]
    features: dict[str, list[CellRecord]] = {}
    for kind in KINDS:
        cells = []
        for share, rows in draws.items():
            found = [_fit(head.kind, kind, j, parts, (drawn & known[0], known[1], known[2])) for drawn in rows]
            scores = [_score(head.kind, f, test.truth[known[2], j]) for f in found]
            cells.append(_cell(share, scores, found))
        features[kind] = cells
    return {
        "key": head.key,
        "kind": head.kind,
        "measure": "Pearson" if head.kind == "value" else "AUROC",
        "train": int(known[0].sum()),
        "val": int(known[1].sum()),
        "test": int(known[2].sum()),
        "features": features,
    }


def rows_of(part: Visits, kind: Features) -> F64:
    """Return the features of one kind, ``(visits, features)``."""
    if kind == "both":
        return np.concatenate((part.network, part.waves), axis=1)
    return part.network if kind == "network" else part.waves


def _fit(
    head_kind: str, kind: Features, j: int, parts: tuple[Visits, Visits, Visits],
    known: tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]],
) -> Fitted | None:  # fmt: skip
    x = [rows_of(part, kind)[rows] for part, rows in zip(parts, known, strict=True)]
    y = [part.truth[rows, j] for part, rows in zip(parts, known, strict=True)]
    if len(y[0]) < MIN_TRAIN or len(y[1]) < 2 or len(y[2]) < 2:
        return None
    if head_kind == "value":
        return fit_ridge(x[0], y[0], x[1], y[1], x[2])
    ill = y[0] > 0.5
    if min(int(ill.sum()), int((~ill).sum())) < MIN_TRAIN // 4:
        return None
    return fit_logistic(x[0], ill, x[1], y[1] > 0.5, x[2])


def _score(kind: str, fitted: Fitted | None, truth: F64) -> float | None:
    if fitted is None:
        return None
    return pearson(fitted.scores, truth) if kind == "value" else auroc(fitted.scores, truth > 0.5)


def _cell(share: float, scores: Sequence[float | None], fitted: Sequence[Fitted | None]) -> CellRecord:
    known = [s for s in scores if s is not None]
    return {
        "share": share,
        "scores": [None if s is None else round(s, 4) for s in scores],
        "penalties": [None if f is None else f.penalty for f in fitted],
        "mean": round(float(np.mean(known)), 4) if known else None,
        "sd": round(float(np.std(known, ddof=1)), 4) if len(known) > 1 else None,
    }


def signal_text(report: Mapping[str, Any]) -> str:
    """Return the table of the protocol: a row for each head and kind of features, a column for each share."""
    shares = [f"{share:.0%}" for share in report["shares"]]
    rows: list[Sequence[str]] = [("head", "measure", "features", "test", *shares)]
    for head in report["heads"]:
        for kind in KINDS:
            cells = [_text(cell) for cell in head["features"][kind]]
            rows.append((head["key"], head["measure"], kind, str(head["test"]), *cells))
    v, f = report["visits"], report["features"]
    sizes = f"visits: train {v['train']}, val {v['val']}, test {v['test']}; {f['network']} features of the network, "
    lines = [
        f"SignalMC-MED protocol: {report['teacher']['name']} on {report['data']['name']}",
        f"{sizes}{f['waves']} of ECG waves; mean (SD) over {report['runs']} draws of training patients",
        "",
        *aligned(rows),
        "",
    ]  # fmt: skip
    if report["data"]["simulated"]:
        lines.append("These patients are simulated: the numbers cannot be compared with the published table.")
    lines += [f"note: {remark}" for remark in report["remarks"]]
    return "\n".join(lines) + "\n"


def _text(cell: Mapping[str, Any]) -> str:
    if cell["mean"] is None:
        return "-"
    return f"{cell['mean']:.3f}" + ("" if cell["sd"] is None else f" ({cell['sd']:.3f})")
