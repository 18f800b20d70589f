"""What a training hands on: the teacher twice, what its outputs mean, how its labels were made, whom it has seen.

The file ``teacher.pth`` is what ECGFounder's own code writes and PyTorch loads; values come out in the lab's unit, and
what the weight of rare positives added to a logit is taken off again.
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
from firmware_bridge.errors import InputError, OutputError

F32 = NDArray[np.float32]

SCHEMA = "anyecg.finetune/1"
LABELS_SCHEMA = "anyecg.label-plan/1"
TEACHER, KERAS, OUTPUTS, LABELS, PATIENTS, REPORT = (
    "teacher.pth", "teacher.keras", "outputs.json", "labels.json", "patients.json", "finetune.json",
)  # fmt: skip

READBACK_LIMIT = 1e-4
"""Largest difference of logits between what was trained and what was read back, in standard deviations of a target."""


def in_units(net: Any, data: PreparedDataset, weights: HeadWeights) -> dict[str, F32]:
    """The network's tensors with the last layer in the units of the outputs.

    Args:
        net: Trained on the targets of ``data``.
        data: Whose scaling it has.
        weights: What it was trained with.
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
    """Writes the teacher and everything beside it but the report, and reads both forms back.

    Args:
        out: Folder.
        net: The best network; its last layer is put into the units of the outputs.
        data: That it was trained on.
        weights: What it was trained with.
        at: The whole run.
        steps: Of an epoch.
        look: Segments to compare on, ``(n, 5000)``.

    Returns:
        Largest difference of the outputs of either form from the network's, in units of a target's spread.

    Raises:
        OutputError: A file cannot be written.
        InputError: What is read back is another network.
    """
    trained = np.asarray(net(look, training=False)["logits"])
    tensors = in_units(net, data, weights)
    spec = net.spec
    facts: dict[str, str | int | float] = {
        "epoch": at.best + 1, "step": (at.best + 1) * steps, "stride": spec.stride, "use_bn": int(spec.use_bn),
    }  # fmt: skip
    if at.best >= 0 and at.history[at.best]["val_macro_auroc"] is not None:
        facts["val_auroc"] = float(at.history[at.best]["val_macro_auroc"])
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
                f"{out / name} gives outputs that differ by {difference[name]:.2g} from what was trained",
                "is the disk sound?",
            )
    write_text(out / OUTPUTS, as_json({"outputs": [_output(h) for h in data.heads]}))
    write_text(out / LABELS, as_json({"schema": LABELS_SCHEMA, "plan": data.manifest["plan"]}))
    write_text(out / "loss.csv", curve_csv(at.curve))
    write_text(out / "loss.svg", curve_svg(at, steps))
    return difference


def in_targets(outputs: F32, data: PreparedDataset, weights: HeadWeights) -> F32:
    """Outputs in their units back in the scale of the targets that the training had."""
    found = outputs + weights.logit_shift
    for j, head in enumerate(data.heads):
        if head.kind == "value":
            found[:, j] = (outputs[:, j] - np.float32(head.median)) / np.float32(head.iqr)
    return np.asarray(found, dtype=np.float32)


def write_patients(path: Path, data: PreparedDataset) -> None:
    """Whom the teacher has seen, so that nobody judges it on them.

    Raises:
        OutputError: The file cannot be written.
    """
    from convert.teacher.patients import patients_file
    from convert.teacher.prepared_patients import prepared_hashes

    parts = {"train": prepared_hashes(data, "train"), "val": prepared_hashes(data, "val")}
    write_text(path, patients_file(parts).decode())


def _output(head: Any) -> dict[str, Any]:
    names = ("key", "lab", "loinc", "unit", "direction", "kind", "horizon_min")
    return {name: getattr(head, name) for name in names}


def as_json(content: Mapping[str, Any]) -> str:
    """Text of a JSON file; what is no number is left out of it."""
    return json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}", "free some space or name another"
        ) from None
