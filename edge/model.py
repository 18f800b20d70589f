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
from typing import Any, Literal, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edge.bundle.reader import Bundle
from edge.bundle.tensors import Steps, TensorSpec
from edge.process.interpreter import import_interpreter
from firmware_bridge.errors import AnyEcgError, BundleError, MissingExtraError, MissingPackageError, UsageError

BackendName = Literal["auto", "litert", "litert-reference", "tflite-runtime", "tflm"]


class Model(Protocol):
    """A loaded model: a window in, outputs out, both in the steps of the bundle's manifest."""

    backend: str

    def run(self, window: Steps) -> Steps:
        """Run one window.

        Args:
            window: int8 or int16 steps, with as many values as the input tensor.

        Returns:
            Shape ``(outputs,)``, int8 or int16 steps, a copy.

        Raises:
            BundleError: A float model gives NaN or infinity.
        """


class InterpreterModel:
    """LiteRT or tflite-runtime, which share one interface.

    Args:
        interpreter: The interpreter with its model.
        backend: Name of the interpreter.
        source: Input of the model.
        sink: Output of the model.
    """

    def __init__(self, interpreter: Any, backend: str, source: TensorSpec, sink: TensorSpec) -> None:
        self.backend = backend
        self._interpreter, self._source, self._sink = interpreter, source, sink
        interpreter.allocate_tensors()
        self.input = interpreter.get_input_details()[0]
        self.output = interpreter.get_output_details()[0]
        self._shape = tuple(int(n) for n in self.input["shape"])

    def run(self, window: Steps) -> Steps:
        """Run one window; see :class:`Model`."""
        self._interpreter.set_tensor(self.input["index"], _to_tensor(window, self._source).reshape(self._shape))
        self._interpreter.invoke()
        return _from_tensor(self._interpreter.get_tensor(self.output["index"]), self._sink)


class MicroModel:
    """The real TensorFlow Lite Micro interpreter, from the ``tflite-micro`` package."""

    backend = "tflm"

    def __init__(self, interpreter: Any, source: TensorSpec, sink: TensorSpec) -> None:
        self._interpreter, self._source, self._sink = interpreter, source, sink

    def run(self, window: Steps) -> Steps:
        """Run one window; see :class:`Model`."""
        self._interpreter.set_input(_to_tensor(window, self._source).reshape(self._source.shape), 0)
        self._interpreter.invoke()
        return _from_tensor(self._interpreter.get_output(0), self._sink)


def _to_tensor(window: Steps, source: TensorSpec) -> NDArray[Any]:
    if source.dtype == "int8":
        return np.asarray(window, dtype=np.int8)
    return window.astype(np.float32) * np.float32(source.scale)


def _from_tensor(found: Any, sink: TensorSpec) -> Steps:
    raw = np.asarray(found).reshape(-1)
    if sink.dtype == "int8":
        return sink.joined(np.asarray(raw, dtype=np.int8))
    if not np.isfinite(raw).all():
        raise BundleError("the model gives NaN or infinity", "convert the bundle again, or give another checkpoint")
    return sink.to_steps(raw)


class ConstantModel:
    """A model with constant outputs, for tests and for measuring the cost of the runtime."""

    backend = "constant"

    def __init__(self, outputs: Steps) -> None:
        self._outputs = outputs

    def run(self, window: Steps) -> Steps:
        """Return the constant outputs; see :class:`Model`."""
        del window
        return self._outputs.copy()


def load_model(bundle: Bundle, backend: BackendName = "auto", threads: int = 1) -> Model:
    """Load the model of a bundle and check its tensors against the manifest; see :func:`open_model`."""
    return open_model(bundle.model, bundle.manifest.input, bundle.manifest.output, backend, threads)


def open_model(
    model: bytes, source: TensorSpec, sink: TensorSpec, backend: BackendName = "auto", threads: int = 1
) -> Model:
    """Load a model and check its tensors.

    Args:
        model: The TFLite flatbuffer.
        source: Input of the model.
        sink: Output of the model.
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
            loaded = _LOADERS[backend](_Given(model, source, sink), threads)
    except (ValueError, RuntimeError) as e:
        first = (str(e).splitlines() or [""])[0]
        raise BundleError(f"the interpreter does not load model.tflite: {first}", "convert the bundle again") from None
    if isinstance(loaded, InterpreterModel):
        _check_tensor(loaded.input, source, "input")
        _check_tensor(loaded.output, sink, "output")
    return loaded


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


def _check_tensor(details: dict[str, Any], spec: TensorSpec, what: str) -> None:
    scale, zero_point = details["quantization"]
    shape = tuple(int(n) for n in details["shape"])
    if np.dtype(details["dtype"]).name != spec.dtype or shape != spec.shape:
        raise BundleError(
            f"the model's {what} is {details['dtype'].__name__} {shape}, but the manifest says {spec.dtype} "
            f"{spec.shape}",
            "convert the bundle again",
        )
    if spec.dtype != "int8":
        return
    if abs(float(scale) - spec.scale) > 1e-6 * spec.scale or int(zero_point) != spec.zero_point:
        raise BundleError(
            f"scale or zero point of the model's {what} differ from the manifest", "convert the bundle again"
        )


class _Given(NamedTuple):
    """A model with its ends."""

    model: bytes
    source: TensorSpec
    sink: TensorSpec


def _load_litert(given: _Given, threads: int) -> Model:
    litert = _import(import_interpreter, _no_litert)
    return InterpreterModel(
        litert.Interpreter(model_content=given.model, num_threads=threads), "litert", given.source, given.sink
    )


def _load_reference(given: _Given, threads: int) -> Model:
    litert = _import(import_interpreter, _no_litert)
    interpreter = litert.Interpreter(
        model_content=given.model,
        num_threads=threads,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
    )
    return InterpreterModel(interpreter, "litert-reference", given.source, given.sink)


def _load_tflite_runtime(given: _Given, threads: int) -> Model:
    runtime = _import("tflite_runtime.interpreter", _no_tflite_runtime)
    return InterpreterModel(
        runtime.Interpreter(model_content=given.model, num_threads=threads), "tflite-runtime", given.source, given.sink
    )


def _load_tflm(given: _Given, threads: int) -> Model:
    del threads
    tflm = _import("tflite_micro", partial(MissingExtraError, "the TensorFlow Lite Micro interpreter", "micro"))
    interpreter = tflm.runtime.Interpreter.from_bytes(given.model)
    return MicroModel(interpreter, given.source, given.sink)


_LOADERS: dict[str, Callable[[_Given, int], Model]] = {
    "litert": _load_litert,
    "litert-reference": _load_reference,
    "tflite-runtime": _load_tflite_runtime,
    "tflm": _load_tflm,
}


def _no_litert() -> AnyEcgError:
    # LiteRT is part of the device install, so there is no extra for it.
    if sys.maxsize > 1 << 32:
        return MissingPackageError("the LiteRT interpreter", "ai-edge-litert")
    fix = "'anyecg run' and 'anyecg bundle' take --backend tflite-runtime"
    return UsageError("there is no LiteRT interpreter for 32-bit Python", fix)


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
