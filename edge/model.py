"""The model behind one interface, for all interpreters that a device or a host may have.

The order is ``ai-edge-litert``, then ``tflite-runtime``, which is much slower on int8 (193 against 7.7 ms for the full
teacher) and is only for 32-bit Pi OS. ``tflite-micro``, the interpreter for microcontrollers, is for comparison.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edge.bundle.reader import Bundle
from edge.process.interpreter import import_interpreter
from firmware_bridge.errors import AnyEcgError, BundleError, MissingExtraError, MissingPackageError, UsageError

BackendName = Literal["auto", "litert", "litert-reference", "tflite-runtime", "tflm"]

SELF_TEST_LSB = 1
"""Largest accepted difference from the golden outputs, LSB. An interpreter may round one step differently from the
reference kernels, which made them. Of the demonstration bundle's 96 outputs, LiteRT differs in 17 (x86 and 64-bit ARM)
and tflite-runtime in 5 (32-bit ARM), all by one step. A larger difference means a wrong model."""


class Model(Protocol):
    """A loaded model: int8 window in, int8 outputs out."""

    backend: str

    def run(self, window: NDArray[np.int8]) -> NDArray[np.int8]:
        """Run one window.

        Args:
            window: int8, with as many values as the input tensor.

        Returns:
            Shape ``(outputs,)``, int8, a copy.
        """


class InterpreterModel:
    """LiteRT or tflite-runtime, which share one interface."""

    def __init__(self, interpreter: Any, backend: str) -> None:
        self.backend = backend
        self._interpreter = interpreter
        interpreter.allocate_tensors()
        self.input = interpreter.get_input_details()[0]
        self.output = interpreter.get_output_details()[0]
        self._shape = tuple(int(n) for n in self.input["shape"])

    def run(self, window: NDArray[np.int8]) -> NDArray[np.int8]:
        """Run one window; see :class:`Model`."""
        self._interpreter.set_tensor(self.input["index"], window.reshape(self._shape))
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self.output["index"]), dtype=np.int8).reshape(-1)


class MicroModel:
    """The real TensorFlow Lite Micro interpreter, from the ``tflite-micro`` package."""

    backend = "tflm"

    def __init__(self, interpreter: Any, shape: tuple[int, ...]) -> None:
        self._interpreter = interpreter
        self._shape = shape

    def run(self, window: NDArray[np.int8]) -> NDArray[np.int8]:
        """Run one window; see :class:`Model`."""
        self._interpreter.set_input(window.reshape(self._shape), 0)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_output(0), dtype=np.int8).reshape(-1)


class ConstantModel:
    """A model with constant outputs, for tests and for measuring the cost of the runtime."""

    backend = "constant"

    def __init__(self, outputs: NDArray[np.int8]) -> None:
        self._outputs = outputs

    def run(self, window: NDArray[np.int8]) -> NDArray[np.int8]:
        """Return the constant outputs; see :class:`Model`."""
        del window
        return self._outputs.copy()


def load_model(bundle: Bundle, backend: BackendName = "auto", threads: int = 1) -> Model:
    """Load the model of a bundle and check its tensors against the manifest.

    Args:
        bundle: A verified bundle.
        backend: The interpreter; ``auto`` takes the first of litert and tflite-runtime that is installed.
        threads: Threads of the interpreter. One is best on a Pi Zero 2 W, whose other cores serve the radio.

    Raises:
        MissingExtraError: The interpreter is not installed.
        UsageError: The interpreter is unknown or does not exist for this machine.
        BundleError: The model does not load or does not match the manifest.
    """
    if backend == "auto":
        backend = _installed_backend()
    if backend not in _LOADERS:
        raise UsageError(f"unknown backend '{backend}'", f"one of: auto, {', '.join(_LOADERS)}")
    try:
        with _quiet_native_log():
            model = _LOADERS[backend](bundle, threads)
    except (ValueError, RuntimeError) as e:
        first = (str(e).splitlines() or [""])[0]
        raise BundleError(f"the interpreter does not load model.tflite: {first}", "convert the bundle again") from None
    if isinstance(model, InterpreterModel):
        _check_tensor(model.input, bundle.manifest.input, "input")
        _check_tensor(model.output, bundle.manifest.output, "output")
    return model


def self_test(bundle: Bundle, model: Model) -> int:
    """Run the model on the golden inputs and compare the outputs.

    Returns:
        The largest difference from the golden outputs, in LSB.

    Raises:
        BundleError: The difference is larger than one.
    """
    worst = int(golden_differences(bundle, model).max())
    if worst > SELF_TEST_LSB:
        raise BundleError(
            f"self-test: outputs differ from the golden ones by {worst} LSB on {model.backend}",
            "this interpreter computes wrong results on this machine; try another --backend and report it",
        )
    return worst


def golden_differences(bundle: Bundle, model: Model) -> NDArray[np.int16]:
    """Run the model on the golden inputs and return the differences of the outputs.

    Returns:
        Absolute differences from the golden outputs, shape ``(windows, outputs)``, LSB.

    Raises:
        BundleError: The model has another number of outputs than the manifest.
    """
    rows = []
    for window, expected in zip(bundle.golden_inputs, bundle.golden_outputs, strict=True):
        found = model.run(window).astype(np.int16)
        if found.shape != expected.shape:
            raise BundleError(
                f"self-test: the model gives {found.size} outputs, but the manifest says {expected.size}",
                "convert the bundle again",
            )
        rows.append(np.abs(found - expected))
    return np.array(rows, dtype=np.int16)


def _installed_backend() -> BackendName:
    """Return the installed interpreter or, if there is none, the one to install on this machine."""
    for backend, module in (("litert", "ai_edge_litert"), ("tflite-runtime", "tflite_runtime")):
        if importlib.util.find_spec(module) is not None:
            return cast("BackendName", backend)
    return "litert" if sys.maxsize > 1 << 32 else "tflite-runtime"


@contextlib.contextmanager
def _quiet_native_log() -> Iterator[None]:
    """Suppress what the C++ code of an interpreter prints while loading; a failure still raises an error."""
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "wb") as null:  # noqa: PTH123  # a device, not a path to build
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _check_tensor(details: dict[str, Any], spec: Any, what: str) -> None:
    scale, zero_point = details["quantization"]
    shape = tuple(int(n) for n in details["shape"])
    if details["dtype"] is not np.int8 or shape != spec.shape:
        raise BundleError(
            f"the model's {what} is {details['dtype'].__name__} {shape}, but the manifest says int8 {spec.shape}",
            "convert the bundle again",
        )
    if abs(float(scale) - spec.scale) > 1e-6 * spec.scale or int(zero_point) != spec.zero_point:
        raise BundleError(
            f"scale or zero point of the model's {what} differ from the manifest", "convert the bundle again"
        )


def _load_litert(bundle: Bundle, threads: int) -> Model:
    litert = _import(import_interpreter, _no_litert)
    return InterpreterModel(litert.Interpreter(model_content=bundle.model, num_threads=threads), "litert")


def _load_reference(bundle: Bundle, threads: int) -> Model:
    litert = _import(import_interpreter, _no_litert)
    interpreter = litert.Interpreter(
        model_content=bundle.model,
        num_threads=threads,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
    )
    return InterpreterModel(interpreter, "litert-reference")


def _load_tflite_runtime(bundle: Bundle, threads: int) -> Model:
    runtime = _import("tflite_runtime.interpreter", _no_tflite_runtime)
    return InterpreterModel(runtime.Interpreter(model_content=bundle.model, num_threads=threads), "tflite-runtime")


def _load_tflm(bundle: Bundle, threads: int) -> Model:
    del threads
    tflm = _import("tflite_micro", partial(MissingExtraError, "the TensorFlow Lite Micro interpreter", "micro"))
    interpreter = tflm.runtime.Interpreter.from_bytes(bundle.model)
    return MicroModel(interpreter, bundle.manifest.input.shape)


_LOADERS: dict[str, Callable[[Bundle, int], Model]] = {
    "litert": _load_litert,
    "litert-reference": _load_reference,
    "tflite-runtime": _load_tflite_runtime,
    "tflm": _load_tflm,
}


def _no_litert() -> AnyEcgError:
    # LiteRT is part of the device install, so there is no extra for it.
    if sys.maxsize > 1 << 32:
        return MissingPackageError("the LiteRT interpreter", "ai-edge-litert")
    return UsageError("there is no LiteRT interpreter for 32-bit Python", "use --backend tflite-runtime")


def _no_tflite_runtime() -> AnyEcgError:
    # On a 32-bit system with a 64-bit kernel, the marker of the extra would make pip look for LiteRT, too.
    if sys.maxsize > 1 << 32:
        return MissingExtraError("the tflite-runtime interpreter", "tflite")
    return MissingPackageError("the tflite-runtime interpreter", "tflite-runtime")


def _import(module: str | Callable[[], Any], missing: Callable[[], AnyEcgError]) -> Any:
    try:
        return importlib.import_module(module) if isinstance(module, str) else module()
    except ImportError:
        raise missing() from None
