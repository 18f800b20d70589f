"""The teacher of a distillation: a foundation model that turns ten seconds of ECG into logits and pooled features.

A checkpoint runs as a float LiteRT model, which takes a third of the time of eager Keras. A foundation bundle runs as
its own model, whatever its form. Both read windows of the front end ``ecgfounder/1``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.spec import check_one_lead
from convert.compute.tf_runtime import load_tensorflow, quiet_stderr
from convert.datasets.heads import TeacherHead, heads_of_bundle, heads_of_file
from convert.teacher.place import CHECKPOINT, MANIFEST, checkpoint_at, is_bundle, network_options, outputs_of
from edge.bundle.tensors import Steps, TensorSpec
from edge.frontend.ecgfounder import WINDOW_SAMPLES, EcgFounderFrontEnd
from edge.model import open_model
from edge.process.files import write_files
from firmware_bridge.errors import InputError, UsageError

Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Logits ``(heads,)`` and features ``(width,)`` of one window; the width is 0 for a teacher without features."""


class Teacher(Protocol):
    """A model that labels windows.

    Attributes:
        name: Name in reports.
        sha256: SHA-256 of its checkpoint file or of its bundle's manifest, hexadecimal.
        identity: Identifier of its labels; labels with different identifiers are never mixed.
        heads: Outputs of the teacher.
        features: Width of the pooled features, 0 for none.
        licence: Licence of the weights.
    """

    name: str
    sha256: str
    identity: str
    heads: tuple[TeacherHead, ...]
    features: int
    licence: str

    def label(self, window: NDArray[np.float64]) -> Outputs:
        """Label one window.

        Args:
            window: Ten raw seconds, ``(5000,)`` at 500 Hz, in any unit.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelEnds:
    """Input and output of a bundle's model.

    Attributes:
        source: The input.
        sink: The output.
        clamp: Largest absolute z-score.
    """

    source: TensorSpec
    sink: TensorSpec
    clamp: float

    def steps(self, z: NDArray[Any]) -> Steps:
        """Return z-scores, clamped, in the steps of the input."""
        return self.source.to_steps(np.clip(z, -self.clamp, self.clamp))


class BundleTeacher:
    """A teacher that runs as the model of a foundation bundle, in any form, as on the device.

    Args:
        model: The TFLite model.
        name: Name in reports.
        sha256: SHA-256 of the bundle's manifest, hexadecimal.
        heads: Outputs of the teacher.
        licence: Licence of the weights.
        ends: Input and output of the model.

    Attributes:
        given: The arguments of the constructor.
        features: 0, because the model has no second output.
    """

    features = 0

    def __init__(
        self, model: bytes, name: str, sha256: str, heads: Sequence[TeacherHead], licence: str, ends: ModelEnds
    ) -> None:
        self.given = (model, name, sha256, tuple(heads), licence, ends)
        self.name, self.sha256, self.heads, self.licence = name, sha256, tuple(heads), licence
        self.identity = sha256
        self._ends, self._front_end = ends, EcgFounderFrontEnd()
        self._model = open_model(model, ends.source, ends.sink)

    def __reduce__(self) -> tuple[type[BundleTeacher], tuple[Any, ...]]:
        """Support pickling: the other process opens the same model."""
        return BundleTeacher, self.given

    def label(self, window: NDArray[np.float64]) -> Outputs:
        """Label one window; see :class:`Teacher`."""
        found = self._model.run(self._ends.steps(self._front_end(window)))
        return self._ends.sink.to_values(found).astype(np.float32), np.empty(0, np.float32)


class _Tensor(TypedDict):
    """Details of a tensor, as LiteRT gives them."""

    index: int
    shape: NDArray[np.int32]


class LiteRtTeacher:
    """A teacher that runs as a float TFLite model.

    Args:
        model: The TFLite model.
        name: Name in reports.
        sha256: SHA-256 of its checkpoint file, hexadecimal.
        heads: Outputs of the teacher.
        licence: Licence of the weights.
        identity: Identifier of its labels; ``sha256`` by default.

    Attributes:
        given: The arguments of the constructor.
    """

    def __init__(
        self,
        model: bytes,
        name: str,
        sha256: str,
        heads: Sequence[TeacherHead],
        licence: str = "not stated",
        identity: str = "",
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.given = (model, name, sha256, tuple(heads), licence, identity)
        self.name, self.sha256, self.heads, self.licence = name, sha256, tuple(heads), licence
        self.identity = identity or sha256
        self._front_end = EcgFounderFrontEnd()
        try:
            with quiet_stderr():
                self._interpreter = Interpreter(model_content=model, num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"cannot load the teacher {name}: {str(error).splitlines()[0]}") from None
        self._in = self._interpreter.get_input_details()[0]
        self._outs = _outputs_in_order(self._interpreter, len(self.heads))
        self.features = int(np.prod(self._outs[1]["shape"])) if len(self._outs) > 1 else 0

    def __reduce__(self) -> tuple[type[LiteRtTeacher], tuple[Any, ...]]:
        """Support pickling: the other process opens the same model."""
        return LiteRtTeacher, self.given

    def label(self, window: NDArray[np.float64]) -> Outputs:
        """Label one window; see :class:`Teacher`."""
        return self._outputs(self._front_end(window))

    def run(self, z: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the logits of one window that has passed the front end, ``(5000,)`` z-scores."""
        return self._outputs(z)[0]

    def _outputs(self, z: NDArray[np.floating]) -> Outputs:
        self._interpreter.set_tensor(self._in["index"], z.astype(np.float32).reshape(self._in["shape"]))
        self._interpreter.invoke()
        found = [self._read(out) for out in self._outs]
        return found[0], found[1] if len(found) > 1 else np.empty(0, np.float32)

    def _read(self, out: _Tensor) -> NDArray[np.float32]:
        return np.asarray(self._interpreter.get_tensor(out["index"]), dtype=np.float32).reshape(-1)


def _outputs_in_order(interpreter: Any, n_heads: int) -> list[_Tensor]:
    """Return the details of the logits and, if there is a second output, of the features."""
    details: list[_Tensor] = list(interpreter.get_output_details())[:2]
    found = int(np.prod(details[0]["shape"]))
    if found != n_heads:
        raise InputError(f"the teacher has {found} outputs, but {n_heads} are described")
    return details


def float_model(keras_model: Any) -> bytes:
    """Convert a Keras teacher with the outputs ``logits`` and ``features`` to a float TFLite model for one window."""
    tf = load_tensorflow()

    def run(ecg: Any) -> Any:
        out = keras_model(ecg, training=False)
        # A tuple, because the converter would sort the outputs of a dictionary by name.
        return out["logits"], out["features"]

    module = tf.Module()
    module.run = tf.function(run, input_signature=[tf.TensorSpec([1, WINDOW_SAMPLES, 1], tf.float32, name="ecg")])
    function = module.run.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    with quiet_stderr():
        return bytes(converter.convert())


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """Facts that a checkpoint may lack.

    Attributes:
        outputs: File that describes its outputs; ``None`` for ``outputs.json`` in its folder, and for a bundle, which
            describes its outputs itself.
        stride: Stride of each stage's first block; ``None`` for the stride in the file, or 2 if it has none.
        use_bn: Whether the network was trained with batch normalisation; ``None`` for the fact in the file, or
            ``False`` if it has none.
        licence: Licence of the weights.
        key: Name of the network in a checkpoint with several; ``None`` for the only one.
    """

    outputs: Path | None = None
    stride: int | None = None
    use_bn: bool | None = None
    licence: str = "not stated by the checkpoint"
    key: str | None = None


_PLAIN = CheckpointOptions()
_OPTION = {"outputs": "--outputs", "stride": "--stride", "use_bn": "--bn", "licence": "--licence", "key": "--key"}
"""Option of the commands that sets each field."""


def open_teacher(path: Path, options: CheckpointOptions, workdir: Path) -> Teacher:
    """Open a teacher.

    Args:
        path: A checkpoint, the folder of ``anyecg finetune``, or a foundation bundle.
        options: Facts that a checkpoint may lack; a bundle has all of them.
        workdir: Folder that keeps the exported model of a checkpoint for the next run.

    Raises:
        InputError: The path is not a teacher, it reads several leads, or its outputs do not match their description.
        BundleError: The bundle is damaged.
        UsageError: The description of the outputs is missing for a checkpoint, or given for a bundle.
        OutputError: The exported model cannot be written.
    """
    if not path.exists():
        raise InputError(
            f"no teacher at {path}", "give a checkpoint, the folder of 'anyecg finetune' or a foundation bundle"
        )
    if is_bundle(path):
        if options != _PLAIN:
            given = [name for field, name in _OPTION.items() if getattr(options, field) != getattr(_PLAIN, field)]
            raise UsageError(f"{', '.join(given)}: for checkpoints only", f"leave it out: {path} is a bundle")
        return _bundle_teacher(path)
    return open_checkpoint(path, options, workdir)


def _bundle_teacher(path: Path) -> Teacher:
    from edge.bundle.reader import load_bundle

    if path.is_dir() and not (path / MANIFEST).is_file():
        raise InputError(
            f"no teacher in {path}: neither {CHECKPOINT} nor a bundle's {MANIFEST}",
            "'anyecg finetune' writes it at its end; rerun it to resume an interrupted training",
        )
    bundle = load_bundle(path)
    m = bundle.manifest
    if m.front_end.name != "ecgfounder/1":
        raise InputError(f"{path} is a bundle of the tier {m.tier}", "a teacher needs the front end ecgfounder/1")
    ends = ModelEnds(m.input, m.output, m.front_end.clamp)
    return BundleTeacher(bundle.model, f"{m.name} {m.version}", bundle.sha256, heads_of_bundle(bundle), m.licence, ends)


def open_checkpoint(path: Path, options: CheckpointOptions, workdir: Path) -> LiteRtTeacher:
    """Open a teacher that is a checkpoint; see :func:`open_teacher`."""
    from convert.checkpoint.reader import read_checkpoint

    path = checkpoint_at(path)
    outputs = outputs_of(path, options.outputs)
    checkpoint = read_checkpoint(path, key=options.key)
    dense = checkpoint.tensors.get("dense.weight")
    heads = heads_of_file(outputs)
    if dense is not None and len(dense) != len(heads):
        raise InputError(f"{outputs} describes {len(heads)} outputs, but the checkpoint {path} has {len(dense)}")
    # Loading TensorFlow and tracing 30 million parameters takes longer than reading the export of an earlier run.
    from convert.checkpoint.net1d import net1d_from_tensors

    stride, use_bn = network_options(checkpoint, options.stride, options.use_bn)
    # The same weights with another stride are another teacher, and the labels of two teachers must not be mixed.
    which = "" if options.key is None else f"{options.key} "
    identity = hashlib.sha256(f"{checkpoint.sha256} {which}{stride} {use_bn} float/2".encode()).hexdigest()
    kept = workdir / f"teacher-{identity[:16]}.tflite"
    model = read_kept(kept)
    if model is None:
        net = net1d_from_tensors(checkpoint, stride=stride, use_bn=use_bn)
        check_one_lead(net.spec, path)
        model = float_model(net.with_length(WINDOW_SAMPLES))
        write_kept(kept, model)
    return LiteRtTeacher(model, path.stem, checkpoint.sha256, heads, options.licence, identity=identity)


def read_kept(path: Path) -> bytes | None:
    """Return the model that :func:`write_kept` wrote; ``None`` if the file is missing or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data[32:] if hashlib.sha256(data[32:]).digest() == data[:32] else None


def write_kept(path: Path, model: bytes) -> None:
    """Write a model with its digest atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    data = hashlib.sha256(model).digest() + model
    write_files(path.parent, {path.name: data}, advice="free some space or name another folder")
