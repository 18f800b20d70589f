"""Make a bundle from a LiteRT model: fit its tensors, run every interpreter, write, verify."""

from __future__ import annotations

import datetime as dt
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from convert.bundle.golden_windows import Shapes, golden_inputs, model_inputs, simulated
from convert.bundle.records import ManifestFrontEnd
from convert.bundle.writer import AGGREGATION, STREAM_FRONT_END, BundleContents, check_new_place, write_bundle
from convert.datasets.described import RecordingOptions
from convert.datasets.outputs_file import OutputEntry, read_outputs
from convert.foundation.contents import tensor_entry
from convert.foundation.noise import Golden, golden_of
from convert.foundation.parity import form_stages
from convert.foundation.quantize import Made
from convert.foundation.standard import HeadScaling, described, named, scaling_of, uncalibrated, unscaled
from convert.own_model.card import model_card
from convert.own_model.fit import Fitted, fit
from convert.own_model.graph import OwnModel
from convert.own_model.interpret import F64, Ran, run_fitted, sink_spec, standard_spec, steps_per_sd
from convert.own_model.windows import recorded
from convert.parity.forms import ParityReport, compare
from convert.parity.limits import default_limits
from edge.bundle.reader import MAX_FILE_BYTES, load_bundle
from edge.bundle.schema import Form, FrontEndName
from edge.frontend import ecgfounder
from edge.model import load_model
from edge.self_test import self_test
from edge.trial import try_chain
from firmware_bridge.errors import CheckFailedError, InputError
from firmware_bridge.reading import read_limited

WINDOWS = 24
DEFAULT_VERSION = "0.1.0"
DEFAULT_LICENCE = "not stated"

ECGFOUNDER_FRONT_END: ManifestFrontEnd = {
    "name": "ecgfounder/1",
    "grid_hz": int(ecgfounder.FS_HZ),
    "fs_hz": int(ecgfounder.FS_HZ),
    "window_s": ecgfounder.WINDOW_SAMPLES / ecgfounder.FS_HZ,
    "group_delay_s": 0.0,
    "clamp": ecgfounder.CLAMP,
}


@dataclass(frozen=True, slots=True)
class OwnModelConfig:
    """Options.

    Attributes:
        model: The ``.tflite`` file.
        outputs: Description of its heads, see ``convert/datasets/outputs_file.py``.
        front_end: Front end of the bundle.
        out: Output folder of the bundle.
        data: Folder of recordings; ``None`` for simulated patients.
        output: Name of the model's output; ``None`` for the only one that fits.
        name: Name of the bundle; ``None`` for that of the file.
        version: Version of the bundle.
        licence: Licence of the model.
        windows: Largest number of windows of the recordings.
        recordings: Options about recordings that do not state their rate, scale or lead.
    """

    model: Path
    outputs: Path
    front_end: FrontEndName
    out: Path
    data: Path | None = None
    output: str | None = None
    name: str | None = None
    version: str = DEFAULT_VERSION
    licence: str = DEFAULT_LICENCE
    windows: int = WINDOWS
    recordings: RecordingOptions | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """A model with everything that its bundle says about it."""

    made: Made
    fitted: Fitted
    ran: Ran
    scaling: HeadScaling
    changes: tuple[str, ...]
    ms: float


def make_bundle(config: OwnModelConfig, stream: TextIO | None = None) -> ParityReport:
    """Make a verified bundle from a LiteRT model and write it to ``config.out``.

    Args:
        config: Options.
        stream: Stream for progress lines and notes, or ``None``.

    Returns:
        The report that compares the interpreters.

    Raises:
        InputError: The model, the description of its heads or the recordings cannot be used.
        CheckFailedError: The outputs are not finite, or two interpreters disagree.
        OutputError: The bundle cannot be written; an older bundle is unchanged.
        MissingExtraError: An optional library is missing.
    """
    check_new_place(config.out)
    heads = read_outputs(config.outputs)
    data = _read(config.model)
    model = OwnModel(data, config.model.name)
    form = model.form()
    fitted = fit(model, config.front_end, heads, config.output)
    shapes, used = _windows(config, stream)
    windows = model_inputs(config.front_end, shapes)
    ready = _ready(model, fitted, form, heads, windows)
    golden_z = golden_inputs(windows, config.front_end, ecgfounder.CLAMP)
    golden = golden_of(ready.made, golden_z, default_limits()["self_test"]["margin"])
    report = _report(config, ready, heads, windows, golden, used, data)
    _note(ready, heads, stream)
    contents = _contents(config, ready, heads, golden, report, data)
    _verify(config.out, contents)
    write_bundle(config.out, contents)
    return report


def _windows(config: OwnModelConfig, stream: TextIO | None) -> tuple[Shapes, list[str] | None]:
    """Return the windows, and the names of their recordings or ``None`` for simulated patients."""
    if config.data is None:
        return simulated(WINDOWS), None
    return recorded(config.data, config.windows, stream, config.recordings)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} is larger than {MAX_FILE_BYTES} bytes", "give a .tflite file")
        return read_limited(path, MAX_FILE_BYTES)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", "give a .tflite file") from None


def _ready(model: OwnModel, fitted: Fitted, form: Form, heads: Sequence[OutputEntry], windows: F64) -> _Ready:
    ran = _finite(run_fitted(fitted, windows, model.name), heads, model.name)
    scaling, changes = unscaled(len(heads)), fitted.changes
    sink = sink_spec(fitted, ran)
    if sink is None:
        scaling = scaling_of([h["kind"] == "value" for h in heads], ran.outputs)
        end = model.standardise(fitted.sink, ran.shape, *scaling.arrays())
        changes = (*changes, "each head standardised at the end, because one step does not serve all")
        fitted = Fitted(model.packed(), fitted.source, end, changes)
        ran = run_fitted(fitted, windows, model.name)
        sink = standard_spec(ran)
    start_s = time.perf_counter()
    run_fitted(fitted, windows[:4], model.name)
    ms = (time.perf_counter() - start_s) * 1e3 / len(windows[:4])
    return _Ready(Made(form, fitted.model, ran.source, sink), fitted, ran, scaling, changes, ms)


def _finite(ran: Ran, heads: Sequence[OutputEntry], name: str) -> Ran:
    bad = np.flatnonzero(~np.isfinite(ran.outputs).all(axis=0))
    if len(bad):
        keys = ", ".join(heads[j]["key"] for j in bad[:5])
        raise CheckFailedError(f"{name} gives NaN or infinity for {len(bad)} heads: {keys}", "give another model")
    return ran


def _report(
    config: OwnModelConfig,
    ready: _Ready,
    heads: Sequence[OutputEntry],
    windows: F64,
    golden: Golden,
    used: list[str] | None,
    data: bytes,
) -> ParityReport:
    made, fitted = ready.made, ready.fitted
    missing: dict[str, str] = {}
    stages = form_stages(made, ready.ran.outputs, golden, missing)
    report = compare(f"{_name(config)} {config.version}: parity", stages, named(heads, ready.scaling), micro=False)
    report.not_run = missing
    held = made.source.to_values(made.source.to_steps(windows))
    report.facts = {
        "file": config.model.name,
        "file sha256": hashlib.sha256(data).hexdigest(),
        "form": made.form,
        "model bytes": len(made.model),
        "ms a window": round(ready.ms, 2),
        "input": f"{fitted.source}, step {made.source.scale:.6g}",
        "output": f"{fitted.sink}, step {made.sink.scale:.6g}",
        "changes": list(ready.changes),
        "share of input values beyond its range": float(np.mean(np.abs(held - windows) > made.source.scale)),
        "smallest number of output steps in a standard deviation": _fewest(ready),
        "windows": len(windows),
        "windows from": "simulated patients" if used is None else f"{len(used)} recordings",
        "recordings used": [] if used is None else used[:50],
    }
    report.check()
    return report


def _fewest(ready: _Ready) -> float | None:
    found = steps_per_sd(ready.ran.outputs, ready.made.sink.scale)
    return round(float(found.min()), 1) if len(found) else None


def _note(ready: _Ready, heads: Sequence[OutputEntry], stream: TextIO | None) -> None:
    """Point out what the user should know although nothing is wrong."""
    out = stream or sys.stderr
    sd = ready.ran.outputs.std(axis=0) / ready.made.sink.scale
    coarse = [h["key"] for h, steps in zip(heads, sd, strict=True) if 0.0 < steps < 50.0]
    if ready.made.sink.dtype == "int8" and coarse:
        out.write(
            f"note: {len(coarse)} heads have fewer than 50 output steps in a standard deviation over the windows: "
            f"{', '.join(coarse[:5])}\n"
        )
    chances = [j for j, h in enumerate(heads) if h["kind"] == "probability"]
    logits = ready.scaling.to_teacher(ready.ran.outputs)[:, chances]
    if chances and logits.min() >= 0.0 and logits.max() <= 1.0:
        out.write(
            "note: every output of a probability lies between 0 and 1; a bundle needs logits, so export the model "
            "without its sigmoid if these are probabilities\n"
        )


def _name(config: OwnModelConfig) -> str:
    return config.name or config.model.stem


def _contents(
    config: OwnModelConfig,
    ready: _Ready,
    heads: Sequence[OutputEntry],
    golden: Golden,
    report: ParityReport,
    data: bytes,
) -> BundleContents:
    from convert.parity.report import report_files

    made = ready.made
    manifest = _manifest(config, ready, heads, data)
    return BundleContents(
        manifest=manifest,
        model=made.model,
        heads={h["key"]: uncalibrated(h["kind"], s) for h, s in zip(heads, ready.scaling.lines, strict=True)},
        golden_inputs=golden.inputs,
        golden_outputs=golden.outputs,
        model_card=model_card(manifest, report, made.form),
        extra={f"validation/{name}": content for name, content in report_files(report).items()},
        golden_by_interpreter=golden.by_interpreter,
        limits=golden.limits,
    )


def _manifest(config: OwnModelConfig, ready: _Ready, heads: Sequence[OutputEntry], data: bytes) -> dict[str, Any]:
    made = ready.made
    stream = config.front_end == "stream/1"
    return {
        "name": _name(config),
        "version": config.version,
        "tier": "micro" if stream else "foundation",
        "form": made.form,
        "licence": config.licence,
        "created": dt.datetime.now(dt.UTC).date().isoformat(),
        "teacher": None,
        "front_end": (STREAM_FRONT_END if stream else ECGFOUNDER_FRONT_END).copy(),
        "input": tensor_entry(made.source),
        "output": tensor_entry(made.sink),
        "outputs": list(heads),
        "aggregation": AGGREGATION.copy(),
        "budgets": {"model_bytes": len(made.model)},
        "conversion": {
            "form": made.form,
            "file": {"name": config.model.name, "sha256": hashlib.sha256(data).hexdigest()},
            "changes": list(ready.changes),
            **described(heads, ready.scaling),
        },
    }


def _verify(out: Path, contents: BundleContents) -> None:
    """Write the bundle beside its place, and read, test and run it like the device."""
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as folder:
        place = Path(folder) / "bundle"
        write_bundle(place, contents)
        bundle = load_bundle(place)
        model = load_model(bundle)
        self_test(bundle, model)
        try_chain(bundle, model)
