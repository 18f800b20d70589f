"""Run the LiteRT model of a teacher on prepared segments, in any process that can read the model file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.compute.tf_runtime import quiet_stderr
from convert.teacher.open import InputSteps, read_kept, write_kept
from firmware_bridge.errors import InputError


@dataclass(frozen=True, slots=True)
class ScorerSpec:
    """A LiteRT model on disk; a process on any machine with the same files can load it.

    Attributes:
        model: File with the SHA-256 of the flatbuffer, then the flatbuffer.
        name: Name for messages.
        outputs: Number of outputs.
        quantized: Input quantization of an int8 model; ``None`` for a float one.
    """

    model: Path
    name: str
    outputs: int
    quantized: InputSteps | None


def keep_model(path: Path, export: Callable[[], bytes]) -> Path:
    """Write the file of a model if it is missing or damaged; an intact file saves the export with TensorFlow.

    Args:
        path: File of the model.
        export: Function that creates the flatbuffer.

    Raises:
        OutputError: The file cannot be written.
    """
    if read_kept(path) is None:
        write_kept(path, export())
    return path


class Scorer:
    """Run a teacher on prepared segments, one at a time.

    Batches of eight give the same bits and take 9 % less time with the full teacher, but no less with a small one. This
    does not justify a second input shape for the end of each shard.

    Args:
        spec: The model.

    Raises:
        InputError: The model is missing or does not load.
    """

    def __init__(self, spec: ScorerSpec) -> None:
        from ai_edge_litert.interpreter import Interpreter

        model = read_kept(spec.model)
        if model is None:
            raise InputError(f"{spec.model} is missing or damaged", "run the command again to rebuild it")
        try:
            with quiet_stderr():
                self._interpreter = Interpreter(model_content=model, num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"the teacher {spec.name} does not load: {str(error).splitlines()[0]}") from None
        self._spec = spec
        self._in = self._interpreter.get_input_details()[0]
        # The logits are the first output; an exported checkpoint also has its features as an output.
        self._out = self._interpreter.get_output_details()[0]
        found = int(np.prod(self._out["shape"]))
        if found != spec.outputs:
            raise InputError(f"the teacher {spec.name} has {found} outputs, but its description names {spec.outputs}")

    def score(self, segments: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the teacher on segments.

        Args:
            segments: z-scored segments at 500 Hz, ``(n, 5000)``.

        Returns:
            Outputs before any calibration, ``(n, outputs)``.

        Raises:
            InputError: An output is not finite.
        """
        out = np.empty((len(segments), self._spec.outputs), dtype=np.float32)
        scale, zero_point = self._out["quantization"]
        for i, segment in enumerate(segments):
            x = self._quantized(segment)
            self._interpreter.set_tensor(self._in["index"], x.astype(self._in["dtype"]).reshape(self._in["shape"]))
            self._interpreter.invoke()
            raw = self._interpreter.get_tensor(self._out["index"]).reshape(-1).astype(np.float32)
            out[i] = (raw - zero_point) * scale if scale else raw
        if not np.isfinite(out).all():
            raise InputError(
                f"the teacher {self._spec.name} gives values that are not finite", "check that it is the right file"
            )
        return out

    def _quantized(self, segment: NDArray[np.float32]) -> NDArray[np.float32]:
        q = self._spec.quantized
        if q is None:
            return segment
        steps = np.rint(np.clip(segment, -q.clamp, q.clamp) / q.scale) + q.zero_point
        return np.asarray(np.clip(steps, -128, 127), dtype=np.float32)
