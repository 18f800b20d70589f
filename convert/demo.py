"""Trains the demonstration bundle from nothing: simulate, train, quantize, calibrate, judge, write.

Every stage leaves its result in the work folder and is skipped when it is there, so the command can be killed at any
time and started again. With the same arguments, machine type and library versions the model file is the same to the
byte: simulation and sampling follow from the seed alone, and TensorFlow runs with deterministic operations. Another
processor or TensorFlow version may round differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bundle_writer import AGGREGATION, STREAM_FRONT_END, STREAM_INPUT, BundleContents, to_json, write_bundle
from convert.demo_card import PARITY_ROWS, model_card, report_markdown
from convert.demo_data import Cohort, DataConfig, load_cohort, split
from convert.demo_evaluate import Scored, calibrate, details, evidence, manifest_outputs
from convert.demo_heads import Head, demo_heads, targets
from convert.export import Exported, export_int8
from convert.inference import arena_bytes, run_int8
from convert.progress import Progress
from convert.quantize import (
    Weights,
    float_forward,
    fold,
    initial_ranges,
    initial_weights,
    post_training_ranges,
    quantized_forward,
)
from convert.simulate import SIMULATOR_VERSION
from convert.students import StudentSpec, count_parameters, preset
from convert.training import PHASE_NUMBER, Batch, Phase, State, Trainer, load_state, save_state, start
from convert.windows import Augmentation, as_float, fixed_windows, random_windows
from firmware_bridge.errors import CheckFailedError

NAME = "anyecg-demo"
VERSION = "0.1.0"
CREATED = "2026-11-22"
"""Date of the recipe, not of the run: a seed shall give the same files on any day."""

BATCH = 96
RANGE_WINDOWS = 512
"""Training windows from which the first activation ranges are read."""

WINDOWS = 8
"""Windows of a patient that are averaged into a score."""

PARITY_WINDOWS = 200
GOLDEN = 8


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """One run.

    Attributes:
        patients: Simulated patients.
        seed: Seed of everything.
        seconds: Length of each record.
        preset: Size of the student.
        float_epochs: Passes in float.
        quant_epochs: Passes of quantization-aware training.
    """

    patients: int = 16000
    seed: int = 1
    seconds: float = 36.0
    preset: str = "micro"
    float_epochs: int = 30
    quant_epochs: int = 6

    def command(self) -> str:
        """The command that makes this bundle."""
        given = [f"--patients {self.patients}", f"--seed {self.seed}"]
        default = DemoConfig()
        for name in ("seconds", "preset", "float_epochs", "quant_epochs"):
            value = getattr(self, name)
            if value != getattr(default, name):
                given.append(f"--{name.replace('_', '-')} {value:g}" if name != "preset" else f"--preset {value}")
        return f"anyecg train-demo --out DIR {' '.join(given)}"


def train_demo(out: Path, workdir: Path, config: DemoConfig, progress: TextIO | None) -> dict[str, Any]:
    """Make the demonstration bundle.

    Args:
        out: Folder of the bundle.
        workdir: Folder of the intermediate files; a second call with the same configuration goes on there.
        config: What to do.
        progress: Stream for progress lines, or ``None``.

    Returns:
        The validation report.

    Raises:
        UsageError: The configuration makes no sense or the work folder belongs to another.
        CheckFailedError: The model breaks its budget, or two interpreters disagree.
        OutputError: Something cannot be written.
    """
    spec, heads = preset(config.preset), demo_heads()
    cohort = load_cohort(workdir, DataConfig(config.patients, config.seed, config.seconds), progress)
    parts = {name: cohort.take(rows) for name, rows in split(config.patients, config.seed).items()}
    tag = f"{config.preset}-{config.float_epochs}-{config.quant_epochs}"
    steps = max(1, len(parts["train"].streams) // BATCH)

    first = start(initial_weights(spec, len(heads), config.seed))
    phase = Phase("float", config.float_epochs, steps, rate=4e-3)
    best = _train(workdir / f"float-{tag}.npz", first, spec, heads, phase, parts, config.seed, progress)
    folded = fold(spec, len(heads), best)
    look = _look(parts["train"], config.seed)
    ranged = initial_ranges(spec, len(heads), folded, look)
    phase = Phase("quant", config.quant_epochs, steps, rate=4e-4)
    trained = _train(workdir / f"quant-{tag}.npz", start(ranged), spec, heads, phase, parts, config.seed, progress)

    exported = export_int8(spec, len(heads), trained)
    contents, report = _assemble(config, spec, heads, parts, folded, trained, exported, look)
    write_bundle(out, contents)
    return report


def _train(
    path: Path,
    first: State,
    spec: StudentSpec,
    heads: tuple[Head, ...],
    phase: Phase,
    parts: Mapping[str, Cohort],
    seed: int,
    progress: TextIO | None,
) -> Weights:
    state = load_state(path) if path.is_file() else first
    if state.epoch >= phase.epochs:
        return state.best
    trainer = Trainer(spec, [h.kind == "value" for h in heads], phase, state, seed)
    validation = _fixed(parts["validation"], heads, windows=3)
    total = phase.epochs * phase.steps_per_epoch
    done = state.epoch * phase.steps_per_epoch
    bar = Progress(f"training ({phase.kind})", total, f"batches of {BATCH}", progress, done)
    y, note = targets(heads, parts["train"].labs), ""
    while trainer.epoch < phase.epochs:
        done, epoch = trainer.epoch * phase.steps_per_epoch, trainer.epoch
        batches = _batches(parts["train"].streams, y, [seed, PHASE_NUMBER[phase.kind], epoch])
        loss = trainer.run_epoch(batches, validation, lambda i, done=done, note=note: bar.step(done + i, note))  # type: ignore[misc]
        note = f"(validation loss {loss:.4f})"
        save_state(path, trainer.state())
    return trainer.state().best


def _batches(streams: NDArray[np.float32], y: NDArray[np.float32], seed: list[int]) -> Iterator[Batch]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(streams))
    for i in range(0, len(order) - BATCH + 1, BATCH):
        rows = order[i : i + BATCH]
        yield as_float(random_windows(streams[rows], rng, Augmentation())), y[rows]


def _fixed(cohort: Cohort, heads: tuple[Head, ...], windows: int) -> Batch:
    x = np.concatenate([fixed_windows(stream, windows) for stream in cohort.streams])
    return as_float(x), np.repeat(targets(heads, cohort.labs), windows, axis=0)


def _look(train: Cohort, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([seed, 4])
    rows = rng.permutation(len(train.streams))[:RANGE_WINDOWS]
    return as_float(random_windows(train.streams[rows], rng, None))


def _outputs(exported: Exported, raw: NDArray[np.int8], patients: int) -> NDArray[np.float64]:
    real = (raw.astype(np.float64) - exported.output_zero_point) * exported.output_scale
    return real.reshape(patients, WINDOWS, -1)


def _assemble(
    config: DemoConfig,
    spec: StudentSpec,
    heads: tuple[Head, ...],
    parts: Mapping[str, Cohort],
    folded: Weights,
    trained: Weights,
    exported: Exported,
    look: NDArray[np.float32],
) -> tuple[BundleContents, dict[str, Any]]:
    scored, others, test_x = {}, {}, np.empty(0, np.int8)
    for name in ("calibration", "test"):
        cohort = parts[name]
        x = np.concatenate([fixed_windows(stream, WINDOWS) for stream in cohort.streams])
        scored[name] = Scored(_outputs(exported, run_int8(exported.model, x), len(cohort.streams)), cohort.labs)
        test_x = x
    patients = len(parts["test"].streams)
    others["float"] = _float_outputs(spec, len(heads), folded, test_x).reshape(patients, WINDOWS, -1)
    ptq = export_int8(spec, len(heads), post_training_ranges(spec, len(heads), folded, look))
    others["ptq"] = _outputs(ptq, run_int8(ptq.model, test_x), patients)

    entries = {h.key: calibrate(h, i, scored["calibration"], config.seed) for i, h in enumerate(heads)}
    found = [evidence(h, i, scored["test"], entries[h.key], config.seed) for i, h in enumerate(heads)]
    more = [details(h, i, scored["test"], entries[h.key], others) for i, h in enumerate(heads)]
    size = {
        "parameters": count_parameters(spec, len(heads)),
        "model_bytes": len(exported.model),
        "arena_bytes": arena_bytes(exported.model),
    }
    _check_budget(spec, size["model_bytes"], size["arena_bytes"])
    rows = np.linspace(0, len(test_x) - 1, PARITY_WINDOWS).astype(int)
    report: dict[str, Any] = {
        "schema": "anyecg.validation/1",
        "command": config.command(),
        "preset": config.preset,
        "simulator": {"version": SIMULATOR_VERSION, "seed": config.seed},
        "seconds": config.seconds,
        "windows": WINDOWS,
        "split": {"patients": config.patients, **{k: len(v.streams) for k, v in parts.items()}},
        "size": size,
        "operations": {op: exported.ops.count(op) for op in sorted(set(exported.ops))},
        "parity": parity(spec, trained, exported, test_x[rows]),
        "heads": {h.key: {"evidence": e, **m} for h, e, m in zip(heads, found, more, strict=True)},
    }
    manifest = _manifest(exported, manifest_outputs(heads, found), size)
    golden = test_x[np.linspace(0, len(test_x) - 1, GOLDEN).astype(int)]
    contents = BundleContents(
        manifest,
        exported.model,
        entries,
        golden[:, None],
        run_int8(exported.model, golden),
        model_card(manifest, report),
        {"validation/report.json": to_json(report), "validation/report.md": report_markdown(report).encode()},
    )
    return contents, report


def _float_outputs(spec: StudentSpec, n: int, folded: Weights, x: NDArray[np.int8]) -> NDArray[np.float64]:
    parts = [float_forward(spec, n, folded, as_float(x[i : i + 256])) for i in range(0, len(x), 256)]
    return np.concatenate(parts).astype(np.float64)


def _manifest(exported: Exported, outputs: list[dict[str, Any]], size: Mapping[str, int]) -> dict[str, Any]:
    return {
        "name": NAME,
        "version": VERSION,
        "tier": "micro",
        "licence": "MIT",
        "created": CREATED,
        "teacher": {"name": None, "sha256": None},
        "front_end": dict(STREAM_FRONT_END),
        "input": dict(STREAM_INPUT),
        "output": {
            "dtype": "int8",
            "shape": list(exported.output_shape),
            "scale": exported.output_scale,
            "zero_point": exported.output_zero_point,
        },
        "outputs": outputs,
        "aggregation": dict(AGGREGATION),
        "budgets": {"flash_bytes": size["model_bytes"], "arena_bytes": size["arena_bytes"]},
    }


def parity(spec: StudentSpec, trained: Weights, exported: Exported, x: NDArray[np.int8]) -> dict[str, Any]:
    """How far the other forms of the exported model are from LiteRT's reference kernels, in output LSBs.

    Raises:
        CheckFailedError: TFLite Micro differs at all.
    """
    reference = run_int8(exported.model, x).astype(int)
    fake = quantized_forward(spec, reference.shape[1], trained, as_float(x))
    steps = np.clip(np.rint(fake / exported.output_scale) + exported.output_zero_point, -128, 127)
    forms = {
        "fake_quant": steps.astype(int),
        "xnnpack": run_int8(exported.model, x, "xnnpack").astype(int),
        "tflm": run_int8(exported.model, x, "tflm").astype(int),
    }
    found: dict[str, Any] = {"windows": len(x)}
    for _, key in PARITY_ROWS:
        gap = np.abs(forms[key] - reference)
        found[key] = {"max_lsb": int(gap.max()), "mean_lsb": round(float(gap.mean()), 4)}
    if found["tflm"]["max_lsb"]:
        raise CheckFailedError("TFLite Micro and LiteRT's reference kernels disagree about the exported model")
    return found


def _check_budget(spec: StudentSpec, flash_bytes: int, arena: int) -> None:
    if flash_bytes > spec.flash_limit_bytes or arena > spec.arena_limit_bytes:
        raise CheckFailedError(
            f"the {spec.name} student takes {flash_bytes} bytes of flash and {arena} of arena; "
            f"its limits are {spec.flash_limit_bytes} and {spec.arena_limit_bytes}"
        )
