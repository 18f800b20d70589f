"""Location of a teacher and the files beside it: description of its outputs, label plan, and patients it has seen.

``anyecg finetune`` writes all of them into one folder. Checkpoints from other sources may have some of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convert.checkpoint.forms import explain_folder
from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.spec import Net1DSpec, spec_from_tensors
from convert.checkpoint.tensors import Checkpoint
from convert.labels.plan import MAX_BYTES, LabelPlan
from convert.labels.travelling_plan import (
    BESIDE,
    DEFAULT,
    SCHEMA,
    ChosenPlan,
    plan_file,
    read_bundle_plan,
    read_label_plan,
)
from convert.labels.travelling_plan import FILE as PLAN_FILE
from convert.teacher.patients import FILE as PATIENTS_FILE
from convert.teacher.patients import patients_file, read_patients, read_patients_file
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.reading import parse_json, read_limited

CHECKPOINT = "teacher.pth"
OUTPUTS = "outputs.json"
PATIENTS = "patients.json"
MANIFEST = "manifest.json"

PREFIX = "teacher_"
"""Prefix of the parts of a teacher's patients in the bundles that are made from it."""
TRAINED = f"{PREFIX}train"
"""Part of the patients used to train the teacher; its weights were selected on those of ``teacher_val``."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Label plan and patients of a teacher.

    Attributes:
        plan: Plan of the teacher's labels; ``None`` if unknown.
        patients: Hashes of the patients it has seen, by part as in the bundles that are made from it
            (:data:`TRAINED` and others); empty if unknown.
    """

    plan: LabelPlan | None = None
    patients: Mapping[str, frozenset[bytes]] = field(default_factory=dict)


def is_bundle(path: Path) -> bool:
    """Whether a path is a bundle, or a folder that cannot be anything else."""
    return path.suffix == ".zip" or (path / MANIFEST).is_file() or (path.is_dir() and not (path / CHECKPOINT).is_file())


def checkpoint_at(path: Path) -> Path:
    """Return the path of a checkpoint: the file itself, or the checkpoint in a folder of ``anyecg finetune``.

    Raises:
        InputError: The folder has no checkpoint.
    """
    if not path.is_dir():
        return path
    found = path / CHECKPOINT
    if not found.is_file():
        explain_folder(path)
        raise InputError(
            f"no {CHECKPOINT} in the folder {path}",
            "'anyecg finetune' writes it at its end; rerun it to resume an interrupted training",
        )
    return found


def outputs_of(checkpoint: Path, given: Path | None) -> Path:
    """Return the file that describes a checkpoint's outputs: the given one, or the one in the checkpoint's folder.

    Raises:
        InputError: There is no such checkpoint.
        UsageError: There is no such file.
    """
    if not checkpoint.exists():
        raise InputError(f"no such checkpoint: {checkpoint}")
    beside = checkpoint.with_name(OUTPUTS)
    if given is None and not beside.is_file():
        raise UsageError(
            f"the outputs of the checkpoint {checkpoint} are not described", "describe them with --outputs FILE"
        )
    return given or beside


def network_options(checkpoint: Checkpoint, stride: int | None, use_bn: bool | None) -> tuple[int, bool]:
    """Return stride and use of batch normalisation: as given, else from the checkpoint, else those of ECGFounder."""
    facts = checkpoint.facts
    own_stride, own_bn = facts.get("stride"), facts.get("use_bn")
    if stride is None:
        stride = own_stride if isinstance(own_stride, int) and 1 <= own_stride <= 64 else 2
    if use_bn is None:
        use_bn = own_bn in (0, 1) and bool(own_bn)
    return stride, use_bn


def read_network(
    path: Path, stride: int | None, use_bn: bool | None, key: str | None = None
) -> tuple[Checkpoint, Net1DSpec]:
    """Read a checkpoint and the options of its network.

    Args:
        path: The checkpoint.
        stride: Stride of each stage's first block; ``None`` for the stride in the file, or 2 if it has none.
        use_bn: Whether the network uses batch normalisation; ``None`` for the fact in the file, or false.
        key: Name of the network in a file with several; ``None`` for the only one.

    Raises:
        InputError: The file cannot be read, or holds another network.
    """
    checkpoint = read_checkpoint(path, key=key)
    stride, use_bn = network_options(checkpoint, stride, use_bn)
    return checkpoint, spec_from_tensors(checkpoint.tensors, str(path), stride=stride, use_bn=use_bn)


def provenance_of(path: Path) -> Provenance:
    """Read the label plan and the patients of a teacher.

    Args:
        path: Folder of ``anyecg finetune``, checkpoint or bundle.

    Raises:
        InputError: The label plan is damaged.
        BundleError: The list of patients is damaged.
    """
    if is_bundle(path):
        known = read_patients(path) or {}
        # The test patients had no influence on the teacher.
        return Provenance(read_bundle_plan(path), {_prefixed(n): found for n, found in known.items() if n != "test"})
    checkpoint = checkpoint_at(path)
    patients = checkpoint.with_name(PATIENTS)
    parts = read_patients_file(patients) if patients.is_file() else {}
    return Provenance(_plan_beside(checkpoint), {PREFIX + name: found for name, found in parts.items()})


def kept_files(chosen: ChosenPlan, patients: Mapping[str, frozenset[bytes]]) -> dict[str, bytes]:
    """Return the files that a bundle keeps of its teacher: a label plan that is not the default, and the patients."""
    out = {} if chosen.said_by == DEFAULT else {PLAN_FILE: plan_file(chosen.plan)}
    return out | ({PATIENTS_FILE: patients_file(patients)} if patients else {})


def _prefixed(name: str) -> str:
    return name if name.startswith(PREFIX) else PREFIX + name


def _plan_beside(checkpoint: Path) -> LabelPlan | None:
    """Return the label plan in a checkpoint's folder; ignore a file of the same name that is not a label plan."""
    path = checkpoint.with_name(BESIDE)
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        raw = parse_json(read_limited(path, MAX_BYTES))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", "copy it again, or remove it") from None
    ours = isinstance(raw, Mapping) and raw.get("schema") == SCHEMA
    return read_label_plan(path) if ours else None
