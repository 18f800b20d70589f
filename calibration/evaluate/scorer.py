"""Run the LiteRT model of a teacher on prepared segments, in any process that can read the model file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.compute.tf_runtime import quiet_stderr
from convert.teacher.open import ModelEnds, read_kept, write_kept
from edge.model import open_model
from firmware_bridge.errors import InputError


@dataclass(frozen=True, slots=True)
class ScorerSpec:
    """A LiteRT model on disk; a process on any machine with the same files can load it.

    Attributes:
        model: File with the SHA-256 of the flatbuffer, then the flatbuffer.
        name: Name for messages.
        outputs: Number of outputs.
        ends: Input and output of a bundle's model; ``None`` for a checkpoint.
    """

    model: Path
    name: str
    outputs: int
    ends: ModelEnds | None


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
        model = read_kept(spec.model)
        if model is None:
            raise InputError(f"{spec.model} is missing or damaged", "run the command again to rebuild it")
        self._run, found = _float_runner(model, spec.name) if spec.ends is None else _runner(model, spec.ends)
        self._spec = spec
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
        for i, segment in enumerate(segments):
            out[i] = self._run(segment)
        if not np.isfinite(out).all():
            raise InputError(
                f"the teacher {self._spec.name} gives values that are not finite", "check that it is the right file"
            )
        return out


_Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def _float_runner(model: bytes, name: str) -> tuple[_Run, int]:
    """Return a function that runs one segment, and the number of outputs."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        with quiet_stderr():
            interpreter = Interpreter(model_content=model, num_threads=1)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"the teacher {name} does not load: {str(error).splitlines()[0]}") from None
    source = interpreter.get_input_details()[0]
    # The logits are the first output; an exported checkpoint also has its features as an output.
    sink = interpreter.get_output_details()[0]

    def run(segment: NDArray[np.float32]) -> NDArray[np.float32]:
        interpreter.set_tensor(source["index"], segment.astype(np.float32).reshape(source["shape"]))
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(sink["index"]), dtype=np.float32).reshape(-1)

    return run, int(np.prod(sink["shape"]))


def _runner(model: bytes, ends: ModelEnds) -> tuple[_Run, int]:
    loaded = open_model(model, ends.source, ends.sink)
    return lambda segment: ends.sink.to_values(loaded.run(ends.steps(segment))).astype(np.float32), ends.sink.width
