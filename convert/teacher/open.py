"""The teacher of a distillation: a foundation model that turns ten seconds of ECG into logits and pooled features.

Either a checkpoint, run as a float LiteRT model, which takes a third of the time of eager Keras, or a foundation
bundle, run as the int8 model that it is. Both read the window that the front end ``ecgfounder/1`` makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.compute.tf_runtime import load_tensorflow, quiet_stderr
from convert.datasets.heads import TeacherHead, heads_of_bundle, heads_of_file
from convert.teacher.place import CHECKPOINT, MANIFEST, checkpoint_at, is_bundle, network_options, outputs_of
from edge.frontend.ecgfounder import WINDOW_SAMPLES, EcgFounderFrontEnd
from firmware_bridge.errors import InputError, OutputError, UsageError

Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Logits ``(heads,)`` and features ``(width,)`` of one window; the width is 0 where a teacher shows none."""


class Teacher(Protocol):
    """What a distillation needs of its teacher.

    Attributes:
        name: For people.
        sha256: Of the file or manifest it came from.
        identity: Of the labels it gives: those of one teacher are never mixed with those of another.
        heads: Its outputs.
        features: Width of the pooled features, 0 for none.
        licence: Of its weights.
    """

    name: str
    sha256: str
    identity: str
    heads: tuple[TeacherHead, ...]
    features: int
    licence: str

    def label(self, window: NDArray[np.float64]) -> Outputs:
        """Labels one window.

        Args:
            window: Raw ten seconds at 500 Hz, ``(5000,)``, any unit.
        """
        ...


@dataclass(frozen=True, slots=True)
class InputSteps:
    """int8 quantization of a bundle's input.

    Attributes:
        scale: Of a step.
        zero_point: Step of zero.
        clamp: Largest z-score.
    """

    scale: float
    zero_point: int
    clamp: float


class LiteRtTeacher:
    """A teacher as a TFLite model, float or int8.

    Args:
        model: The flatbuffer.
        name: For people.
        sha256: Of where it came from.
        heads: Its outputs.
        licence: Of its weights.
        quantized: Input quantization of an int8 model; ``None`` for a float one.
        identity: Of the labels it gives; ``sha256`` where left out.

    Attributes:
        given: The arguments that make it anew.
    """

    def __init__(
        self,
        model: bytes,
        name: str,
        sha256: str,
        heads: Sequence[TeacherHead],
        licence: str = "not stated",
        quantized: InputSteps | None = None,
        identity: str = "",
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.given = (model, name, sha256, tuple(heads), licence, quantized, identity)
        self.name, self.sha256, self.heads, self.licence = name, sha256, tuple(heads), licence
        self.identity = identity or sha256
        self._front_end = EcgFounderFrontEnd()
        self._quantized = quantized
        try:
            with quiet_stderr():
                self._interpreter = Interpreter(model_content=model, num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"the teacher {name} does not load: {str(error).splitlines()[0]}") from None
        self._in = self._interpreter.get_input_details()[0]
        self._outs = _outputs_in_order(self._interpreter, len(self.heads))
        self.features = int(np.prod(self._outs[1]["shape"])) if len(self._outs) > 1 else 0

    def __reduce__(self) -> tuple[type[LiteRtTeacher], tuple[Any, ...]]:
        """So that it can be handed to another process: made anew of the same model."""
        return LiteRtTeacher, self.given

    def label(self, window: NDArray[np.float64]) -> Outputs:
        """Labels one window; see :class:`Teacher`."""
        x = self._front_end(window)
        q = self._quantized
        if q is not None:
            x = np.clip(np.rint(np.clip(x, -q.clamp, q.clamp) / q.scale) + q.zero_point, -128, 127)
        self._interpreter.set_tensor(self._in["index"], x.astype(self._in["dtype"]).reshape(self._in["shape"]))
        self._interpreter.invoke()
        found = [self._read(out) for out in self._outs]
        return found[0], found[1] if len(found) > 1 else np.empty(0, np.float32)

    def _read(self, out: dict[str, Any]) -> NDArray[np.float32]:
        raw = self._interpreter.get_tensor(out["index"]).reshape(-1).astype(np.float32)
        scale, zero_point = out["quantization"]
        return raw if not scale else np.asarray((raw - zero_point) * scale, dtype=np.float32)


def _outputs_in_order(interpreter: Any, n_heads: int) -> list[dict[str, Any]]:
    """The logits and, where there is a second output, the features."""
    details: list[dict[str, Any]] = list(interpreter.get_output_details())[:2]
    found = int(np.prod(details[0]["shape"]))
    if found != n_heads:
        raise InputError(f"the teacher has {found} outputs, {n_heads} are described")
    return details


def float_model(keras_model: Any) -> bytes:
    """A Keras teacher with the outputs ``logits`` and ``features`` as a float TFLite model, batch 1, 5000 samples."""
    tf = load_tensorflow()

    def run(ecg: Any) -> Any:
        out = keras_model(ecg, training=False)
        # A tuple, because the outputs of a dictionary would come out in the order of their names.
        return out["logits"], out["features"]

    module = tf.Module()
    module.run = tf.function(run, input_signature=[tf.TensorSpec([1, WINDOW_SAMPLES, 1], tf.float32, name="ecg")])
    function = module.run.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    with quiet_stderr():
        return bytes(converter.convert())


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """What a checkpoint does not say of itself.

    Attributes:
        outputs: File that names its outputs; ``None`` for ``outputs.json`` beside it, and for a bundle, which does.
        stride: Of each stage's first block; ``None`` for what the file says, else 2.
        use_bn: The network was trained with batch normalisation; ``None`` for what the file says, else not.
        licence: Of the weights.
    """

    outputs: Path | None = None
    stride: int | None = None
    use_bn: bool | None = None
    licence: str = "not stated by the checkpoint"


def open_teacher(path: Path, options: CheckpointOptions, workdir: Path) -> Teacher:
    """The teacher that a path names.

    Args:
        path: A checkpoint (``.pth``), the folder of ``anyecg finetune``, or a foundation bundle.
        options: What a checkpoint does not say of itself; a bundle says it all.
        workdir: Keeps the exported form of a checkpoint, so that a restart need not make it again.

    Raises:
        InputError: It is neither, has several leads, or its outputs do not match the description.
        BundleError: The bundle is not what it says.
        UsageError: A checkpoint without, or a bundle with a description of its outputs.
        OutputError: The exported form cannot be written.
    """
    if not path.exists():
        raise InputError(
            f"no teacher at {path}", "give a checkpoint (.pth), the folder of 'anyecg finetune' or a foundation bundle"
        )
    if is_bundle(path):
        if options != CheckpointOptions():
            given = "--outputs, --stride, --bn and --licence belong to a checkpoint"
            raise UsageError(given, "a bundle says it itself")
        return _bundle_teacher(path)
    path = checkpoint_at(path)
    return _checkpoint_teacher(path, outputs_of(path, options.outputs), options, workdir)


def _bundle_teacher(path: Path) -> Teacher:
    from edge.bundle.reader import load_bundle

    if path.is_dir() and not (path / MANIFEST).is_file():
        raise InputError(
            f"no teacher in {path}: neither {CHECKPOINT} nor a bundle's {MANIFEST}",
            "'anyecg finetune' writes it when it is done; start that again where it was interrupted",
        )
    bundle = load_bundle(path)
    m = bundle.manifest
    if m.front_end.name != "ecgfounder/1":
        raise InputError(f"{path} is a bundle of the {m.tier} tier", "a teacher has the front end ecgfounder/1")
    quantized = InputSteps(m.input.scale, m.input.zero_point, m.front_end.clamp)
    heads = heads_of_bundle(bundle)
    return LiteRtTeacher(bundle.model, f"{m.name} {m.version}", bundle.sha256, heads, m.licence, quantized)


def _checkpoint_teacher(path: Path, outputs: Path, options: CheckpointOptions, workdir: Path) -> Teacher:
    from convert.checkpoint.reader import read_checkpoint

    checkpoint = read_checkpoint(path)
    dense = checkpoint.tensors.get("dense.weight")
    heads = heads_of_file(outputs)
    if dense is not None and len(dense) != len(heads):
        raise InputError(f"{outputs} names {len(heads)} outputs, dense of {path} has {len(dense)}")
    # Loading TensorFlow and tracing 30 million parameters takes longer than reading what an earlier run exported.
    from convert.checkpoint.net1d import net1d_from_tensors

    stride, use_bn = network_options(checkpoint, options.stride, options.use_bn)
    # The same weights are another teacher with another stride, and their labels must not be mixed.
    identity = hashlib.sha256(f"{checkpoint.sha256} {stride} {use_bn} float/2".encode()).hexdigest()
    key = identity[:16]
    kept = workdir / f"teacher-{key}.tflite"
    model = read_kept(kept)
    if model is None:
        net = net1d_from_tensors(checkpoint, stride=stride, use_bn=use_bn)
        if net.spec.in_channels != 1:
            raise InputError(
                f"{path} reads {net.spec.in_channels} leads", "a patch has one; give a one-lead checkpoint"
            )
        model = float_model(net.with_length(WINDOW_SAMPLES))
        write_kept(kept, model)
    return LiteRtTeacher(model, path.stem, checkpoint.sha256, heads, options.licence, identity=identity)


def read_kept(path: Path) -> bytes | None:
    """What :func:`write_kept` wrote; ``None`` where it is missing or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data[32:] if hashlib.sha256(data[32:]).digest() == data[:32] else None


def write_kept(path: Path, model: bytes) -> None:
    """Writes a model with its digest, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    partial = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(hashlib.sha256(model).digest() + model)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "free some space or name another folder") from error
