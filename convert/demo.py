"""Trains the demonstration bundle from nothing: simulate, train, quantize, calibrate, judge, write.

Every stage leaves its result in the work folder and is skipped when it is there, so the command can be killed at any
time and started again. With the same arguments, machine type and library versions the model file is the same to the
byte: simulation and sampling follow from the seed alone, and TensorFlow runs with deterministic operations. Another
processor or TensorFlow version may round differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bundle_writer import (
    AGGREGATION,
    STREAM_FRONT_END,
    STREAM_INPUT,
    BundleContents,
    check_place,
    to_json,
    write_bundle,
)
from convert.demo_card import PARITY_ROWS, model_card, report_markdown
from convert.demo_data import Cohort, DataConfig, load_cohort, split
from convert.demo_evaluate import Scored, calibrate, details, evidence, manifest_outputs
from convert.demo_heads import Head, demo_heads
from convert.demo_train import Trained, Trainee, train_student
from convert.export import Exported, export_int8
from convert.inference import arena_bytes, run_int8
from convert.quantize import (
    Weights,
    float_forward,
    post_training_ranges,
    quantized_forward,
)
from convert.simulate import SIMULATOR_VERSION
from convert.students import StudentSpec, count_parameters, preset
from convert.windows import as_float, fixed_windows
from firmware_bridge.errors import CheckFailedError

NAME = "anyecg-demo"
VERSION = "0.1.0"
CREATED = "2026-11-22"
"""Date of the recipe, not of the run: a seed shall give the same files on any day."""

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
    check_place(out)
    spec, heads = preset(config.preset), demo_heads()
    cohort = load_cohort(workdir, DataConfig(config.patients, config.seed, config.seconds), progress)
    parts = {name: cohort.take(rows) for name, rows in split(config.patients, config.seed).items()}
    trainee = Trainee(spec, heads, parts["train"], parts["validation"], workdir, config.seed, progress)
    trained = train_student(trainee, config.float_epochs, config.quant_epochs)
    contents, report = _assemble(config, spec, heads, parts, trained)
    write_bundle(out, contents)
    return report


def _outputs(exported: Exported, raw: NDArray[np.int8]) -> NDArray[np.float64]:
    real = (raw.astype(np.float64) - exported.output_zero_point) * exported.output_scale
    return real.reshape(-1, WINDOWS, raw.shape[1])


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The exported model's outputs on the patients it is calibrated and judged on, and those of its other forms."""

    calibration: Scored
    rival: Scored
    test: Scored
    others: Mapping[str, NDArray[np.float64]]


def _score(spec: StudentSpec, n: int, parts: Mapping[str, Cohort], trained: Trained, model: Exported) -> _Outcome:
    ptq = export_int8(spec, n, post_training_ranges(spec, n, trained.folded, trained.look))
    calibration_x, test_x = _windows(parts["calibration"]), _windows(parts["test"])
    return _Outcome(
        calibration=Scored(_outputs(model, run_int8(model.model, calibration_x)), parts["calibration"].labs),
        rival=Scored(_float_outputs(spec, n, trained.rival, calibration_x), parts["calibration"].labs),
        test=Scored(_outputs(model, run_int8(model.model, test_x)), parts["test"].labs),
        others={
            "float": _float_outputs(spec, n, trained.folded, test_x),
            "ptq": _outputs(ptq, run_int8(ptq.model, test_x)),
        },
    )


def _assemble(
    config: DemoConfig, spec: StudentSpec, heads: tuple[Head, ...], parts: Mapping[str, Cohort], trained: Trained
) -> tuple[BundleContents, dict[str, Any]]:
    exported = export_int8(spec, len(heads), trained.quantized)
    size = {
        "parameters": count_parameters(spec, len(heads)),
        "model_bytes": len(exported.model),
        "arena_bytes": arena_bytes(exported.model),
    }
    _check_budget(spec, size["model_bytes"], size["arena_bytes"])
    out = _score(spec, len(heads), parts, trained, exported)
    entries = {h.key: calibrate(h, i, out.calibration, out.rival, config.seed) for i, h in enumerate(heads)}
    found = [evidence(h, i, out.test, entries[h.key], config.seed) for i, h in enumerate(heads)]
    more = [details(h, i, out.test, entries[h.key], out.others) for i, h in enumerate(heads)]
    test_x = _windows(parts["test"])
    report: dict[str, Any] = {
        **_recipe(config, parts),
        "size": size,
        "operations": {op: exported.ops.count(op) for op in sorted(set(exported.ops))},
        "parity": parity(spec, trained.quantized, exported, _spread(test_x, PARITY_WINDOWS)),
        "heads": {h.key: {"evidence": e, **m} for h, e, m in zip(heads, found, more, strict=True)},
    }
    manifest = _manifest(exported, manifest_outputs(heads, found), size)
    golden = _spread(test_x, GOLDEN)
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


def _recipe(config: DemoConfig, parts: Mapping[str, Cohort]) -> dict[str, Any]:
    return {
        "schema": "anyecg.validation/1",
        "command": config.command(),
        "preset": config.preset,
        "simulator": {"version": SIMULATOR_VERSION, "seed": config.seed},
        "seconds": config.seconds,
        "windows": WINDOWS,
        "split": {"patients": config.patients, **{k: len(v.streams) for k, v in parts.items()}},
    }


def _spread(x: NDArray[np.int8], count: int) -> NDArray[np.int8]:
    return np.asarray(x[np.linspace(0, len(x) - 1, count).astype(int)], dtype=np.int8)


def _windows(cohort: Cohort) -> NDArray[np.int8]:
    return np.concatenate([fixed_windows(stream, WINDOWS) for stream in cohort.streams])


def _float_outputs(spec: StudentSpec, n: int, folded: Weights, x: NDArray[np.int8]) -> NDArray[np.float64]:
    parts = [float_forward(spec, n, folded, as_float(x[i : i + 256])) for i in range(0, len(x), 256)]
    return np.concatenate(parts).astype(np.float64).reshape(-1, WINDOWS, n)


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
