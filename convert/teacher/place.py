"""Where a teacher is, and what stands beside it: names of its outputs, the plan of its labels, whom it has met.

``anyecg finetune`` writes all of it into one folder; a checkpoint from elsewhere may have some of it beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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

CHECKPOINT = "teacher.pth"
OUTPUTS = "outputs.json"
PATIENTS = "patients.json"
MANIFEST = "manifest.json"

PREFIX = "teacher_"
"""Before the parts of a teacher's own list of patients in the bundles that are made of it."""
TRAINED = f"{PREFIX}train"
"""Those who trained it; ``teacher_val`` are those who chose its weights."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What a teacher brings beside its weights.

    Attributes:
        plan: How its labels were made; ``None`` where nothing says it.
        patients: Whom it has met, by part, as bundles made of it name them (:data:`TRAINED` and others);
            empty where nothing says it.
    """

    plan: LabelPlan | None = None
    patients: Mapping[str, frozenset[bytes]] = field(default_factory=dict)


def is_bundle(path: Path) -> bool:
    """Whether a path is a bundle, or can be nothing else."""
    return path.suffix == ".zip" or (path / MANIFEST).is_file() or (path.is_dir() and not (path / CHECKPOINT).is_file())


def checkpoint_at(path: Path) -> Path:
    """The checkpoint that a path names: the file, or the one in a folder of ``anyecg finetune``.

    Raises:
        InputError: The folder has none.
    """
    if not path.is_dir():
        return path
    found = path / CHECKPOINT
    if not found.is_file():
        raise InputError(
            f"no {CHECKPOINT} in the folder {path}",
            "'anyecg finetune' writes it when it is done; start that again where it was interrupted",
        )
    return found


def outputs_of(checkpoint: Path, given: Path | None) -> Path:
    """The file that names a checkpoint's outputs: the one that is given, else the one beside it.

    Raises:
        UsageError: There is none.
    """
    beside = checkpoint.with_name(OUTPUTS)
    if given is None and not beside.is_file():
        raise UsageError(
            f"{checkpoint} is a checkpoint: what do its outputs mean?", "describe them with --outputs FILE"
        )
    return given or beside


def network_options(checkpoint: Checkpoint, stride: int | None, use_bn: bool | None) -> tuple[int, bool]:
    """Stride and use of batch normalisation: as given, else as the checkpoint says, else as ECGFounder has them."""
    said = checkpoint.facts
    own_stride, own_bn = said.get("stride"), said.get("use_bn")
    if stride is None:
        stride = own_stride if isinstance(own_stride, int) and 1 <= own_stride <= 64 else 2
    if use_bn is None:
        use_bn = own_bn in (0, 1) and bool(own_bn)
    return stride, use_bn


def brought_by(path: Path) -> Brought:
    """What stands beside a checkpoint, or in a bundle that teaches.

    Args:
        path: Folder of ``anyecg finetune``, checkpoint or bundle.

    Raises:
        InputError: The plan beside it is damaged.
        BundleError: The list of patients is.
    """
    if is_bundle(path):
        known = read_patients(path) or {}
        # Those who judged it taught nobody anything.
        return Brought(read_bundle_plan(path), {_prefixed(n): found for n, found in known.items() if n != "test"})
    checkpoint = checkpoint_at(path)
    met = checkpoint.with_name(PATIENTS)
    parts = read_patients_file(met) if met.is_file() else {}
    return Brought(_plan_beside(checkpoint), {PREFIX + name: found for name, found in parts.items()})


def kept_files(chosen: ChosenPlan, patients: Mapping[str, frozenset[bytes]]) -> dict[str, bytes]:
    """What a bundle made of a teacher keeps of this: the plan unless it is the kit's own, and whom the teacher met."""
    out = {} if chosen.said_by == DEFAULT else {PLAN_FILE: plan_file(chosen.plan)}
    return out | ({PATIENTS_FILE: patients_file(patients)} if patients else {})


def _prefixed(name: str) -> str:
    return name if name.startswith(PREFIX) else PREFIX + name


def _plan_beside(checkpoint: Path) -> LabelPlan | None:
    """The plan beside a checkpoint; many projects have some other file of that name there, which is left alone."""
    path = checkpoint.with_name(BESIDE)
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}", "copy it again, or take it away") from None
    ours = isinstance(raw, Mapping) and raw.get("schema") == SCHEMA
    return read_label_plan(path) if ours else None
