"""The stages of a parity report: one function a form of the model, all on the same windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.inference import run_int8
from convert.compute.progress import Progress
from convert.compute.tf_runtime import quiet_stderr
from convert.foundation.export import Scale, float_flatbuffer
from convert.foundation.values import WHAT, ValueScaling, name_of, unscaled
from convert.parity.forms import HeadName, ParityReport, Stage, compare
from convert.parity.layers import layer_table
from edge.bundle.reader import Bundle
from firmware_bridge.errors import InputError, MissingExtraError

KERAS_WINDOWS = 8
REFERENCE_WINDOWS = 12
MICRO_WINDOWS = 3
LAYER_WINDOWS = 6
"""Windows by form: Keras takes 0.3 s for one of the full teacher, reference kernels 0.23 s, TFLite Micro 1.1 s."""

MAX_NPZ_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """What the original code said.

    Attributes:
        windows: ``(n, samples)`` float inputs.
        logits: ``(n, heads)``.
    """

    windows: NDArray[np.float32]
    logits: NDArray[np.float64]


def keras_stage(core: Any, windows: NDArray[np.float32]) -> Stage:
    """Runs the core of a Net1D, one window at a time."""
    x = windows[:KERAS_WINDOWS].reshape(-1, 1, 1, windows.shape[1], 1)
    found = [np.asarray(core(w, training=False)[0]).reshape(-1) for w in x]
    return Stage("keras", np.stack(found).astype(np.float64))


def run_float(model: bytes, windows: NDArray[np.float32], stream: TextIO | None = None) -> NDArray[np.float64]:
    """Runs a float flatbuffer in LiteRT, one thread.

    Args:
        model: Float in and out.
        windows: ``(n, samples)``.
        stream: Where progress goes.

    Returns:
        ``(n, outputs)`` of its first output.
    """
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    progress = Progress("float model", len(windows), "windows", stream)
    out = []
    for i, window in enumerate(windows):
        interpreter.set_tensor(source["index"], window.reshape(source["shape"]))
        interpreter.invoke()
        out.append(interpreter.get_tensor(sink["index"]).reshape(-1).astype(np.float64))
        progress.step(i + 1)
    return np.stack(out)


def quantized_stages(model: bytes, sink: Scale, steps: NDArray[np.int8], report_missing: dict[str, str]) -> list[Stage]:
    """Runs a quantized model in its three interpreters.

    Args:
        model: int8 in and out.
        sink: Scale of its output.
        steps: ``(n, 1, samples, 1)`` int8 windows.
        report_missing: Gets the forms that do not run, with the reason.
    """
    out = [Stage("int8", sink.restore(run_int8(model, steps, "xnnpack")), sink.scale)]
    out.append(Stage("reference", sink.restore(run_int8(model, steps[:REFERENCE_WINDOWS], "reference")), sink.scale))
    try:
        with quiet_stderr():
            found = run_int8(model, steps[:MICRO_WINDOWS], "tflm")
        out.append(Stage("tflm", sink.restore(found), sink.scale))
    except MissingExtraError as error:
        report_missing["TFLite Micro"] = str(error)
    except (RuntimeError, ValueError) as error:
        report_missing["TFLite Micro"] = f"it does not take this model ({(str(error).splitlines() or ['?'])[0]})"
    return out


def bundle_parity(
    bundle: Bundle,
    *,
    windows: NDArray[np.float32] | None = None,
    core: Any = None,
    original: Original | None = None,
    scaling: ValueScaling | None = None,
    stream: TextIO | None = None,
) -> ParityReport:
    """Compares the forms of a bundle's model.

    Args:
        bundle: A verified bundle.
        windows: ``(n, samples)`` inputs as the front end makes them; the golden ones of the bundle by default.
        core: The teacher's Keras core of fixed length, for the links before the quantized model; its outputs in the
            scale of the model's.
        original: What the original code said; its windows are then the first ones.
        scaling: How the model's outputs and the teacher's go together; ``None`` where they are the same.
        stream: Where progress goes.
    """
    manifest = bundle.manifest
    source = Scale(manifest.input.scale, manifest.input.zero_point)
    sink = Scale(manifest.output.scale, manifest.output.zero_point)
    if original is not None:
        exact = original.windows
        steps = source.quantize(original.windows)
    else:
        golden = bundle.golden_inputs.reshape(len(bundle.golden_inputs), -1)
        steps = golden if windows is None else source.quantize(windows)
        exact = source.restore(steps).astype(np.float32)
    held = source.restore(steps).astype(np.float32)
    scaling = scaling or unscaled(bundle.golden_outputs.shape[1])
    ordered = sorted(manifest.outputs, key=lambda h: h.index)
    heads = [name_of(h.key, h.kind, h.unit, scaling.lines[h.index], scaling) for h in ordered]
    missing: dict[str, str] = {}
    stages: list[Stage] = []
    layers = []
    if core is not None:
        if original is not None:
            stages.append(Stage("original", scaling.to_model(original.logits)))
        stages.append(keras_stage(core, exact))
        float_model = float_flatbuffer(core, steps.shape[1])
        stages.append(Stage("float", run_float(float_model, exact, stream)))
        layers = layer_table(float_model, bundle.model, held[:LAYER_WINDOWS])
    else:
        missing["Keras and float LiteRT"] = "no checkpoint was given"
    stages += quantized_stages(bundle.model, sink, steps.reshape(len(steps), 1, -1, 1), missing)
    title = f"{manifest.name} {manifest.version}: parity"
    report = compare(title, stages, _columns(heads, stages[-1].outputs.shape[1]), micro=manifest.tier == "micro")
    report.layers, report.not_run = layers, missing
    report.facts = {"bundle": str(bundle.path), "bundle sha256": bundle.sha256, "windows": len(steps)}
    if scaling.any:
        report.facts["outputs"] = WHAT
    return report


def read_original(path: Path, samples: int, heads: int) -> Original:
    """Reads inputs and logits of the original code: arrays ``x_N`` or ``x`` and ``logits_N`` or ``logits``.

    Args:
        path: An ``.npz`` file.
        samples: Samples of a window.
        heads: Outputs.

    Raises:
        InputError: It cannot be read, or does not fit.
    """
    import zipfile

    try:
        if path.stat().st_size > MAX_NPZ_BYTES:
            raise InputError(f"{path} is larger than {MAX_NPZ_BYTES >> 20} MB")
        with np.load(path, allow_pickle=False) as archive:
            name = next((n for n in (f"x_{samples}", "x") if n in archive.files), None)
            logits = None if name is None else f"logits{name[1:]}"
            if name is None or logits not in archive.files:
                raise InputError(f"{path} holds no x_{samples} with logits_{samples}", f"found: {archive.files[:8]}")
            x, y = np.asarray(archive[name], np.float32), np.asarray(archive[logits], np.float64)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise InputError(f"{path} is no readable .npz file: {error}") from None
    if x.size != len(x) * samples or y.shape != (len(x), heads) or not len(x):
        raise InputError(f"{path}: inputs {x.shape} and logits {y.shape} do not fit {samples} samples, {heads} outputs")
    return Original(x.reshape(len(x), samples), y)


def _columns(heads: Sequence[HeadName], width: int) -> list[HeadName]:
    """One name a column of the output; a bundle may leave columns unnamed."""
    return [*heads, *(HeadName(f"output {i}") for i in range(len(heads), width))][:width]
