"""Fit a model's inputs and outputs to the runtime: one window of one lead in, one value for each head out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convert.datasets.outputs_file import OutputEntry
from convert.own_model.graph import End, OwnModel
from edge.bundle.schema import FrontEndName
from edge.frontend import ecgfounder, stream
from firmware_bridge.errors import InputError, UsageError

SAMPLES: dict[FrontEndName, int] = {"stream/1": stream.WINDOW_SAMPLES, "ecgfounder/1": ecgfounder.WINDOW_SAMPLES}
"""Samples of ten seconds at the rate of each front end."""

TYPES = ("float32", "int8")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model that fits the runtime.

    Attributes:
        model: The TFLite flatbuffer; the bytes of the file if nothing had to change.
        source: Its input, with a fixed shape.
        sink: Its output.
        changes: Changes to the file, for the report.
    """

    model: bytes
    source: End
    sink: End
    changes: tuple[str, ...]


def fit(model: OwnModel, front_end: FrontEndName, heads: Sequence[OutputEntry], output: str | None) -> Fitted:
    """Fit a model to the runtime, or say which tensor does not fit.

    Args:
        model: The model; edited.
        front_end: Front end of the bundle.
        heads: Description of the heads, in the order of the output.
        output: Name of the output; ``None`` for the only one with a value for each head.

    Raises:
        InputError: An input or output does not fit; the message names it, its type, its shape and what is wanted.
        UsageError: There is no output of that name.
    """
    source = _input(model, front_end)
    shape = _fixed(source, front_end, model.name)
    _check_type(source, "input", model.name)
    sink = _output(model, heads, output)
    changes = []
    if shape != source.shape:
        model.set_input(source.index, shape)
        changes.append(f"input {source} fixed to {list(shape)}")
    logits = _logits(model, sink, heads)
    if logits != sink:
        changes.append(f"output {sink} replaced by {logits}, its values before the sigmoid")
    elif len(model.outputs) > 1:
        others = ", ".join(str(e) for e in model.outputs if e != sink)
        changes.append(f"outputs left out: {others}")
    if logits != sink or len(model.outputs) > 1:
        model.set_output(logits.index)
    _check_type(logits, "output", model.name)
    fixed = End(source.index, source.name, shape, source.type, source.scale, source.zero_point)
    return Fitted(model.packed() if changes else model.data, fixed, logits, tuple(changes))


def _input(model: OwnModel, front_end: FrontEndName) -> End:
    if len(model.inputs) == 1:
        return model.inputs[0]
    shown = "; ".join(map(str, model.inputs[:6])) or "none"
    raise InputError(
        f"{model.name} has {len(model.inputs)} inputs ({shown}), but the device has one for it: the "
        f"{SAMPLES[front_end]} samples of {front_end}",
        "export it with the ECG as its only input",
    )


def _fixed(end: End, front_end: FrontEndName, name: str) -> tuple[int, ...]:
    """Return the shape of an input with every dimension fixed; all but the samples are 1."""
    samples = SAMPLES[front_end]
    known = math.prod(n for n in end.shape if n >= 0)
    free = [i for i, n in enumerate(end.shape) if n < 0]
    shape = [1 if n < 0 else n for n in end.shape]
    # The first free dimension is the batch if there is another one for the samples.
    if free and known == 1 and len(free) <= 2 and (len(free) == 1 or free[0] == 0):
        shape[free[-1]] = samples
    if math.prod(shape) == samples and max(shape, default=0) == samples:
        return tuple(shape)
    raise InputError(f"the input {end} of {name} does not fit: {_why(end, shape, front_end)}", _fix(shape, front_end))


def _why(end: End, shape: Sequence[int], front_end: FrontEndName) -> str:
    samples = SAMPLES[front_end]
    if samples in shape and math.prod(shape) > samples:
        if shape[0] > 1 and math.prod(shape) == samples * shape[0]:
            return f"it takes {shape[0]} windows at once, and the device gives one"
        return f"it takes {math.prod(shape) // samples} leads or channels, and the device gives one lead"
    if math.prod(shape) == samples:
        return f"its {samples} values are not along one dimension"
    if any(n < 0 for n in end.shape) and math.prod(shape) != samples:
        return f"its free dimensions do not tell where the {samples} samples are"
    return f"it takes {math.prod(shape)} values, and ten seconds of {front_end} are {samples} samples"


def _fix(shape: Sequence[int], front_end: FrontEndName) -> str:
    other = next((name for name, n in SAMPLES.items() if name != front_end and n == math.prod(shape)), None)
    if other is not None:
        return f"give --front-end {other}"
    return f"export it for [1, {SAMPLES[front_end]}, 1] or another order of these"


def _output(model: OwnModel, heads: Sequence[OutputEntry], wanted: str | None) -> End:
    if wanted is not None:
        found = [end for end in model.outputs if end.name == wanted]
        if not found:
            raise UsageError(f"{model.name} has no output '{wanted}'", f"it has {_shown(model.outputs)}")
    else:
        found = list(model.outputs)
    fitting = [end for end in found if end.values == len(heads)]
    if not fitting:
        raise InputError(
            f"no output of {model.name} has {len(heads)} values, one for each described head: {_shown(found)}",
            "describe every value of one output, in order",
        )
    if len(fitting) > 1:
        raise InputError(
            f"{len(fitting)} outputs of {model.name} have {len(heads)} values: {_shown(fitting)}",
            "choose one with --output NAME",
        )
    return fitting[0]


def _shown(ends: Sequence[End]) -> str:
    return "; ".join(map(str, ends[:8])) + (f" and {len(ends) - 8} more" if len(ends) > 8 else "")


def _logits(model: OwnModel, sink: End, heads: Sequence[OutputEntry]) -> End:
    """Return the output itself, or what enters the sigmoid that ends the model."""
    maker, source = model.maker_of(sink.index)
    if maker == "SOFTMAX":
        raise InputError(
            f"the output {sink} of {model.name} is a SOFTMAX, but each head is a probability of its own",
            "export the model with one logit for each head",
        )
    if maker != "LOGISTIC":
        return sink
    values = [head["key"] for head in heads if head["kind"] == "value"]
    if values:
        raise InputError(
            f"the output {sink} of {model.name} is a sigmoid, but the head '{values[0]}' is described as a value",
            "describe it as a probability, or export the model without the sigmoid",
        )
    return model.end(source)


def _check_type(end: End, what: str, name: str) -> None:
    if end.type not in TYPES:
        raise InputError(f"the {what} {end} of {name} does not fit: wanted is float32 or int8", "export it anew")
    if end.type == "int8" and end.scale is None:
        raise InputError(f"the {what} {end} of {name} has no scale", "quantize it with one scale for the whole tensor")
