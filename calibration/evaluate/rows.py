"""Labels of segments and outputs of a teacher, with the heads of the teacher matched to those of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.evaluate.score import damaged
from calibration.evaluate.teacher import OpenTeacher
from convert.datasets.heads import TeacherHead
from convert.datasets.mcmed import Part
from convert.datasets.prepared import SHARDS, PreparedDataset, PreparedHead
from edge.process.files import sha256_of
from edge.stats import sigmoid
from firmware_bridge.errors import InputError

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Matched:
    """The outputs of a teacher matched to the heads of the data.

    Attributes:
        pairs: Index of the output and index of the head, in the order of the data.
        teacher_only: Keys of outputs without labels in the data, with the reason if it is known.
        data_only: Keys of heads that the teacher does not have.
    """

    pairs: tuple[tuple[int, int], ...]
    teacher_only: tuple[str, ...]
    data_only: tuple[str, ...]


def match_heads(teacher: Sequence[TeacherHead], data: PreparedDataset, name: str) -> Matched:
    """Match heads by key.

    Args:
        teacher: Outputs of the teacher.
        data: The prepared data set.
        name: Name of the teacher for the message.

    Raises:
        InputError: There is no common head, or two heads with the same key have different meanings.
    """
    outputs = {h.key: i for i, h in enumerate(teacher)}
    pairs = []
    for j, head in enumerate(data.heads):
        i = outputs.get(head.key)
        if i is not None:
            _check_same(teacher[i], head, name)
            pairs.append((i, j))
    ours = {h.key for h in data.heads}
    if not pairs:
        raise InputError(
            f"{name} and {data.folder} have no common head: the teacher has {_some(list(outputs))}; "
            f"the data have {_some([h.key for h in data.heads])}",
            "prepare the data with the teacher's label file",
        )
    dropped = {h["key"]: h["dropped"] for h in data.manifest["heads"] if h["dropped"]}
    alone = [f"{k} (the data have {dropped[k]})" if k in dropped else k for k in outputs if k not in ours]
    return Matched(tuple(pairs), tuple(alone), tuple(h.key for h in data.heads if h.key not in outputs))


def _check_same(output: TeacherHead, head: PreparedHead, name: str) -> None:
    pairs: dict[str, tuple[object, object]] = {
        "kind": (output.kind, head.kind),
        "direction": (output.direction, head.direction),
        "horizon_min": (output.horizon_min, head.horizon_min),
    }
    if head.kind == "value":
        pairs["unit"] = (output.unit, head.unit)
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InputError(
                f"the head {head.key} differs between {name} and the data: {what} {theirs} and {ours}",
                "prepare the data with the teacher's label file",
            )


def _some(keys: Sequence[str], most: int = 8) -> str:
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Labels of the segments of a part, in the order of its shards.

    Attributes:
        heads: The judged heads.
        truth: 0 or 1, or the value in its unit, ``(n, heads)``; NaN if unknown.
        patient: Number of the patient of each segment, ``(n,)``.
        visit: Visit of each segment, ``(n,)``.
        start_s: Start of each segment, seconds since 1970, ``(n,)``.
        recordings: Number of recordings of the segments.
    """

    heads: tuple[PreparedHead, ...]
    truth: F32
    patient: Ints
    visit: Ints
    start_s: F64
    recordings: int = 0


def read_rows(data: PreparedDataset, part: Part, columns: Sequence[int]) -> Rows:
    """Read the labels of a part.

    Args:
        data: The prepared data set.
        part: Part of the data set.
        columns: Indices of the judged heads in ``data.heads``.

    Raises:
        InputError: A shard is damaged.
    """
    sha256: Mapping[str, str] = {s["name"]: s["sha256"][".npz"] for s in data.manifest["shards"]}
    truth = blank(data.size(part), len(columns))
    patients: list[Ints] = []
    visits, starts = [], []
    recordings: set[str] = set()
    number: dict[str, int] = {}
    done = 0
    for shard in data.shards(part):
        path = data.folder / SHARDS / f"{shard.name}.npz"
        if sha256_of(path) != sha256[shard.name] or done + len(shard) > len(truth):
            raise damaged(data.folder, shard.name)
        truth[done : done + len(shard)] = _truth(shard.targets(), shard.values(), data.heads)[:, list(columns)]
        done += len(shard)
        # Names are numbered shard by shard: as text, those of a million segments would have to be sorted.
        names, index = np.unique(shard.patient, return_inverse=True)
        patients.append(np.array([number.setdefault(str(name), len(number)) for name in names], dtype=np.int64)[index])
        visits.append(shard.visit)
        starts.append(shard.start_s)
        recordings.update(np.unique(shard.recording).tolist())
    rank = np.empty(len(number), dtype=np.int64)
    rank[[number[name] for name in sorted(number)]] = np.arange(len(number))
    heads = tuple(data.heads[j] for j in columns)
    patient = rank[np.concatenate(patients)]
    return Rows(heads, truth[:done], patient, np.concatenate(visits), np.concatenate(starts), len(recordings))


def blank(rows: int, heads: int) -> F32:
    """Return an array for one number of each row and head, ``(rows, heads)``, with every column in one piece.

    The report reads column by column, which takes a fifth of the time in this order.
    """
    return np.empty((rows, heads), dtype=np.float32, order="F")


def _truth(targets: F32, values: F32, heads: Sequence[PreparedHead]) -> F32:
    """Return the targets with values in their own units."""
    out = targets.copy()
    out[:, [j for j, h in enumerate(heads) if h.kind == "value"]] = values
    return out


def shown(teacher: OpenTeacher, outputs: F32, matched: Matched) -> F32:
    """Return the outputs of the matched heads as calibrated logits or values, ``(n, heads)``."""
    chosen = [i for i, _ in matched.pairs]
    slope = np.array([teacher.heads[i].slope for i in chosen], dtype=np.float32)
    offset = np.array([teacher.heads[i].offset for i in chosen], dtype=np.float32)
    return np.asarray(slope * outputs[:, chosen] + offset, dtype=np.float32)


def probabilities(teacher: OpenTeacher, output: int, logits: F64) -> F64:
    """Return the probabilities of an output, by its sigmoid or its isotonic curve, ``(n,)``."""
    knots = teacher.knots[output]
    return sigmoid(logits) if knots is None else np.asarray(np.interp(logits, *knots), dtype=np.float64)
