"""Stages of a parity report: one function for each form of the model, all on the same windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.progress import Progress
from convert.compute.tf_runtime import quiet_stderr
from convert.datasets.npz import read_npz
from convert.foundation.export import float_flatbuffer
from convert.foundation.noise import MICRO_WINDOWS, Golden, micro_outputs
from convert.foundation.quantize import Made, run_form
from convert.foundation.standard import WHAT, HeadScaling, name_of, standardised_flatbuffer, unscaled
from convert.parity.forms import HeadName, ParityReport, Stage, compare
from convert.parity.layers import LayerRow, layer_table
from edge.bundle.reader import Bundle
from edge.bundle.tensors import Steps
from edge.model import open_model
from firmware_bridge.errors import InputError

KERAS_WINDOWS = 8
REFERENCE_WINDOWS = 12
LAYER_WINDOWS = 6
"""Number of windows by form. For one window of the full teacher, Keras takes 0.3 s, the reference kernels 0.23 s, and
TFLite Micro 1.1 s."""

MAX_NPZ_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """Inputs and outputs of the original code.

    Attributes:
        windows: Inputs, ``(n, samples)`` float32.
        logits: Outputs, ``(n, heads)`` float64.
    """

    windows: NDArray[np.float32]
    logits: NDArray[np.float64]


def keras_stage(core: Any, windows: NDArray[np.float32]) -> Stage:
    """Run the core of a Net1D in Keras, one window at a time."""
    x = windows[:KERAS_WINDOWS].reshape(-1, 1, 1, windows.shape[1], 1)
    found = [np.asarray(core(w, training=False)[0]).reshape(-1) for w in x]
    return Stage("keras", np.stack(found).astype(np.float64))


def run_float(model: bytes, windows: NDArray[np.float32], stream: TextIO | None = None) -> NDArray[np.float64]:
    """Run a float TFLite model in LiteRT with one thread.

    Args:
        model: TFLite model with float input and output.
        windows: Input windows, ``(n, samples)``.
        stream: Stream for progress lines, or ``None``.

    Returns:
        The first output, ``(n, outputs)`` float64.
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


def form_stages(made: Made, outputs: NDArray[np.float64], golden: Golden, missing: dict[str, str]) -> list[Stage]:
    """Return the outputs of a form in LiteRT, in its reference kernels and in TFLite Micro.

    Args:
        made: The form.
        outputs: Its outputs in LiteRT, ``(n, heads)``; its windows and the golden ones begin alike.
        golden: Its golden vectors, which the slower interpreters have run.
        missing: Dictionary that gets the interpreters that cannot run, with the reason.
    """
    return _stages(made, outputs, golden.by_interpreter["litert-reference"], golden.micro, missing)


def interpreter_stages(made: Made, windows: NDArray[np.floating[Any]], missing: dict[str, str]) -> list[Stage]:
    """Run a form in LiteRT, in its reference kernels and in TFLite Micro, and return the outputs.

    Args:
        made: The form.
        windows: z-scores, ``(n, samples)``; the slower interpreters run the first ones.
        missing: Dictionary that gets the interpreters that cannot run, with the reason.
    """
    fast, slow = (open_model(made.model, made.source, made.sink, name) for name in ("litert", "litert-reference"))
    steps = [made.source.to_steps(window) for window in windows]
    reference = np.stack([slow.run(window) for window in steps[:REFERENCE_WINDOWS]])
    micro = micro_outputs(made, np.stack(steps[:MICRO_WINDOWS]))
    return _stages(made, run_form(made, fast, windows), reference, micro, missing)


def _stages(
    made: Made, outputs: NDArray[np.float64], reference: Steps, micro: Steps | str, missing: dict[str, str]
) -> list[Stage]:
    step, values = made.sink.scale, made.sink.to_values
    stages = [Stage(made.form, outputs, step), Stage("reference", values(reference), step)]
    if isinstance(micro, str):
        missing["TFLite Micro"] = micro
    else:
        stages.append(Stage("tflm", values(micro), step))
    return stages


def form_layers(made: Made, windows: NDArray[np.float32]) -> list[LayerRow]:
    """Compare the layers of a full-int8 form with the float model that the converter got, if it is known."""
    if not made.prepared:
        return []
    held = made.source.to_values(made.source.to_steps(windows[:LAYER_WINDOWS])).astype(np.float32)
    return layer_table(made.prepared, made.model, held)


def bundle_parity(
    bundle: Bundle,
    *,
    windows: NDArray[np.float32] | None = None,
    core: Any = None,
    original: Original | None = None,
    scaling: HeadScaling | None = None,
    stream: TextIO | None = None,
) -> ParityReport:
    """Compare the forms of a bundle's model.

    Args:
        bundle: A verified bundle.
        windows: Outputs of the front end, ``(n, samples)``; ``None`` for the golden windows of the bundle.
        core: Keras core of the teacher with a fixed length, for the forms before that of the bundle. ``None`` to
            compare the interpreters only.
        original: Inputs and outputs of the original code, whose windows replace ``windows``.
        scaling: Scaling between the model's and the teacher's outputs; ``None`` if they are the same.
        stream: Stream for progress lines, or ``None``.
    """
    manifest = bundle.manifest
    made = Made(manifest.form, bundle.model, manifest.input, manifest.output)
    if original is not None:
        exact = original.windows
    elif windows is not None:
        exact = windows
    else:
        golden = bundle.golden_inputs.reshape(len(bundle.golden_inputs), -1)
        exact = made.source.to_values(golden).astype(np.float32)
    scaling = scaling or unscaled(made.sink.width)
    ordered = sorted(manifest.outputs, key=lambda h: h.index)
    heads = [name_of(h.key, h.kind, h.unit, scaling.lines[h.index]) for h in ordered]
    missing: dict[str, str] = {}
    stages: list[Stage] = []
    layers = []
    if core is not None:
        if original is not None:
            stages.append(Stage("original", scaling.to_model(original.logits)))
        stages.append(Stage("keras", scaling.to_model(keras_stage(core, exact).outputs)))
        float_model = standardised_flatbuffer(float_flatbuffer(core, exact.shape[1]), scaling)
        stages.append(Stage("float", run_float(float_model, exact, stream)))
        # Full int8 of schema 1 has the layers of its float model; later its channels are scaled by the conversion.
        if made.form == "int8" and not manifest.golden.limits:
            layers = form_layers(replace(made, prepared=float_model), exact)
    else:
        missing["Keras and float LiteRT"] = "no checkpoint was given"
    stages += interpreter_stages(made, exact, missing)
    title = f"{manifest.name} {manifest.version}: parity"
    report = compare(title, stages, _columns(heads, stages[-1].outputs.shape[1]), micro=manifest.tier == "micro")
    report.layers, report.not_run = layers, missing
    facts = {"bundle": str(bundle.path), "bundle sha256": bundle.sha256, "windows": len(exact), "form": manifest.form}
    report.facts = {**facts, "outputs": WHAT} if scaling.any else facts
    return report


def read_original(path: Path, samples: int, heads: int) -> Original:
    """Read inputs and outputs of the original code: arrays ``x_N`` or ``x`` and ``logits_N`` or ``logits``.

    Args:
        path: An ``.npz`` file.
        samples: Number of samples of a window.
        heads: Number of outputs.

    Raises:
        InputError: The file cannot be read, or its arrays have the wrong shape.
    """
    try:
        if path.stat().st_size > MAX_NPZ_BYTES:
            raise InputError(f"{path} is larger than {MAX_NPZ_BYTES >> 20} MiB", "write fewer windows to it")
        archive = read_npz(path, MAX_NPZ_BYTES)
        name = next((n for n in (f"x_{samples}", "x") if n in archive), None)
        logits = "" if name is None else f"logits{name[1:]}"
        if name is None or logits not in archive:
            raise InputError(f"{path} has no x_{samples} with logits_{samples}", f"it has {list(archive)[:8]}")
        x, y = np.atleast_1d(archive[name].astype(np.float32)), archive[logits].astype(np.float64)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is not a readable .npz file: {error}") from None
    if x.size != len(x) * samples or y.shape != (len(x), heads) or not len(x):
        raise InputError(f"{path}: inputs {x.shape} and logits {y.shape} do not fit {samples} samples, {heads} outputs")
    return Original(x.reshape(len(x), samples), y)


def _columns(heads: Sequence[HeadName], width: int) -> list[HeadName]:
    """Return a name for each column of the output; a bundle may leave columns unnamed."""
    return [*heads, *(HeadName(f"output {i}") for i in range(len(heads), width))][:width]
