"""Convert a whole teacher: from a checkpoint and recordings to a verified foundation bundle."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bundle.golden_windows import golden_inputs
from convert.bundle.writer import BundleContents, check_new_place, write_bundle
from convert.checkpoint.spec import Net1DSpec, check_one_lead
from convert.checkpoint.tensors import Checkpoint
from convert.datasets.outputs_file import OutputEntry, match_dense, read_outputs
from convert.datasets.windows import WindowSet
from convert.foundation.card import model_card
from convert.foundation.config import FoundationConfig, FoundationResult
from convert.foundation.contents import Converted, contents_of, facts_of
from convert.foundation.standard import named, scaling_of, standardised_flatbuffer, unscaled
from convert.foundation.windows import enough_windows, int8_clamp, prepare, split
from convert.labels.travelling_plan import chosen_plan
from convert.parity.forms import HeadName, ParityReport, Stage, compare
from convert.parity.limits import default_limits, load_limits
from convert.teacher.place import checkpoint_at, kept_files, outputs_of, provenance_of, read_network
from edge.frontend.ecgfounder import CLAMP, WINDOW_SAMPLES
from edge.process.allocator import keep_small
from firmware_bridge.errors import UsageError

if TYPE_CHECKING:
    from convert.foundation.quantize import Material

LARGE_BLOCK_BYTES = 1 << 20
"""Blocks from this size, bytes, return to the system when they are freed."""

TUNING_WINDOWS = 512
"""Number of further windows that are read for tuning."""


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
    keep_small(LARGE_BLOCK_BYTES)
    say = stream.write if stream is not None else lambda _: 0
    limits = load_limits(config.gates) if config.gates else default_limits()
    check_new_place(config.out)
    path = checkpoint_at(config.checkpoint)
    outputs = outputs_of(path, config.outputs)
    heads = read_outputs(outputs)
    checkpoint, spec = read_network(path, config.stride, config.use_bn, config.key)
    say("".join(f"{path}: {oddity}\n" for oddity in checkpoint.oddities))
    match_dense(heads, spec.n_classes, outputs, path)
    provenance = provenance_of(path)
    plan = chosen_plan(config.label_plan, provenance.plan, "teacher")
    check_one_lead(spec, path)
    if config.tune_minutes and config.form not in {"auto", "int8"}:
        raise UsageError(f"--tune is for full int8, not for the form {config.form}", "use --form int8 or auto")
    count = config.calibration_windows + config.evaluation_windows + (TUNING_WINDOWS if config.tune_minutes else 0)
    found = enough_windows(config.data, count, stream, config.recordings)
    say(f"{found.summary()}\n")
    conversion = _Conversion(config, checkpoint, spec, heads, found, limits, stream)
    report, contents = conversion.run()
    contents = replace(contents, extra={**contents.extra, **kept_files(plan, provenance.patients)})
    if config.labels is not None:
        from convert.datasets.heads import heads_of_file
        from convert.foundation.calibrate import Results, calibrated

        results = Results(config.data, config.labels, plan.plan, provenance.patients, config.recordings)
        contents = calibrated(contents, heads_of_file(outputs), conversion.scaling, results, stream)
        contents = replace(contents, model_card=model_card(contents.manifest, report, contents.heads))
    seconds = time.monotonic() - started_s
    write_bundle(config.out, contents)
    tuning_state(config.out).unlink(missing_ok=True)
    return FoundationResult(report, contents.manifest["form"], len(contents.model), seconds)


def tuning_state(out: Path) -> Path:
    """Return the file that keeps the state of a tuning until the bundle is written."""
    return out.absolute().with_name(f"{out.name}.tuning.npz")


class _Conversion:
    """The part of a conversion that needs TensorFlow."""

    def __init__(
        self,
        config: FoundationConfig,
        checkpoint: Checkpoint,
        spec: Net1DSpec,
        heads: Sequence[OutputEntry],
        found: WindowSet,
        limits: Mapping[str, Any],
        stream: TextIO | None,
    ) -> None:
        self._config, self._checkpoint, self._spec, self._heads = config, checkpoint, spec, heads
        self._found, self._limits, self._stream = found, limits, stream
        self._say = stream.write if stream is not None else lambda _: 0
        self._split = split(found, config.choice, config.calibration_windows, config.evaluation_windows)
        self.scaling = unscaled(len(heads))
        self._on_calibration: NDArray[np.float64] = np.empty((0, len(heads)))

    def run(self) -> tuple[ParityReport, BundleContents]:
        from convert.foundation.noise import golden_of
        from convert.foundation.parity import form_layers, form_stages
        from convert.foundation.quantize import choose_form, forms_to_make, judge_forms, make_form

        prepared = prepare(self._found.raw(), CLAMP)
        calibration, evaluation = (prepared.values[i] for i in (self._split.calibration, self._split.evaluation))
        self._say(f"converting {self._spec.count_parameters()} parameters to float LiteRT\n")
        float_model, keras = self._float_model(calibration, evaluation)
        names = named(self._heads, self.scaling)
        material = self._material(float_model, calibration, evaluation, prepared.values[self._split.tuning], names)
        forms = forms_to_make(self._config.form)
        self._say(f"making the forms: {', '.join(forms)}\n")
        judged = judge_forms([make_form(form, material) for form in forms], material, self._stream)
        taken = choose_form(
            judged, self._config.form, accept_loss=self._config.accept_loss, recordings=len(self._found.used)
        )
        golden_z = golden_inputs(evaluation, "ecgfounder/1", CLAMP)
        golden = golden_of(taken.made, golden_z, self._limits["self_test"]["margin"])
        missing: dict[str, str] = {}
        stages = [keras, Stage("float", material.teacher), *form_stages(taken.made, taken.outputs, golden, missing)]
        title = f"{self._config.name} {self._config.version}: parity"
        report = compare(title, stages, names, self._limits, micro=False)
        report.not_run = missing
        report.layers = form_layers(taken.made, evaluation)
        converted = Converted(
            self._config, self._checkpoint, self._spec, self._heads, self._found, prepared, self._split,
            self.scaling, judged, taken, golden,
        )  # fmt: skip
        report.facts = facts_of(converted)
        if taken.verdict.ok:
            report.check()
        else:
            report.check_floats()
        return report, contents_of(converted, report)

    def _float_model(self, calibration: NDArray[np.float32], evaluation: NDArray[np.float32]) -> tuple[bytes, Stage]:
        """Return the float model with standardised heads, and the outputs of Keras on the same scale."""
        from convert.checkpoint.net1d import net1d_from_tensors
        from convert.foundation.export import converted, frozen
        from convert.foundation.parity import keras_stage, run_float

        net = net1d_from_tensors(self._checkpoint, stride=self._spec.stride, use_bn=self._spec.use_bn)
        core = net.with_length(WINDOW_SAMPLES).core
        del net
        keras = keras_stage(core, evaluation)
        function = frozen(core, WINDOW_SAMPLES)
        # The weights exist twice now. The objects of TensorFlow refer to each other, so that they stay until they are
        # collected: 0.5 GB before the conversion and 1.7 GB after it with the full teacher (measured).
        del core
        self._checkpoint = replace(self._checkpoint, tensors={})
        gc.collect()
        model = converted(function)
        del function
        gc.collect()
        is_value = [h["kind"] == "value" for h in self._heads]
        outputs = run_float(model, calibration, self._stream)
        self.scaling = scaling_of(is_value, outputs)
        self._on_calibration = self.scaling.to_model(outputs)
        return standardised_flatbuffer(model, self.scaling), Stage("keras", self.scaling.to_model(keras.outputs))

    def _material(
        self,
        float_model: bytes,
        calibration: NDArray[np.float32],
        evaluation: NDArray[np.float32],
        tuning: NDArray[np.float32],
        names: Sequence[HeadName],
    ) -> Material:
        from convert.compute.progress import Progress
        from convert.foundation import export as fx
        from convert.foundation.parity import run_float
        from convert.foundation.quantize import Material, Ranged
        from convert.quantization import TuneOptions, improve, tune

        source = fx.int8_input(int8_clamp(calibration), WINDOW_SAMPLES)

        @cache
        def calibrated() -> Ranged:
            progress = Progress("calibrating", len(calibration), "windows", self._stream)
            held = source.to_values(source.to_steps(calibration)).astype(np.float32)
            ranged = fx.with_ranges(fx.calibrated_flatbuffer(float_model, held, progress.step), source)
            better, steps = improve(ranged, held, self._stream)
            if not self._config.tune_minutes:
                return Ranged(better, steps)
            options = TuneOptions(self._config.tune_minutes, tuning_state(self._config.out))
            more = source.to_values(source.to_steps(tuning)).astype(np.float32)
            tuned, rows = tune(better, more, options, self._stream, teacher=ranged)
            return Ranged(tuned, [*steps, *rows])

        return Material(
            float_model=float_model,
            calibrated=calibrated,
            calibration=calibration,
            calibration_teacher=self._on_calibration,
            evaluation=evaluation,
            teacher=run_float(float_model, evaluation, self._stream),
            heads=names,
            source=source,
            limits=self._limits,
        )
