"""The TFLite Micro package of a bundle: C sources with everything that firmware needs, and a self-test.

The same bundle gives the same bytes. Before anything is written, the golden windows run in the real TFLite Micro
interpreter, and its outputs must be equal.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.compute.inference import run_int8
from convert.micro import c_source as c
from convert.micro.arena import Arena, measure
from convert.micro.graph import read_graph
from convert.micro.host_only import host_only
from convert.micro.layouts import metadata
from convert.micro.ops import adder
from convert.micro.tflm import arena_macros, ops_header, readme_values
from edge.bundle.calibration import HeadCalibration
from edge.bundle.reader import Bundle
from edge.bundle.schema import Manifest, OutputHead
from edge.frontend import stream
from edge.onpatch.fixed import USABLE_METHODS, fixed_heads, identity, unsupported
from firmware_bridge.errors import BundleError, CheckFailedError

TEMPLATES = Path(__file__).parents[1] / "templates" / "micro"
VERBATIM = (
    "anyecg_model.h",
    "anyecg_golden.h",
    "anyecg_frontend.h",
    "anyecg_outputs.h",
    "anyecg_check.h",
    "anyecg_check.c",
    "anyecg_tflm.h",
    "main.cc",
    "check/main.c",
    "bare_metal/Makefile",
    "bare_metal/cxx.cc",
    "bare_metal/link.ld",
    "bare_metal/startup.c",
    "bare_metal/syscalls.c",
)

_TIERS = {"limited": "ANYECG_LIMITED", "moderate": "ANYECG_MODERATE", "strong": "ANYECG_STRONG"}
_INTERVALS = {
    "none": "ANYECG_INTERVAL_NONE",
    "logit_sd": "ANYECG_INTERVAL_LOGIT_SD",
    "conformal": "ANYECG_INTERVAL_CONFORMAL",
}


@dataclass(frozen=True, slots=True, eq=False)
class MicroSource:
    """The parts of a bundle that a package needs.

    Attributes:
        manifest: Manifest of the bundle.
        calibration: Calibration of each head, by key.
        model: The TFLite flatbuffer.
        golden_inputs: Golden windows, int8 ``(k, *input shape)``.
        golden_outputs: Outputs of the reference kernels for them, int8 ``(k, outputs)``.
    """

    manifest: Manifest
    calibration: Mapping[str, HeadCalibration]
    model: bytes
    golden_inputs: NDArray[np.int8]
    golden_outputs: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class MicroPackage:
    """A TFLite Micro package.

    Attributes:
        files: Contents by path relative to the folder of the package.
        arena: Arena sizes of the model.
        ops: Names of its operations.
        windows: Number of golden windows with equal outputs in TFLite Micro.
    """

    files: Mapping[str, bytes]
    arena: Arena
    ops: tuple[str, ...]
    windows: int


def from_bundle(bundle: Bundle) -> MicroSource:
    """Return the parts of a verified bundle that a package needs."""
    return MicroSource(bundle.manifest, bundle.calibration, bundle.model, bundle.golden_inputs, bundle.golden_outputs)


def build(source: MicroSource) -> MicroPackage:
    """Build the package.

    Args:
        source: Model, heads, calibration and golden windows.

    Raises:
        BundleError: The bundle is not of the micro tier.
        InputError: The model is not a TFLite model.
        CheckFailedError: TFLite Micro lacks an operation, refuses the model, or gives different outputs.
        MissingExtraError: TFLite Micro is not installed.
    """
    check_ends(source.manifest)
    graph = read_graph(source.model, "model.tflite")
    ops = graph.op_names()
    missing = [op for op in ops if adder(op) is None]
    if missing:
        raise CheckFailedError(f"TFLite Micro has no operation {', '.join(missing)}", "run anyecg lint for details")
    arena = measure(source.model, graph)
    check_golden(source)
    files = {name: (TEMPLATES / name).read_bytes() for name in VERBATIM}
    files["anyecg_config.h"] = _config(source, arena, len(ops))
    files["anyecg_ops.h"] = (head_comment(source, "Operations") + ops_header(ops)).encode()
    files["anyecg_model.c"] = _model(source)
    files["anyecg_golden.c"] = golden_source(source)
    files["anyecg_frontend.c"] = _frontend(source)
    files["anyecg_outputs.c"] = outputs_source(source)
    files["README.md"] = _readme(source, arena, ops, graph.macs())
    files |= metadata(files, source.manifest.version)
    return MicroPackage(dict(sorted(files.items())), arena, ops, len(source.golden_inputs))


def check_ends(manifest: Manifest) -> None:
    """Check that the bundle is of the micro tier, with int8 ends and an input that the front end in C makes.

    Raises:
        BundleError: The model needs another front end.
    """
    if manifest.tier != "micro" or manifest.front_end.name != "stream/1":
        raise BundleError(
            f"{manifest.name} is of the {manifest.tier} tier with front end {manifest.front_end.name}",
            "give a bundle of the micro tier with front end stream/1",
        )
    if manifest.form != "int8" or manifest.output.steps_dtype is not np.int8:
        raise BundleError(
            f"{manifest.name} is of the form {manifest.form}, and a microcontroller needs int8 input and output",
            "convert the model to full int8",
        )
    scale, zero_point = manifest.input.scale, manifest.input.zero_point
    if abs(scale - stream.INPUT_SCALE) > 1e-9 or zero_point:
        raise BundleError(
            f"the input of {manifest.name} has scale {scale:g} and zero point {zero_point}, but the C front end "
            f"makes steps of {stream.INPUT_SCALE:g}",
            "quantize the model with that input scale",
        )


def check_golden(source: MicroSource) -> None:
    """Run the golden windows in TFLite Micro.

    Raises:
        CheckFailedError: An output differs.
        MissingExtraError: TFLite Micro is not installed.
    """
    found = run_int8(source.model, source.golden_inputs, "tflm")
    different = int(np.count_nonzero(found != source.golden_outputs.reshape(found.shape)))
    if different:
        raise CheckFailedError(
            f"TFLite Micro differs in {different} of {found.size} golden outputs",
            "check that the golden windows belong to this model, and run anyecg lint",
        )


def head_comment(source: MicroSource, what: str) -> str:
    """Return the comment at the head of a generated file."""
    m = source.manifest
    return (
        f"/* {what} of {c.comment(m.name)} {c.comment(m.version)}. Generated by anyecg micro-package; do not edit.\n"
        f" * {c.comment(m.notice)} */\n"
    )


def model_constants(source: MicroSource) -> list[tuple[str, str]]:
    """Return the constants of ``anyecg_config.h`` that name the model."""
    m = source.manifest
    return [
        ("ANYECG_NAME", c.text(m.name)),
        ("ANYECG_VERSION", c.text(m.version)),
        ("ANYECG_MODEL_SHA256", c.text(hashlib.sha256(source.model).hexdigest())),
    ]


def end_constants(source: MicroSource) -> list[tuple[str, str]]:
    """Return the constants of ``anyecg_config.h`` about input, outputs and golden windows."""
    m = source.manifest
    return [
        ("ANYECG_INPUT_VALUES", f"{source.golden_inputs[0].size}u"),
        ("ANYECG_INPUT_SCALE", c.float32(m.input.scale)),
        ("ANYECG_INPUT_ZERO_POINT", f"({m.input.zero_point})"),
        ("ANYECG_OUTPUT_VALUES", f"{source.golden_outputs.shape[1]}u"),
        ("ANYECG_OUTPUT_SCALE", c.float32(m.output.scale)),
        ("ANYECG_OUTPUT_ZERO_POINT", f"({m.output.zero_point})"),
        ("ANYECG_HEADS", f"{len(m.outputs)}u"),
        ("ANYECG_AGGREGATION_MINUTES", c.float32(m.aggregation_minutes)),
        ("ANYECG_GOLDEN_WINDOWS", f"{len(source.golden_inputs)}u"),
    ]


def _config(source: MicroSource, arena: Arena, op_count: int) -> bytes:
    inputs, outputs = source.golden_inputs.tobytes(), source.golden_outputs.tobytes()
    sizes = [
        *model_constants(source),
        ("ANYECG_MODEL_BYTES", f"{len(source.model)}u"),
        ("ANYECG_MODEL_CRC32", f"0x{zlib.crc32(source.model):08X}u"),
        ("ANYECG_OP_COUNT", f"{op_count}u"),
        *end_constants(source),
        ("ANYECG_GOLDEN_INPUTS_CRC32", f"0x{zlib.crc32(inputs):08X}u"),
        ("ANYECG_GOLDEN_OUTPUTS_CRC32", f"0x{zlib.crc32(outputs):08X}u"),
    ]
    return (
        head_comment(source, "Sizes, scales and checksums")
        + "#ifndef ANYECG_CONFIG_H\n#define ANYECG_CONFIG_H\n\n#include <stdint.h>\n\n"
        + c.defines(sizes)
        + "\n/* Front end stream/1; what to compute stands in anyecg_frontend.h. */\n"
        + c.defines(_frontend_constants(source.manifest.front_end.grid_hz))
        + arena_macros(arena)
        + _ALIGNMENT
    ).encode()


_ALIGNMENT = """
#if defined(__cplusplus)
#define ANYECG_ALIGN16 alignas(16)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define ANYECG_ALIGN16 _Alignas(16)
#elif defined(__GNUC__)
#define ANYECG_ALIGN16 __attribute__((aligned(16)))
#else
#error "define ANYECG_ALIGN16 for this compiler: it aligns an object to 16 bytes"
#endif

#endif
"""


def _frontend_constants(grid_hz: int) -> list[tuple[str, str]]:
    filter_ = stream.StreamFilter(grid_hz)
    half = (len(stream.lowpass_taps(grid_hz)) - 1) // 2
    return [
        ("ANYECG_FE_GRID_HZ", f"{grid_hz}u"),
        ("ANYECG_FE_FS_HZ", f"{round(stream.FS_HZ)}u"),
        ("ANYECG_FE_DECIMATION", f"{grid_hz // round(stream.FS_HZ)}u"),
        ("ANYECG_FE_LOWPASS_HALF", f"{half}u"),
        ("ANYECG_FE_BOXCAR_LOG2", f"{stream.BOXCAR_LOG2}u"),
        ("ANYECG_FE_BOXCAR_SAMPLES", f"{1 << stream.BOXCAR_LOG2}u"),
        ("ANYECG_FE_WARMUP_SAMPLES", f"{filter_.warmup_samples}u"),
        ("ANYECG_FE_GROUP_DELAY_S", c.double(stream.GROUP_DELAY_S)),
        ("ANYECG_FE_WINDOW_SAMPLES", f"{stream.WINDOW_SAMPLES}u"),
        ("ANYECG_FE_CLAMP", c.float32(stream.CLAMP)),
        ("ANYECG_FE_STEPS_PER_SD", c.float32(1.0 / stream.INPUT_SCALE)),
    ]


def _model(source: MicroSource) -> bytes:
    return (
        head_comment(source, "The model")
        + '#include "anyecg_model.h"\n\n'
        + "ANYECG_ALIGN16 const uint8_t anyecg_model[ANYECG_MODEL_BYTES] = {\n"
        + c.byte_rows(source.model)
        + "\n};\n"
    ).encode()


def golden_source(source: MicroSource) -> bytes:
    """Return ``anyecg_golden.c``: the golden windows and their outputs."""
    inputs = source.golden_inputs.reshape(len(source.golden_inputs), -1)
    return (
        head_comment(source, "Golden windows")
        + '#include "anyecg_golden.h"\n\n'
        + "const int8_t anyecg_golden_inputs[ANYECG_GOLDEN_WINDOWS][ANYECG_INPUT_VALUES] = {\n"
        + c.int8_table(inputs)
        + "\n};\n\nconst int8_t anyecg_golden_outputs[ANYECG_GOLDEN_WINDOWS][ANYECG_OUTPUT_VALUES] = {\n"
        + c.int8_table(source.golden_outputs)
        + "\n};\n"
    ).encode()


def _frontend(source: MicroSource) -> bytes:
    taps = stream.lowpass_taps(source.manifest.front_end.grid_hz)
    half = taps[len(taps) // 2 :]
    return (
        head_comment(source, "Front end stream/1")
        + '#include "anyecg_frontend.h"\n\n'
        + "const double anyecg_fe_lowpass[ANYECG_FE_LOWPASS_HALF + 1] = {\n"
        + c.number_rows([c.double(t) for t in half])
        + "\n};\n\nconst float anyecg_fe_lowpass_f32[ANYECG_FE_LOWPASS_HALF + 1] = {\n"
        + c.number_rows([c.float32(t) for t in half], 6)
        + "\n};\n"
    ).encode()


def outputs_source(source: MicroSource) -> bytes:
    """Return ``anyecg_outputs.c``: what each output means, with its calibration."""
    m = source.manifest
    rows = ",\n".join(_head(head, source.calibration[head.key]) for head in m.outputs)
    fixed = fixed_heads(m.outputs, source.calibration, m.output.scale)
    return (
        head_comment(source, "Outputs")
        + '#include "anyecg_outputs.h"\n\n'
        + "const struct anyecg_head anyecg_heads[ANYECG_HEADS] = {\n"
        + rows
        + "\n};\n\nconst int32_t anyecg_heads_q[ANYECG_HEADS][4] = {\n"
        + ",\n".join(f"  {{{', '.join(map(str, head.row()))}}}" for head in fixed)
        + "\n};\n\nconst uint8_t anyecg_identity[8] = {\n"
        + c.byte_rows(identity(source.model, fixed))
        + "\n};\n"
    ).encode()


def _head(head: OutputHead, cal: HeadCalibration) -> str:
    texts = ", ".join(c.text(t) for t in (head.key, head.lab, head.loinc, head.unit, head.direction))
    kind = "ANYECG_VALUE" if head.kind == "value" else "ANYECG_PROBABILITY"
    what = unsupported(cal)
    if what is not None:
        raise CheckFailedError(f"the C package does not support {what} ({head.key})", USABLE_METHODS)
    threshold = "0" if cal.threshold is None else "1"
    numbers = (cal.slope, cal.offset, cal.threshold or 0.0, cal.interval_width, cal.level)
    return (
        f"  {{{texts}, {head.index}, {kind}, {_TIERS[head.evidence.tier]}, {_INTERVALS[cal.interval_method]}, "
        f"{threshold}, {', '.join(c.float32(n) for n in numbers)}}}"
    )


def _readme(source: MicroSource, arena: Arena, ops: tuple[str, ...], macs: int) -> bytes:
    figures = {
        "MODEL_BYTES": len(source.model),
        **readme_values(len(source.model), arena, macs),
        "OPS": ", ".join(f"{op} (`{adder(op)}`)" for op in ops),
    }
    return readme(TEMPLATES, source, figures)


def readme(templates: Path, source: MicroSource, figures: Mapping[str, object]) -> bytes:
    """Return the README of a package.

    Args:
        templates: Folder of its template.
        source: Model, heads, calibration and golden windows.
        figures: Values of the placeholders that only this template has.
    """
    m = source.manifest
    values: dict[str, object] = {
        "NAME": c.comment(m.name),
        "VERSION": c.comment(m.version),
        "NOTICE": c.comment(m.notice),
        "MODEL_SHA256": hashlib.sha256(source.model).hexdigest(),
        "GOLDEN_BYTES": source.golden_inputs.size + source.golden_outputs.size,
        "INPUT_VALUES": source.golden_inputs[0].size,
        "INPUT_SCALE": f"{m.input.scale:g}",
        "INPUT_ZERO_POINT": m.input.zero_point,
        "OUTPUT_VALUES": source.golden_outputs.shape[1],
        "OUTPUT_SCALE": f"{m.output.scale:g}",
        "OUTPUT_ZERO_POINT": m.output.zero_point,
        **figures,
    }
    page = (templates / "README.md").read_text(encoding="utf-8") + host_only(m, source.calibration)
    for name, value in values.items():
        page = page.replace(f"@{name}@", str(value))
    return page.encode()
