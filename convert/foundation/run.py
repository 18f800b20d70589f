"""Convert a whole teacher to full int8: from a checkpoint and recordings to a verified foundation bundle."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bundle.writer import AGGREGATION, BundleContents, check_place, write_bundle
from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.spec import Net1DSpec, spec_from_tensors
from convert.checkpoint.tensors import Checkpoint
from convert.datasets import representative
from convert.datasets.outputs_file import OutputEntry, match_dense, read_outputs
from convert.datasets.windows import WindowSet, collect_windows
from convert.foundation.card import model_card
from convert.foundation.records import ConversionFacts, FoundationManifest, ShownOutputs
from convert.foundation.values import WHAT, described, named, scaling_of, uncalibrated, unscaled
from convert.labels.travelling_plan import chosen_plan
from convert.parity.forms import ParityReport, Stage, compare, default_limits, load_limits
from convert.teacher.place import checkpoint_at, kept_files, network_options, outputs_of, provenance_of
from edge.frontend.ecgfounder import CLAMP, FS_HZ, WINDOW_SAMPLES
from firmware_bridge.errors import CheckFailedError, InputError, OutputError

if TYPE_CHECKING:
    from convert.foundation.quantize import Attempt

Choice = Literal["coverage", "alternate"]

GOLDEN_WINDOWS = 8
MIN_WINDOWS = 2
DENSE_HOP_S = 1.0
"""Hop between windows, seconds, if the usual hop gives too few windows."""

DEFAULT_NAME = "anyecg-foundation"
DEFAULT_VERSION = "0.1.0"
DEFAULT_LICENCE = "not stated by the checkpoint"

ADDED_SHARE = 0.10
RSS_MIB = 190
"""Budgets of the tier, see docs/architecture.md: the time around the model as a share of the time of the model, and the
peak RSS in MiB."""


@dataclass(frozen=True, slots=True)
class FoundationConfig:
    """Options of a conversion.

    Attributes:
        checkpoint: The teacher, a ``.pth`` file or the folder of ``anyecg finetune``.
        outputs: Description of its heads, see ``convert/datasets/outputs_file.py``; ``None`` for ``outputs.json`` in
            its folder.
        data: Folder of recordings.
        out: Output folder of the bundle.
        name: Name of the bundle.
        version: Version of the bundle.
        licence: Licence of the weights.
        stride: Stride of each stage's first block; ``None`` for the stride in the file, or 2 if it has none.
        use_bn: Whether the network was trained with batch normalisation; ``None`` for the fact in the file, or
            ``False`` if it has none. Checkpoints always have the tensors of the normalisation, so these do not tell.
        calibration_windows: Number of windows that set the ranges.
        evaluation_windows: Number of windows for the gate and the parity report.
        gates: File with the limits of the gate; ``None`` for that of the package.
        accept_loss: Write the bundle even if the gate is shut.
        labels: Folder of laboratory results to calibrate the heads; ``None`` leaves them uncalibrated.
        choice: Choice of the windows that set the ranges: ``coverage``, or ``alternate`` for every second one.
        label_plan: File with the rule that makes labels from results; ``None`` for the teacher's, or the default.
    """

    checkpoint: Path
    outputs: Path | None
    data: Path
    out: Path
    name: str = DEFAULT_NAME
    version: str = DEFAULT_VERSION
    licence: str = DEFAULT_LICENCE
    stride: int | None = None
    use_bn: bool | None = None
    calibration_windows: int = 48
    evaluation_windows: int = 64
    gates: Path | None = None
    accept_loss: bool = False
    labels: Path | None = None
    choice: Choice = "coverage"
    label_plan: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FoundationResult:
    """Result of a conversion.

    Attributes:
        report: The parity report of the bundle.
        form: The chosen quantized form.
        model_bytes: Size of the model, bytes.
        seconds: Duration of the conversion, seconds.
    """

    report: ParityReport
    form: str
    model_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Model inputs of recordings.

    Attributes:
        steps: Quantized inputs, ``(n, samples)`` int8.
        values: The z-scores of these steps, ``(n, samples)`` float32.
        clipped: Share of the z-scores beyond the clamp, 0 to 1.
    """

    steps: NDArray[np.int8]
    values: NDArray[np.float32]
    clipped: float


def convert_foundation(config: FoundationConfig, stream: TextIO | None = None) -> FoundationResult:
    """Convert a teacher and write its bundle to ``config.out``.

    Args:
        config: Options of the conversion.
        stream: Stream for progress lines, or ``None``.

    Returns:
        The result of the conversion.

    Raises:
        InputError: Checkpoint, outputs or recordings cannot be used.
        CheckFailedError: The gate is shut, or the forms of the model disagree; no bundle is written.
        OutputError: The bundle cannot be written; an older bundle is unchanged.
    """
    started_s = time.monotonic()
    say = stream.write if stream is not None else lambda _: 0
    limits = load_limits(config.gates) if config.gates else default_limits()
    _check_place(config.out)
    path = checkpoint_at(config.checkpoint)
    outputs = outputs_of(path, config.outputs)
    heads = read_outputs(outputs)
    checkpoint = read_checkpoint(path)
    stride, use_bn = network_options(checkpoint, config.stride, config.use_bn)
    spec = spec_from_tensors(checkpoint.tensors, str(path), stride=stride, use_bn=use_bn)
    match_dense(heads, spec.n_classes, outputs, path)
    provenance = provenance_of(path)
    plan = chosen_plan(config.label_plan, provenance.plan, "teacher")
    if spec.in_channels != 1:
        raise InputError(f"{path} reads {spec.in_channels} leads, but a patch has one", "give a one-lead checkpoint")
    found = enough_windows(config.data, config.calibration_windows + config.evaluation_windows, stream)
    say(f"{len(found.windows)} windows of {len(found.used)} recordings, {len(found.skipped)} skipped\n")
    prepared = prepare(found.raw(), CLAMP)
    say(f"converting {spec.count_parameters()} parameters to float LiteRT\n")
    conversion = _Conversion(config, checkpoint, spec, heads, found, prepared, limits, stream)
    report, contents, form = conversion.run()
    contents = replace(contents, extra={**contents.extra, **kept_files(plan, provenance.patients)})
    if config.labels is not None:
        from convert.datasets.heads import heads_of_file
        from convert.foundation.calibrate import Results, calibrated

        results = Results(config.data, config.labels, plan.plan, provenance.patients)
        contents = calibrated(contents, heads_of_file(outputs), results, stream)
        contents = replace(contents, model_card=model_card(contents.manifest, report, contents.heads))
    seconds = time.monotonic() - started_s
    write_bundle(config.out, contents)
    return FoundationResult(report, form, len(contents.model), seconds)


def enough_windows(data: Path, count: int, stream: TextIO | None) -> WindowSet:
    """Return windows of a folder, with a shorter hop if the usual one gives too few.

    Raises:
        InputError: The folder has fewer than two usable windows.
    """
    found = collect_windows(data, count, stream=stream)
    if len(found.windows) < count:
        found = collect_windows(data, count, hop_s=DENSE_HOP_S, stream=stream)
    if len(found.windows) < MIN_WINDOWS:
        raise InputError(f"{data} has {len(found.windows)} usable windows", f"at least {MIN_WINDOWS} are needed")
    return found


def prepare(raw: NDArray[np.float64], clamp: float) -> Windows:
    """Apply ``ecgfounder/1``, the clamp and the int8 scale to raw windows, as the device does.

    Args:
        raw: Raw windows, ``(n, 5000)`` at 500 Hz.
        clamp: Largest absolute z-score.
    """
    from convert.foundation.export import input_scale
    from edge.frontend.ecgfounder import EcgFounderFrontEnd

    front_end, scale = EcgFounderFrontEnd(), input_scale(clamp)
    z = np.stack([front_end(window) for window in raw])
    steps = scale.quantize(np.clip(z, -clamp, clamp))
    return Windows(steps, scale.restore(steps).astype(np.float32), float(np.mean(np.abs(z) > clamp)))


def _check_place(out: Path) -> None:
    """Check the output folder before minutes of work."""
    check_place(out)
    if not out.absolute().parent.is_dir():
        raise OutputError(f"{out.absolute().parent} is not a folder", "create it first, or name another folder")


class _Conversion:
    """The part of a conversion that needs TensorFlow."""

    def __init__(
        self,
        config: FoundationConfig,
        checkpoint: Checkpoint,
        spec: Net1DSpec,
        heads: Sequence[OutputEntry],
        found: WindowSet,
        prepared: Windows,
        limits: Mapping[str, Any],
        stream: TextIO | None,
    ) -> None:
        self._config, self._checkpoint, self._spec, self._heads = config, checkpoint, spec, heads
        self._found, self._prepared, self._limits, self._stream = found, prepared, limits, stream
        # The chosen windows set the ranges, the others judge; very few windows do both.
        n = len(prepared.steps)
        described = representative.describe(
            np.stack([w.filtered for w in found.windows]), found.raw(), [w.recording.parent.name for w in found.windows]
        )
        alternate = np.arange(0, n, 2)[: config.calibration_windows]
        # At most half of the windows, because the others must judge.
        covering = representative.choose(described, min(config.calibration_windows, max(1, n // 2)))
        chosen = alternate if config.choice == "alternate" else covering
        self._calibration = chosen if n >= 8 else np.arange(n)
        self._coverage = representative.coverage(described, self._calibration)
        rest = np.setdiff1d(np.arange(n), self._calibration)
        self._evaluation = rest[: config.evaluation_windows] if n >= 8 else np.arange(n)
        self._scaling = unscaled(len(heads))

    def run(self) -> tuple[ParityReport, BundleContents, str]:
        from convert.compute.progress import Progress
        from convert.foundation import export as fx
        from convert.foundation.parity import LAYER_WINDOWS, keras_stage, quantized_stages, run_float
        from convert.foundation.quantize import Material, quantize_until_good
        from convert.parity.layers import layer_table

        values, steps = self._prepared.values, self._prepared.steps
        evaluation, calibration = values[self._evaluation], values[self._calibration]
        core = self._core(calibration)
        keras = keras_stage(core, evaluation)
        float_model = fx.float_flatbuffer(core, WINDOW_SAMPLES)
        del core
        progress = Progress("calibrating", len(calibration), "windows", self._stream)
        calibrated = fx.calibrated_flatbuffer(float_model, calibration, progress.step)
        if self._scaling.any:
            calibrated = fx.with_output_range(calibrated, *self._scaling.room)
        names = named(self._heads, self._scaling)
        material = Material(
            float_model=float_model,
            calibrated=calibrated,
            calibration=calibration,
            evaluation=evaluation,
            steps=steps[self._evaluation].reshape(-1, 1, WINDOW_SAMPLES, 1),
            teacher=run_float(float_model, evaluation, self._stream),
            heads=names,
            source=fx.input_scale(CLAMP),
            limits=self._limits,
        )
        attempts, layers = quantize_until_good(material, self._stream)
        taken = self._gated(attempts)
        missing: dict[str, str] = {}
        stages = [keras, Stage("float", material.teacher)]
        stages += quantized_stages(taken.model, taken.sink, material.steps, missing)
        title = f"{self._config.name} {self._config.version}: parity"
        report = compare(title, stages, names, self._limits, micro=False)
        report.not_run = missing
        if taken is not attempts[0] or not layers:
            layers = layer_table(float_model, taken.model, evaluation[:LAYER_WINDOWS])
        report.layers = layers
        report.facts = self._facts(attempts, taken)
        report.check()
        return report, self._contents(taken, stages, report), taken.form

    def _core(self, calibration: NDArray[np.float32]) -> Any:
        """Return the network to export, with values standardised over the calibration windows."""
        core = self._network(self._checkpoint)
        is_value = [h["kind"] == "value" for h in self._heads]
        if not any(is_value):
            return core
        from convert.foundation.export import float_flatbuffer
        from convert.foundation.parity import run_float

        model = float_flatbuffer(core, WINDOW_SAMPLES)
        # Free the first network, because two networks need twice the memory.
        del core
        self._scaling = scaling_of(is_value, run_float(model, calibration, self._stream))
        return self._network(self._scaling.folded(self._checkpoint))

    def _network(self, checkpoint: Checkpoint) -> Any:
        from convert.checkpoint.net1d import net1d_from_tensors

        model = net1d_from_tensors(checkpoint, stride=self._spec.stride, use_bn=self._spec.use_bn)
        return model.with_length(WINDOW_SAMPLES).core

    def _gated(self, attempts: Sequence[Attempt]) -> Attempt:
        taken = attempts[-1]
        if taken.verdict.ok:
            return taken
        tried = "; ".join(f"{a.form}: {a.verdict.faults[0]}" for a in attempts)
        if not self._config.accept_loss or any(a.verdict.reason == "not_finite" for a in attempts):
            raise CheckFailedError(
                f"quantization loses too much in every form ({tried})", "add recordings, or use --accept-loss"
            )
        return max(attempts, key=lambda a: (a.verdict.correlation_median or -1.0, -len(a.verdict.faults)))

    def _facts(self, attempts: Sequence[Attempt], taken: Attempt) -> ConversionFacts:
        verdict = taken.verdict
        what: ShownOutputs = {"outputs": WHAT} if self._scaling.any else {}
        return {
            "form": taken.form,
            "gate": "open" if verdict.ok else "SHUT, accepted by --accept-loss",
            "gate faults": list(verdict.faults[:10]),
            "layers kept in float": list(taken.float_layers),
            "attempts": [a.row() for a in attempts],
            "flat heads (judged by odds)": verdict.flat,
            "checkpoint": self._checkpoint.path.name,
            "checkpoint sha256": self._checkpoint.sha256,
            "parameters": self._spec.count_parameters(),
            "multiply-accumulates": self._spec.count_macs(WINDOW_SAMPLES),
            "model bytes": len(taken.model),
            "output step": taken.sink.scale,
            **what,
            "input clamp": CLAMP,
            "share of z-scores beyond the clamp": self._prepared.clipped,
            "calibration windows": len(self._calibration),
            "calibration windows chosen by": self._config.choice,
            "range of the recordings that they cover": self._coverage,
            "evaluation windows": len(self._evaluation),
            "recordings used": [p.name for p in self._found.used[:50]],
            "recordings skipped": {p.name: why for p, why in list(self._found.skipped.items())[:50]},
        }

    def _contents(self, taken: Attempt, stages: Sequence[Stage], report: ParityReport) -> BundleContents:
        from convert.compute.litert import describe
        from convert.parity.report import report_files

        reference = next(stage for stage in stages if stage.kind == "reference")
        golden = taken.sink.quantize(reference.outputs[:GOLDEN_WINDOWS])
        k = len(golden)
        inputs = self._prepared.steps[self._evaluation[:k]].reshape(k, 1, 1, WINDOW_SAMPLES, 1)
        manifest = self._manifest(taken, describe(taken.model).output_shape)
        heads = {h["key"]: uncalibrated(h["kind"], s) for h, s in zip(self._heads, self._scaling.lines, strict=True)}
        return BundleContents(
            manifest=manifest,
            model=taken.model,
            heads=heads,
            golden_inputs=inputs,
            golden_outputs=golden,
            model_card=model_card(manifest, report, heads),
            extra={f"validation/{name}": data for name, data in report_files(report).items()},
        )

    def _manifest(self, taken: Attempt, output_shape: tuple[int, ...]) -> FoundationManifest:
        config, checkpoint = self._config, self._checkpoint
        return {
            "name": config.name,
            "version": config.version,
            "tier": "foundation",
            "licence": config.licence,
            "created": dt.datetime.now(dt.UTC).date().isoformat(),
            "teacher": {"name": checkpoint.path.name, "sha256": checkpoint.sha256, "facts": dict(checkpoint.facts)},
            "front_end": {
                "name": "ecgfounder/1",
                "grid_hz": int(FS_HZ),
                "fs_hz": int(FS_HZ),
                "window_s": WINDOW_SAMPLES / FS_HZ,
                "group_delay_s": 0.0,
                "clamp": CLAMP,
            },
            "input": {"dtype": "int8", "shape": [1, 1, WINDOW_SAMPLES, 1], "scale": CLAMP / 128, "zero_point": 0},
            "output": {
                "dtype": "int8",
                "shape": list(output_shape),
                "scale": taken.sink.scale,
                "zero_point": taken.sink.zero_point,
            },
            "outputs": list(self._heads),
            "aggregation": AGGREGATION.copy(),
            "budgets": {"model_bytes": len(taken.model), "added_share": ADDED_SHARE, "rss_mib": RSS_MIB},
            "network": {"stride": self._spec.stride, "use_bn": self._spec.use_bn},
            "conversion": {
                "form": taken.form,
                "gate_open": taken.verdict.ok,
                "float_layers": list(taken.float_layers),
                **described(self._heads, self._scaling),
            },
        }
