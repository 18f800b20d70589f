"""The float form of a student: what it was before anything was rounded, carried along so that anybody can ask.

``anyecg convert micro`` puts it into the bundle as ``validation/float.tflite``; no device reads it. Its input are the
z-scores that the device quantizes, its outputs what the int8 model's outputs stand for, so the bundle's calibration
holds for both.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.bundle.files import FLOAT_FILE
from convert.compute.tf_runtime import quiet_stderr
from edge.bundle.reader import Bundle, read_extra
from edge.frontend.stream import WINDOW_SAMPLES
from firmware_bridge.errors import BundleError, MissingExtraError

MAX_BYTES = 64 << 20

WHAT = "float"
"""Its name as a reference of ``anyecg validate``."""


class FloatForm:
    """The model, ready to run.

    Args:
        model: The flatbuffer.
        bundle: Whose.

    Attributes:
        width: Outputs of the model.

    Raises:
        BundleError: It is not the float form of this bundle.
        MissingExtraError: LiteRT is not installed.
    """

    def __init__(self, model: bytes, bundle: Bundle) -> None:
        interpreter = _interpreter()
        self.width = int(np.prod(bundle.manifest.output.shape))
        made_by = "convert the teacher again"
        try:
            with quiet_stderr():
                self._interpreter: Any = interpreter(model_content=model, num_threads=1)
                self._interpreter.allocate_tensors()
            (source,), (sink,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except (ValueError, RuntimeError, TypeError) as error:
            raise BundleError(f"{FLOAT_FILE} does not load: {str(error).splitlines()[0]}", made_by) from None
        self._source, self._shape, self._sink = source["index"], tuple(source["shape"]), sink["index"]
        sizes = int(np.prod(source["shape"])), int(np.prod(sink["shape"]))
        floats = source["dtype"] is np.float32 and sink["dtype"] is np.float32
        if not floats or sizes != (WINDOW_SAMPLES, self.width):
            what = f"{WINDOW_SAMPLES} float samples to {self.width} float outputs"
            raise BundleError(f"{FLOAT_FILE} makes {sizes[1]} outputs of {sizes[0]} samples, not {what}", made_by)

    def run(self, windows: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Outputs of windows, one by one.

        Args:
            windows: z-scores, ``(n, 1250)``.

        Returns:
            ``(n, width)``, in the scale of the int8 model's outputs as real numbers.
        """
        out = np.empty((len(windows), self.width), np.float32)
        for i, window in enumerate(windows):
            self._interpreter.set_tensor(self._source, window.astype(np.float32).reshape(self._shape))
            self._interpreter.invoke()
            out[i] = self._interpreter.get_tensor(self._sink).reshape(-1)
        return out


def _interpreter() -> Any:
    for module in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"):
        try:
            return importlib.import_module(module).Interpreter
        except ImportError:
            continue
    raise MissingExtraError("the float form of a student", "tflite")


def read_float_form(path: Path, bundle: Bundle) -> FloatForm | None:
    """The float form that a bundle carries; ``None`` where it carries none.

    Args:
        path: Of the bundle.
        bundle: The same, loaded: its files are what the manifest says.

    Raises:
        BundleError: It is there and is none of this bundle.
        MissingExtraError: LiteRT is not installed.
    """
    model = read_extra(path, FLOAT_FILE, MAX_BYTES)
    return None if model is None else FloatForm(model, bundle)
