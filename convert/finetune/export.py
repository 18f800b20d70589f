"""Output files of a training: the teacher in two formats, its outputs, its label plan, and the patients it has seen.

``teacher.pth`` has the format of ECGFounder's own code, which PyTorch loads. Its values are in the unit of the lab, and
its logits do not have the shift that the weight of rare positives causes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.keras_file import read_keras_teacher, write_keras_teacher
from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.writer import write_checkpoint
from convert.datasets.prepared import PreparedDataset
from convert.finetune.log import curve_csv, curve_svg
from convert.finetune.loss import HeadWeights
from convert.finetune.step import Progressed
from edge.process.files import write_atomically
from firmware_bridge.errors import InputError

F32 = NDArray[np.float32]

SCHEMA = "anyecg.finetune/1"
LABELS_SCHEMA = "anyecg.label-plan/1"
TEACHER, KERAS, OUTPUTS, LABELS, PATIENTS, REPORT = (
    "teacher.pth", "teacher.keras", "outputs.json", "labels.json", "patients.json", "finetune.json",
)  # fmt: skip

FREE_DISK = "free some space or name another --out"

READBACK_LIMIT = 1e-4
"""Largest difference between the outputs of the trained network and of the files, in standard deviations of a target.
"""


def in_units(net: Any, data: PreparedDataset, weights: HeadWeights) -> dict[str, F32]:
    """Return the network's tensors, with a last layer that gives the outputs in their units.

    Args:
        net: Network that was trained on the targets of ``data``.
        data: Data set with the scaling of the targets.
        weights: Weights of the heads in the training.
    """
    from convert.checkpoint.net1d import to_tensors

    tensors = to_tensors(net)
    weight, bias = tensors["dense.weight"].copy(), tensors["dense.bias"].copy() - weights.logit_shift
    for j, head in enumerate(data.heads):
        if head.kind == "value":
            weight[j] *= np.float32(head.iqr)
            bias[j] = bias[j] * np.float32(head.iqr) + np.float32(head.median)
    return {**tensors, "dense.weight": weight, "dense.bias": bias.astype(np.float32)}


def write_teacher(
    out: Path, net: Any, data: PreparedDataset, weights: HeadWeights, at: Progressed, steps: int, look: F32
) -> dict[str, float]:
    """Write the teacher in both formats and all other files except the report, and read the teacher back.

    Args:
        out: Output folder.
        net: The best network; its last layer is changed to the units of the outputs.
        data: Data set of the training.
        weights: Weights of the heads in the training.
        at: The finished run.
        steps: Number of steps of an epoch.
        look: Segments for the comparison, ``(n, 5000)``.

    Returns:
        Largest difference of the outputs from those of the network by file, in standard deviations of a target.

    Raises:
        OutputError: A file cannot be written.
        InputError: A file reads back differently.
    """
    trained = np.asarray(net(look, training=False)["logits"])
    tensors = in_units(net, data, weights)
    spec = net.spec
    facts: dict[str, str | int | float] = {
        "epoch": at.best + 1, "step": (at.best + 1) * steps, "stride": spec.stride, "use_bn": int(spec.use_bn),
    }  # fmt: skip
    area = at.history[at.best]["val_macro_auroc"] if at.best >= 0 else None
    if area is not None:
        facts["val_auroc"] = float(area)
    write_checkpoint(out / TEACHER, tensors, facts=facts)
    from convert.checkpoint.net1d import load_tensors, net1d_from_tensors

    load_tensors(net, tensors)
    write_keras_teacher(out / KERAS, net.with_length(None, "auto"))
    difference = {}
    for name, checkpoint in ((TEACHER, read_checkpoint(out / TEACHER)), (KERAS, read_keras_teacher(out / KERAS))):
        again = net1d_from_tensors(checkpoint, stride=spec.stride, use_bn=spec.use_bn)
        found = in_targets(np.asarray(again(look, training=False)["logits"]), data, weights)
        difference[name] = float(np.abs(found - trained).max())
        if not difference[name] <= READBACK_LIMIT * max(1.0, float(np.abs(trained).max())):
            raise InputError(
                f"{out / name} reads back differently: its outputs differ by {difference[name]:.2g} from the network",
                "check the disk",
            )
    write_atomically(out / OUTPUTS, as_json({"outputs": [_output(h) for h in data.heads]}), advice=FREE_DISK)
    write_atomically(out / LABELS, as_json({"schema": LABELS_SCHEMA, "plan": data.manifest["plan"]}), advice=FREE_DISK)
    write_atomically(out / "loss.csv", curve_csv(at.curve), advice=FREE_DISK)
    write_atomically(out / "loss.svg", curve_svg(at, steps), advice=FREE_DISK)
    return difference


def in_targets(outputs: F32, data: PreparedDataset, weights: HeadWeights) -> F32:
    """Scale outputs in their units back to the targets of the training."""
    found = outputs + weights.logit_shift
    for j, head in enumerate(data.heads):
        if head.kind == "value":
            found[:, j] = (outputs[:, j] - np.float32(head.median)) / np.float32(head.iqr)
    return np.asarray(found, dtype=np.float32)


def write_patients(path: Path, data: PreparedDataset) -> None:
    """Write the list of the patients that the teacher has seen, so that it is never judged on them.

    Raises:
        OutputError: The file cannot be written.
    """
    from convert.teacher.patients import patients_file
    from convert.teacher.prepared_patients import prepared_hashes

    parts = {"train": prepared_hashes(data, "train"), "val": prepared_hashes(data, "val")}
    write_atomically(path, patients_file(parts), advice=FREE_DISK)


def _output(head: Any) -> dict[str, Any]:
    names = ("key", "lab", "loinc", "unit", "direction", "kind", "horizon_min")
    return {name: getattr(head, name) for name in names}


def as_json(content: Mapping[str, Any]) -> str:
    """Return the text of a JSON file, with ``null`` in place of NaN and infinity."""
    return json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
