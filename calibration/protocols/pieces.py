"""Features of ten minutes of a visit: the mean over sixty pieces of ten seconds, from a network and from ECG waves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from calibration.baselines.features import Chosen, features_of
from calibration.evaluate.scorer import ScorerSpec
from convert.compute.progress import Progress
from convert.compute.tf_runtime import quiet_stderr
from convert.datasets.mcmed import Part
from convert.datasets.prepared import PreparedDataset
from convert.teacher.open import ModelEnds, read_kept
from firmware_bridge.errors import InputError

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

PIECES = 60
"""Pieces of a visit: its first ten minutes."""

LAST_OPS = ("FULLY_CONNECTED", "CONV_2D")
"""Operators of a last layer; its input holds the features."""


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """Visits of one part.

    Attributes:
        visit: Identifier of each visit, ``(n,)``.
        patient: Patient of each visit, ``(n,)`` text.
        pieces: Number of pieces of each visit, ``(n,)``.
        network: Mean features of the network, ``(n, features)``.
        waves: Mean features of ECG waves, ``(n, waves)``; NaN where no piece has one.
        truth: First known label of each head among the pieces, ``(n, heads)``; NaN where unknown.
    """

    visit: NDArray[np.int64]
    patient: NDArray[np.str_]
    pieces: NDArray[np.int64]
    network: F64
    waves: F64
    truth: F64


def first_pieces(visit: NDArray[np.int64], start_s: F64) -> NDArray[np.intp]:
    """Return the rows of the first :data:`PIECES` pieces of each visit, in the order of visit and time."""
    order = np.lexsort((start_s, visit))
    of = visit[order]
    first = np.searchsorted(of, of)
    return np.asarray(order[np.arange(len(of)) - first < PIECES])


def read_visits(
    data: PreparedDataset, part: Part, spec: ScorerSpec, work: Path, jobs: int, progress: TextIO | None
) -> Visits:
    """Read the visits of a part and compute their features.

    Args:
        data: The prepared data set; its pieces are ten seconds apart.
        part: Part of the data set.
        spec: The network.
        work: Folder of intermediate files.
        jobs: Number of processes for the ECG waves.
        progress: Stream for the progress lines, or ``None``.

    Raises:
        InputError: The part has no visit, or the network has no features.
    """
    shards = list(data.shards(part))
    if not shards:
        raise InputError(f"the part '{part}' of {data.folder} has no segment", "prepare more data, or another split")
    chosen = [Chosen(s.name, np.sort(first_pieces(s.visit, s.start_s))) for s in shards]
    waves = features_of(data, chosen, work, jobs, progress)
    run, found = features_of_model(spec), []
    bar = Progress(f"features of {part}", sum(len(c.rows) for c in chosen), "segments", progress)
    done = 0
    for shard, rows, wave in zip(shards, chosen, waves, strict=True):
        network = np.array([run(segment) for segment in shard.segments(rows.rows)], dtype=np.float64)
        truth = _truth(shard.targets()[rows.rows], shard.values()[rows.rows], data)
        found.append(
            _means(shard.visit[rows.rows], shard.start_s[rows.rows], shard.patient[rows.rows], network, wave, truth)
        )
        done += len(rows.rows)
        bar.step(done)
    fields = [np.concatenate([getattr(one, name) for one in found]) for name in Visits.__slots__]
    return Visits(*fields)


def _truth(targets: F32, values: F32, data: PreparedDataset) -> F64:
    out = targets.astype(np.float64)
    out[:, [j for j, h in enumerate(data.heads) if h.kind == "value"]] = values
    return out


def _means(
    visit: NDArray[np.int64], start_s: F64, patient: NDArray[np.str_], network: F64, wave: F32, truth: F64
) -> Visits:
    unique, index, count = np.unique(visit, return_inverse=True, return_counts=True)
    order = np.lexsort((start_s, index))
    first = order[np.concatenate(([True], index[order][1:] != index[order][:-1]))]
    labels = np.full((len(unique), truth.shape[1]), np.nan)
    for row in order[::-1]:  # the earliest known label is written last
        known = np.isfinite(truth[row])
        labels[index[row], known] = truth[row, known]
    return Visits(
        unique, patient[first], count.astype(np.int64), _mean_of(network, index), _mean_of(wave, index), labels
    )


def _mean_of(rows: NDArray[np.floating[Any]], index: NDArray[np.intp]) -> F64:
    n = int(index.max()) + 1
    known = np.isfinite(rows)
    total, count = np.zeros((n, rows.shape[1])), np.zeros((n, rows.shape[1]))
    np.add.at(total, index, np.where(known, rows, 0.0))
    np.add.at(count, index, known)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))


def features_of_model(spec: ScorerSpec) -> Callable[[F32], F64]:
    """Return a function from a segment to the features before the last layer of a teacher or bundle.

    Raises:
        InputError: The model is missing, does not load, or has no last layer that is known.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model = read_kept(spec.model)
    if model is None:
        raise InputError(f"{spec.model} is missing or damaged", "run the command again to rebuild it")
    try:
        with quiet_stderr():
            # Without a delegate, so that the values between two operators can be read.
            interpreter: Any = Interpreter(
                model_content=model, num_threads=1, experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )  # fmt: skip
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"the teacher {spec.name} does not load: {str(error).splitlines()[0]}") from None
    source, tensor = interpreter.get_input_details()[0], _penultimate(interpreter, spec)

    def run(segment: F32) -> F64:
        interpreter.set_tensor(
            source["index"], _input(segment, spec.ends).reshape(source["shape"]).astype(source["dtype"])
        )
        interpreter.invoke()
        found = interpreter.get_tensor(tensor["index"]).reshape(-1).astype(np.float64)
        scale, zero = tensor["quantization"]
        return np.asarray((found - zero) * scale if scale else found)

    return run


def _input(segment: F32, ends: ModelEnds | None) -> NDArray[Any]:
    return segment if ends is None else ends.steps(segment)


def _penultimate(interpreter: Any, spec: ScorerSpec) -> Any:
    """Return the tensor that enters the last layer."""
    tensors = {t["index"]: t for t in interpreter.get_tensor_details()}
    for op in reversed(interpreter._get_ops_details()):  # noqa: SLF001 - there is no public way to list operators
        if op["op_name"] in LAST_OPS and int(np.prod(tensors[op["outputs"][0]]["shape"])) == spec.outputs:
            return tensors[op["inputs"][0]]
    raise InputError(f"{spec.name} has no last layer of {spec.outputs} outputs", "give a teacher of 'anyecg finetune'")
