"""TensorFlow Lite Micro as a runtime: its generated headers, and what its own code costs.

The figures of :data:`KERNELS` were measured once on images of the demonstration student, linked with TensorFlow Lite
Micro 90b983c2 (2026) by arm-none-eabi-gcc and run in QEMU; no package ships its sources, so no test repeats them. The
code is the same for every student, because all consist of the same operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from convert.micro import c_source as c
from convert.micro.arena import Arena
from convert.micro.ops import adder

MEASURED_WITH = "TensorFlow Lite Micro 90b983c2"
"""Release that the figures belong to."""

INT8_KERNELS = {"ADD", "CONV_2D", "DEPTHWISE_CONV_2D"}
"""Operations with a registration for int8 only, which leaves the kernels of other types out of the image."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """What TensorFlow Lite Micro costs with one set of kernels, besides the model.

    Attributes:
        title: Name for tables.
        code_bytes: Flash of the interpreter, the kernels and the libc that they need, without the model.
        stack_bytes: Deepest stack of an inference.
        instructions_per_mac: Executed instructions divided by the multiplications of the network.
    """

    title: str
    code_bytes: int
    stack_bytes: int
    instructions_per_mac: float


_MODEL_BYTES, _MACS = 78_536, 1_698_248
"""Size and multiplications of the model that the figures were measured with."""

KERNELS: Mapping[str, Kernels] = {
    "reference": Kernels("reference kernels, Cortex-M4", 117_279 - _MODEL_BYTES, 712, 31.7e6 / _MACS),
    "cmsis-nn-all": Kernels("CMSIS-NN, all types, Cortex-M4", 151_199 - _MODEL_BYTES, 1_244, 9.24e6 / _MACS),
    "cmsis-nn": Kernels("CMSIS-NN, int8 only, Cortex-M4", 120_191 - _MODEL_BYTES, 1_244, 9.24e6 / _MACS),
    "helium": Kernels("CMSIS-NN with Helium, Cortex-M55", 140_200 - _MODEL_BYTES, 1_336, 2.25e6 / _MACS),
}


def reserved_bytes(kernels: str, arena: Arena) -> int:
    """Return the arena to reserve for one of :data:`KERNELS`, bytes."""
    return arena.helium if kernels == "helium" else arena.cortex_m


def arena_macros(arena: Arena) -> str:
    """Return the part of ``anyecg_config.h`` that reserves the arena."""
    return (
        "\n/* Tensor arena: measured in TFLite Micro on a 64-bit machine, and what to reserve; see README.md. */\n"
        + c.defines(
            [
                ("ANYECG_ARENA_MEASURED_BYTES", f"{arena.measured}u"),
                ("ANYECG_ARENA_CORTEX_M_BYTES", f"{arena.cortex_m}u"),
                ("ANYECG_ARENA_HELIUM_BYTES", f"{arena.helium}u"),
                ("ANYECG_ARENA_ESP_NN_BYTES", f"{arena.esp_nn}u"),
            ]
        )
        + _ARENA_CHOICE
    )


_ARENA_CHOICE = """#ifndef ANYECG_ARENA_BYTES
#if defined(ESP_NN) || defined(ESP_PLATFORM)
#define ANYECG_ARENA_BYTES ANYECG_ARENA_ESP_NN_BYTES
#elif defined(__ARM_FEATURE_MVE)
#define ANYECG_ARENA_BYTES ANYECG_ARENA_HELIUM_BYTES
#elif UINTPTR_MAX > 0xFFFFFFFFu
#define ANYECG_ARENA_BYTES ANYECG_ARENA_MEASURED_BYTES
#else
#define ANYECG_ARENA_BYTES ANYECG_ARENA_CORTEX_M_BYTES
#endif
#endif
"""


def ops_header(ops: Sequence[str]) -> str:
    """Return the body of ``anyecg_ops.h``, which registers these operations."""
    calls = " ||\n      ".join(f"resolver.{adder(op)}({_registration(op)}) != kTfLiteOk" for op in ops)
    return (
        "#ifndef ANYECG_OPS_H\n#define ANYECG_OPS_H\n\n"
        '#include "anyecg_config.h"\n\n'
        f"/* {len(ops)} operations: {', '.join(ops)}. */\n\n"
        "#ifdef __cplusplus\n"
        '#include "anyecg_tflm.h"\n\n'
        + _INT8_CHOICE
        + "inline TfLiteStatus anyecg_add_ops(tflite::MicroMutableOpResolver<ANYECG_OP_COUNT> &resolver) {\n"
        + f"  if ({calls}) {{\n    return kTfLiteError;\n  }}\n  return kTfLiteOk;\n}}\n"
        + "#endif\n\n#endif\n"
    )


_INT8_CHOICE = """/* The int8 form of a kernel leaves the other types out of the image: 31 KB with CMSIS-NN.
 * ANYECG_ALL_TYPES is for an older TFLite Micro, whose AddAdd() takes no argument. */
#ifdef ANYECG_ALL_TYPES
#define ANYECG_INT8_ALONE(registration)
#else
#define ANYECG_INT8_ALONE(registration) registration
#endif

"""


def _registration(op: str) -> str:
    return f"ANYECG_INT8_ALONE(tflite::Register_{op}_INT8())" if op in INT8_KERNELS else ""


def readme_values(model_bytes: int, arena: Arena, macs: int) -> dict[str, object]:
    """Return the figures of the README template: flash, RAM, stack and instructions with TensorFlow Lite Micro."""
    rows = "\n".join(
        f"| {k.title} | {model_bytes + k.code_bytes} = {model_bytes} model + {k.code_bytes} TFLite Micro | "
        f"{reserved_bytes(name, arena)} | {k.stack_bytes} | "
        f"{k.instructions_per_mac * macs / 1e6:.1f} M |"
        for name, k in KERNELS.items()
    )
    return {
        "TFLM_ROWS": rows,
        "TFLM_RELEASE": MEASURED_WITH,
        "ARENA_MEASURED": arena.measured,
        "ARENA_CORTEX_M": arena.cortex_m,
        "ARENA_HELIUM": arena.helium,
        "ARENA_ESP_NN": arena.esp_nn,
    }
