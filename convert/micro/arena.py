"""The tensor arena: the size that the real TFLite Micro interpreter needs, and the size to reserve on a target.

TFLite Micro trusts its model and may crash on a damaged one, so the measurement runs in a separate process. Its log
splits the arena into a *head*, the plan of the activations, and a *tail* of structures. The head does not depend on the
processor and grows with the scratch buffers of optimized kernels (``planner.py``); of the tail, the two arrays that
consist only of pointers are half as large on a 32-bit processor.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from convert.micro.graph import Graph, Operation
from convert.micro.planner import aligned, planned_bytes
from firmware_bridge.child import module_environment
from firmware_bridge.errors import CheckFailedError, MissingExtraError

LIMIT_BYTES = 2 << 20
"""Largest arena that is tried, bytes: more than any supported microcontroller has."""

ESP_NN_GUARD_BYTES = 1024
"""Part of the reserve for ESP-NN, bytes: its scratch buffers are estimates, because its releases differ."""

_TIMEOUT_S = 120.0
_HANDLE_BYTES = 4
"""A scratch buffer's entry in the tail, bytes."""
_MVE_CHANNELS = 124
"""Number of channels that CMSIS-NN's Helium depthwise kernel copies at a time."""


@dataclass(frozen=True, slots=True)
class Arena:
    """Arena sizes in bytes.

    Attributes:
        measured: Smallest arena that the TFLite Micro interpreter accepts with its reference kernels on a 64-bit
            machine, a multiple of 1 KiB.
        cortex_m: Arena to reserve on a 32-bit processor with the reference kernels or CMSIS-NN, with or without DSP
            instructions.
        helium: The same with CMSIS-NN on a processor with Helium (Cortex-M55, M85).
        esp_nn: The same with ESP-NN, an estimate.
    """

    measured: int
    cortex_m: int
    helium: int
    esp_nn: int


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of the arena by the log of the interpreter on this 64-bit machine, bytes.

    Attributes:
        head: The plan of the activations.
        tail: Structures that live as long as the interpreter.
        pointers: Part of the tail that consists of pointers and is half as large with 32 bits.
    """

    head: int
    tail: int
    pointers: int


def measure(model: bytes, graph: Graph) -> Arena:
    """Measures a model's arena in the TFLite Micro interpreter.

    Args:
        model: The TFLite flatbuffer.
        graph: Graph of the model.

    Raises:
        MissingExtraError: TFLite Micro is not installed.
        CheckFailedError: The interpreter refuses the model.
    """
    measured, usage = _measure_apart(model)
    # The plan replicates that of the interpreter; where it does not (an unknown operation), the measurement is larger.
    beyond = max(usage.head - planned_bytes(graph, lambda _op: 0), 0)
    tail = usage.tail - usage.pointers // 2

    def reserve(*scratches: Callable[[Operation], int]) -> int:
        sizes = []
        for scratch in scratches:
            handles = sum(_HANDLE_BYTES for op in graph.operations if scratch(op))
            sizes.append(planned_bytes(graph, scratch) + beyond + tail + handles)
        return aligned(max(sizes))

    return Arena(
        measured=measured,
        cortex_m=reserve(lambda _op: 0, _cmsis_nn_scratch),
        helium=reserve(_helium_scratch),
        esp_nn=reserve(_esp_nn_scratch) + ESP_NN_GUARD_BYTES,
    )


def usage(log: str) -> Usage | None:
    """Returns the use of the arena from the log of the interpreter; ``None`` if the log does not report it."""
    found = {name: re.search(rf"Arena allocation {name} (\d+) bytes", log) for name in ("head", "tail")}
    arrays = [re.search(rf"'{name}' used (\d+) bytes", log) for name in ("TfLiteEvalTensor data", _NODES)]
    head, tail = found["head"], found["tail"]
    if head is None or tail is None or None in arrays:
        return None
    return Usage(int(head[1]), int(tail[1]), sum(int(a[1]) for a in arrays if a is not None))


_NODES = "NodeAndRegistration struct"


def _dimensions(op: Operation) -> tuple[int, int, int, int]:
    """Returns filter area, input channels per filter, filter values and input values of a convolution; else zeros."""
    if op.name not in {"CONV_2D", "DEPTHWISE_CONV_2D"} or len(op.inputs) < 2:
        return 0, 0, 0, 0
    source, kernel = op.inputs[0], op.inputs[1]
    if source is None or kernel is None or len(kernel.shape) != 4:
        return 0, 0, 0, 0
    return kernel.shape[1] * kernel.shape[2], kernel.shape[3], kernel.elements, source.elements


def _cmsis_nn_scratch(op: Operation) -> int:
    """Returns the result of CMSIS-NN's ``*_get_buffer_size_dsp`` functions."""
    area, channels, _, _ = _dimensions(op)
    if op.name == "DEPTHWISE_CONV_2D":
        return 2 * channels * area
    return 4 * area * channels


def _helium_scratch(op: Operation) -> int:
    """Returns the result of CMSIS-NN's ``*_get_buffer_size_mve`` functions."""
    area, channels, _, _ = _dimensions(op)
    if op.name == "DEPTHWISE_CONV_2D":
        return 4 * _MVE_CHANNELS * area + 4
    return 4 * (area * channels + 7) if area else 0


def _esp_nn_scratch(op: Operation) -> int:
    """Returns the size by ESP-NN's ``esp_nn_get_*_scratch_size_esp32s3``; later releases may need other sizes."""
    area, channels, values, source = _dimensions(op)
    if not area:
        return 0
    if op.name == "CONV_2D" and area == 1 and channels % 8 == 0 and op.stride == 1:
        return values + 16 * channels + 32
    return 2 * (values + source) + 16 * channels + 32


def _measure_apart(model: bytes) -> tuple[int, Usage]:
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
    used = usage(done.stderr.decode("utf-8", "replace"))
    if used is None:
        raise CheckFailedError(
            "the log of TFLite Micro does not report its use of the arena",
            "install the tflite-micro release that constraints/locked.txt names",
        )
    return int(answer["arena"]), used


def _child() -> None:
    from convert.compute.inference import arena_bytes

    model = sys.stdin.buffer.read()
    try:
        answer: dict[str, object] = {"arena": arena_bytes(model, LIMIT_BYTES)}
        from tflite_micro import runtime

        runtime.Interpreter.from_bytes(model, arena_size=LIMIT_BYTES).print_allocations()
    except MissingExtraError:
        answer = {"missing": True}
    except ValueError:
        answer = {"arena": None}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _child()
