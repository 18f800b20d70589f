"""The teacher to evaluate: the output of ``anyecg finetune``, a checkpoint, or a foundation bundle.

A prepared segment has already passed the front end, so a float network reads it unchanged; a bundle counts it in steps
to its own input scale. The network runs as one LiteRT model in the work folder, so that every process and every worker
of a cluster opens the same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.evaluate.scorer import ScorerSpec, keep_model
from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.spec import check_one_lead
from convert.checkpoint.tensors import Checkpoint
from convert.datasets.heads import TeacherHead, heads_of_bundle, heads_of_file
from convert.teacher.open import ModelEnds, float_model
from convert.teacher.patients import read_patients, read_patients_file
from convert.teacher.place import CHECKPOINT, PATIENTS, network_options, outputs_of
from edge.frontend.ecgfounder import WINDOW_SAMPLES
from edge.process.files import sha256_of
from firmware_bridge.errors import InputError, UsageError

KERAS = "teacher.keras"
"""File name of the Keras teacher in the folder of ``anyecg finetune``."""

EXPORT = "float/3"
"""Version of the export, part of the identity of scores, so that scores of different exports are never mixed."""

Knots = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class TeacherOptions:
    """Properties of a teacher that its files may not state.

    Attributes:
        outputs: File that describes its outputs; ``None`` for ``outputs.json`` in the same folder.
        stride: Stride of the first block of each stage; ``None`` for that of the checkpoint, or else 2.
        use_bn: Whether it has batch normalisation; ``None`` for that of the checkpoint, or else false.
        key: Name of the network in a checkpoint with several; ``None`` for the only one.
    """

    outputs: Path | None = None
    stride: int | None = None
    use_bn: bool | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class OpenTeacher:
    """A teacher that has been read; it is exported before its first scores.

    Attributes:
        name: Name for messages and the report.
        kind: ``checkpoint``, ``keras`` or ``bundle``.
        sha256: SHA-256 of the checkpoint or of the manifest of the bundle.
        identity: Hash of everything that its scores depend on, so that scores of two teachers are never mixed.
        heads: Description of its outputs.
        knots: Knots of the isotonic curve of each head; ``None`` for a head without one.
        export: Function that returns its LiteRT model; it may load TensorFlow and take a minute.
        ends: Input and output of a bundle's model; ``None`` for a checkpoint.
        patients: Hashes of its own patients by part; ``None`` if it does not list them.
    """

    name: str
    kind: str
    sha256: str
    identity: str
    heads: tuple[TeacherHead, ...]
    knots: tuple[Knots | None, ...]
    export: Callable[[], bytes]
    ends: ModelEnds | None
    patients: dict[str, frozenset[bytes]] | None

    def spec(self, work: Path) -> ScorerSpec:
        """Return the specification of its model, after writing the model into the work folder.

        Raises:
            InputError: The network reads several leads, or does not match its description.
            OutputError: The model cannot be written.
        """
        model = keep_model(work.absolute() / f"teacher-{self.identity[:16]}.tflite", self.export)
        return ScorerSpec(model, self.name, len(self.heads), self.ends)


def open_teacher(path: Path, options: TeacherOptions) -> OpenTeacher:
    """Open a teacher.

    Args:
        path: Folder of ``anyecg finetune``, checkpoint, Keras file (``.keras``) or foundation bundle.
        options: Properties that its files may not state.

    Raises:
        InputError: The teacher is missing, or its outputs do not match their description.
        UsageError: No file describes its outputs.
        BundleError: The bundle is damaged.
    """
    if path.suffix == ".zip" or (path / "manifest.json").is_file():
        return _bundle(path, options)
    if path.is_dir():
        found = next((path / name for name in (CHECKPOINT, KERAS) if (path / name).is_file()), None)
        if found is None:
            raise InputError(
                f"no teacher in {path}: neither {CHECKPOINT} nor {KERAS} nor a bundle's manifest.json",
                "'anyecg finetune' writes it at its end; rerun that command to resume it",
            )
        path = found
    if not path.is_file():
        raise InputError(f"no teacher at {path}", "give the folder of 'anyecg finetune', a checkpoint, or a bundle")
    outputs = outputs_of(path, options.outputs)
    if path.suffix == ".keras":
        return _keras(path, outputs, options)
    return _checkpoint(path, outputs, options)


def _checkpoint(path: Path, outputs: Path, options: TeacherOptions) -> OpenTeacher:
    checkpoint = read_checkpoint(path, key=options.key)
    heads = heads_of_file(outputs)
    stride, use_bn = network_options(checkpoint, options.stride, options.use_bn)
    _as_many(heads, outputs, checkpoint)
    identity = _identity(checkpoint.sha256, *([] if options.key is None else [options.key]), stride, use_bn)

    def export() -> bytes:
        return _exported(checkpoint, stride, use_bn)

    return _opened(path, "checkpoint", checkpoint.sha256, identity, heads, export)


def _keras(path: Path, outputs: Path, options: TeacherOptions) -> OpenTeacher:
    if (options.stride, options.use_bn, options.key) != (None, None, None):
        raise UsageError("--stride, --bn and --key apply only to a checkpoint", f"leave them out with {path.name}")
    digest = sha256_of(path)
    heads = heads_of_file(outputs)

    def export() -> bytes:
        # Imported here, because it loads TensorFlow, which a resumed run does not need.
        from convert.checkpoint.keras_file import read_keras_teacher

        checkpoint = read_keras_teacher(path)
        _as_many(heads, outputs, checkpoint)
        return _exported(checkpoint, *network_options(checkpoint, None, None))

    return _opened(path, "keras", digest, _identity(digest), heads, export)


def _opened(
    path: Path,
    kind: str,
    digest: str,
    identity: str,
    heads: tuple[TeacherHead, ...],
    export: Callable[[], bytes],
) -> OpenTeacher:
    name = path.parent.name if path.name in (CHECKPOINT, KERAS) else path.stem
    patients = path.with_name(PATIENTS)
    return OpenTeacher(
        name=name or path.stem,
        kind=kind,
        sha256=digest,
        identity=identity,
        heads=heads,
        knots=tuple(None for _ in heads),
        export=export,
        ends=None,
        patients=read_patients_file(patients) if patients.is_file() else None,
    )


def _bundle(path: Path, options: TeacherOptions) -> OpenTeacher:
    from edge.bundle.reader import load_bundle

    if options != TeacherOptions():
        raise UsageError(
            "--outputs, --stride, --bn and --key apply only to a checkpoint", "leave them out: a bundle states them"
        )
    bundle = load_bundle(path)
    m = bundle.manifest
    if m.front_end.name != "ecgfounder/1":
        raise InputError(
            f"{path} is a bundle of the {m.tier} tier",
            "prepared segments need the front end ecgfounder/1; judge this bundle with 'anyecg validate'",
        )
    heads = heads_of_bundle(bundle)
    return OpenTeacher(
        name=f"{m.name} {m.version}",
        kind="bundle",
        sha256=bundle.sha256,
        identity=_identity(bundle.sha256),
        heads=heads,
        knots=tuple(bundle.calibration[h.key].knots for h in heads),
        export=lambda: bundle.model,
        ends=ModelEnds(m.input, m.output, m.front_end.clamp),
        patients=read_patients(path),
    )


def _as_many(heads: Sequence[TeacherHead], outputs: Path, checkpoint: Checkpoint) -> None:
    dense = checkpoint.tensors.get("dense.weight")
    if dense is not None and len(dense) != len(heads):
        raise InputError(
            f"{outputs} names {len(heads)} outputs, but the last layer of {checkpoint.path} has {len(dense)}",
            "give one entry for each row of 'dense.weight', in the same order",
        )


def _identity(*parts: object) -> str:
    return hashlib.sha256(" ".join(map(str, (*parts, EXPORT))).encode()).hexdigest()


def _exported(checkpoint: Checkpoint, stride: int, use_bn: bool) -> bytes:
    from convert.checkpoint.net1d import net1d_from_tensors

    net = net1d_from_tensors(checkpoint, stride=stride, use_bn=use_bn)
    check_one_lead(net.spec, checkpoint.path)
    return float_model(net.with_length(WINDOW_SAMPLES))
