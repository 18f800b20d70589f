"""The float form of a student: the network before quantization, stored in the bundle for comparison.

``anyecg convert micro`` writes it to ``validation/float.tflite``; no device reads it. Its inputs are the z-scores that
the device quantizes, and its outputs have the scale of the dequantized int8 outputs, so the calibration of the bundle
applies to both.
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
"""Its name for the option ``--reference`` of ``anyecg validate``."""


class FloatForm:
    """A loaded float form.

    Args:
        model: The flatbuffer.
        bundle: Bundle that contains it.

    Attributes:
        width: Number of outputs of the model.

    Raises:
        BundleError: The model is not the float form of this bundle.
        MissingExtraError: LiteRT is not installed.
    """

    def __init__(self, model: bytes, bundle: Bundle) -> None:
        interpreter = _interpreter()
        self.width = bundle.manifest.output.width
        fix = "convert the teacher again"
        try:
            with quiet_stderr():
                self._interpreter: Any = interpreter(model_content=model, num_threads=1)
                self._interpreter.allocate_tensors()
            (source,), (sink,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except (ValueError, RuntimeError, TypeError) as error:
            raise BundleError(f"{FLOAT_FILE} does not load: {str(error).splitlines()[0]}", fix) from None
        self._source, self._shape, self._sink = source["index"], tuple(source["shape"]), sink["index"]
        sizes = int(np.prod(source["shape"])), int(np.prod(sink["shape"]))
        floats = source["dtype"] is np.float32 and sink["dtype"] is np.float32
        if not floats or sizes != (WINDOW_SAMPLES, self.width):
            what = f"{WINDOW_SAMPLES} float samples to {self.width} float outputs"
            raise BundleError(f"{FLOAT_FILE} maps {sizes[0]} samples to {sizes[1]} outputs, not {what}", fix)

    def run(self, windows: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Run the model on windows, one at a time.

        Args:
            windows: z-scores, ``(n, 1250)``.

        Returns:
            Outputs in the scale of the dequantized int8 outputs, ``(n, width)``.
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
    """Read the float form of a bundle; ``None`` if the bundle has none.

    Args:
        path: Path of the bundle.
        bundle: The loaded bundle, whose files match the manifest.

    Raises:
        BundleError: The file is not the float form of this bundle.
        MissingExtraError: LiteRT is not installed.
    """
    model = read_extra(path, FLOAT_FILE, MAX_BYTES)
    return None if model is None else FloatForm(model, bundle)
