"""The tensor arena: the size that the real TFLite Micro interpreter needs, and the extra size for optimised kernels.

TFLite Micro trusts its model and may crash on a damaged one, so the measurement runs in a separate process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from convert.micro.graph import Graph, Operation
from firmware_bridge.child import module_environment
from firmware_bridge.errors import CheckFailedError, MissingExtraError

LIMIT_BYTES = 2 << 20
"""Largest arena that is tried, bytes: more than any supported microcontroller has."""

GUARD_BYTES = 1024
"""Part of every margin, bytes: another TFLite Micro release may place buffers differently."""

_TIMEOUT_S = 120.0
_MVE_CHANNELS = 124
"""Number of channels that CMSIS-NN's Helium depthwise kernel copies at a time."""


@dataclass(frozen=True, slots=True)
class Arena:
    """Arena sizes in bytes.

    Attributes:
        measured: Smallest arena that the TFLite Micro interpreter accepts with its reference kernels on a 64-bit
            machine, a multiple of 1 KiB. 32-bit pointers need less.
        cmsis_nn_margin: Largest scratch buffer of CMSIS-NN's kernels for this model, plus the guard.
        esp_nn_margin: Estimate of the same for ESP-NN, whose releases need different sizes.
    """

    measured: int
    cmsis_nn_margin: int
    esp_nn_margin: int

    @property
    def cmsis_nn(self) -> int:
        """Returns the arena to reserve with CMSIS-NN or the reference kernels, bytes."""
        return self.measured + self.cmsis_nn_margin

    @property
    def esp_nn(self) -> int:
        """Returns the arena to reserve with ESP-NN, bytes."""
        return self.measured + self.esp_nn_margin


def measure(model: bytes, graph: Graph) -> Arena:
    """Measures a model's arena in the TFLite Micro interpreter.

    Args:
        model: The TFLite flatbuffer.
        graph: Graph of the model.

    Raises:
        MissingExtraError: TFLite Micro is not installed.
        CheckFailedError: The interpreter refuses the model.
    """
    return Arena(
        measured=_measure_apart(model),
        cmsis_nn_margin=_round16(max((_cmsis_nn_scratch(op) for op in graph.operations), default=0)) + GUARD_BYTES,
        esp_nn_margin=_round16(max((_esp_nn_scratch(op) for op in graph.operations), default=0)) + GUARD_BYTES,
    )


def _round16(n: int) -> int:
    return (n + 15) // 16 * 16


def _dimensions(op: Operation) -> tuple[int, int, int, int]:
    """Returns filter area, input channels per filter, filter values and input values of a convolution; else zeros."""
    if op.name not in {"CONV_2D", "DEPTHWISE_CONV_2D"} or len(op.inputs) < 2:
        return 0, 0, 0, 0
    source, kernel = op.inputs[0], op.inputs[1]
    if source is None or kernel is None or len(kernel.shape) != 4:
        return 0, 0, 0, 0
    return kernel.shape[1] * kernel.shape[2], kernel.shape[3], kernel.elements, source.elements


def _cmsis_nn_scratch(op: Operation) -> int:
    """Returns the result of CMSIS-NN's ``*_get_buffer_size`` functions, the larger of its DSP and Helium forms."""
    area, channels, _, _ = _dimensions(op)
    if op.name == "DEPTHWISE_CONV_2D":
        return max(2 * channels * area, 4 * _MVE_CHANNELS * area + 4)
    return 4 * (area * channels + 7) if area else 0


def _esp_nn_scratch(op: Operation) -> int:
    """Returns the size by ESP-NN's ``esp_nn_get_*_scratch_size_esp32s3``; later releases may need other sizes."""
    area, channels, values, source = _dimensions(op)
    if not area:
        return 0
    if op.name == "CONV_2D" and area == 1 and channels % 8 == 0 and op.stride == 1:
        return values + 16 * channels + 32
    return 2 * (values + source) + 16 * channels + 32


def _measure_apart(model: bytes) -> int:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "convert.micro.arena"],
            input=model,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            env=module_environment(),
        )
    except subprocess.TimeoutExpired:
        raise CheckFailedError(f"TFLite Micro did not load the model within {_TIMEOUT_S:.0f} s") from None
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    answer = json.loads(lines[-1]) if done.returncode == 0 and lines else {}
    if answer.get("missing"):
        raise MissingExtraError("measuring the arena", "micro")
    if "arena" not in answer:
        raise CheckFailedError("TFLite Micro crashed on this model", "check the file, then its operations")
    if answer["arena"] is None:
        raise CheckFailedError(
            f"TFLite Micro refused the model, or the model needs an arena of more than {LIMIT_BYTES} bytes",
            "run anyecg lint to see the operations that it cannot run",
        )
    return int(answer["arena"])


def _child() -> None:
    from convert.compute.inference import arena_bytes

    try:
        answer: dict[str, object] = {"arena": arena_bytes(sys.stdin.buffer.read(), LIMIT_BYTES)}
    except MissingExtraError:
        answer = {"missing": True}
    except ValueError:
        answer = {"arena": None}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _child()
