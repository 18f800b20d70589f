"""The loss of a quantized model by layer: compare the output of each layer with the float model on the same windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.tf_runtime import quiet_stderr

WORST = 10
"""Number of layers that a report lists."""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """The output of one operation in both models.

    Attributes:
        index: Index in the float model.
        name: Name of the tensor in both models.
        op: Name of the operation.
        sqnr_db: Signal to quantization noise ratio over all windows, dB. The signal is centred, because its mean has
            no information. ``None`` for a constant or not finite layer.
        lost_db: Difference to the lowest ratio of its inputs, dB: the loss of this layer alone.
        saturated: Share of float values outside the range of the quantized tensor.
        finite: Whether all values of both models are finite.
    """

    index: int
    name: str
    op: str
    sqnr_db: float | None
    lost_db: float | None
    saturated: float
    finite: bool


def layer_table(float_model: bytes, quantized: bytes, windows: NDArray[np.float32]) -> list[LayerRow]:
    """Compare two models layer by layer.

    Args:
        float_model: Flatbuffer with float input and output.
        quantized: Flatbuffer of the same model with int8 input and output.
        windows: Windows, ``(n, samples)``, of values that the quantized input can hold.

    Returns:
        One row for each layer that both models have, in order.
    """
    a, b = _Tap(float_model), _Tap(quantized)
    shared = [(i, name, op, inputs) for i, (name, op, inputs) in enumerate(a.layers) if name in b.by_name]
    sums = {name: Sums() for _, name, _, _ in shared}
    for window in windows:
        a.run(window)
        b.run(window)
        for name, total in sums.items():
            total.add(a.value(name), b.value(name), b.limits(name))
    found: dict[str, float | None] = {}
    rows = []
    for i, name, op, inputs in shared:
        found[name] = sums[name].sqnr_db()
        known = [db for n in inputs if (db := found.get(n)) is not None]
        own = found[name]
        lost = min(known) - own if known and own is not None else None
        rows.append(LayerRow(i, name, op, own, lost, sums[name].saturated(), sums[name].finite))
    return rows


def worst_layers(rows: list[LayerRow], count: int = WORST) -> list[LayerRow]:
    """Return the layers with the lowest SQNR; layers that are not finite come first."""
    return sorted(rows, key=lambda r: (r.finite, math.inf if r.sqnr_db is None else r.sqnr_db))[:count]


def costly_layers(rows: list[LayerRow], count: int) -> list[LayerRow]:
    """Return the layers with the largest loss of their own, which are the candidates to keep in float."""
    return sorted(rows, key=lambda r: math.inf if r.lost_db is None else -r.lost_db)[:count]


def short_name(name: str) -> str:
    """Return a readable name of a tensor: the layer that it belongs to."""
    parts = [part for part in name.split(";", maxsplit=1)[0].split("/") if part != "batchnorm"]
    if len(parts) < 2:
        return "".join(parts).replace("__", ".")
    # Keras appends _1 to the layers of a network that is called for the second time.
    return parts[-2].replace("__", ".").removesuffix("_1")


class Sums:
    """Running sums of signal and error over windows."""

    def __init__(self) -> None:
        self.finite = True
        self._n = self._outside = 0
        self._sum = self._squares = self._error = 0.0

    def add(self, a: NDArray[np.float64], b: NDArray[np.float64], limits: tuple[float, float] | None) -> None:
        """Add the values ``a`` of the float form and ``b`` of the other form, whose range is ``limits``."""
        if not (np.all(np.isfinite(a)) and np.all(np.isfinite(b))):
            self.finite = False
            return
        self._n += a.size
        self._sum += float(a.sum())
        self._squares += float((a * a).sum())
        self._error += float(((a - b) ** 2).sum())
        if limits is not None:
            self._outside += int(np.count_nonzero((a < limits[0]) | (a > limits[1])))

    def sqnr_db(self) -> float | None:
        """Return the ratio of centred signal to error, dB; ``None`` for a constant or not finite layer."""
        if not self.finite or not self._n:
            return None
        signal = self._squares - self._sum**2 / self._n
        if signal <= 1e-12 * max(self._squares, 1e-30):
            return None
        return 10.0 * math.log10(signal / max(self._error, 1e-12 * signal))

    def saturated(self) -> float:
        """Return the share of the float values outside the limits."""
        return self._outside / self._n if self._n else 0.0


class _Tap:
    """A model whose tensors can all be read after a run."""

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with quiet_stderr():
            self._interpreter = Interpreter(
                model_content=model,
                num_threads=1,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            self._interpreter.allocate_tensors()
        self._source = self._interpreter.get_input_details()[0]
        details = {int(d["index"]): d for d in self._interpreter.get_tensor_details()}
        self.by_name: dict[str, Any] = {}
        self.layers: list[tuple[str, str, tuple[str, ...]]] = []
        for op in self._interpreter._get_ops_details():  # noqa: SLF001 - no public reader
            name = str(details[int(op["outputs"][0])]["name"])
            inputs = tuple(str(details[int(i)]["name"]) for i in op["inputs"] if int(i) in details)
            # The last writer of a name wins. A DEQUANTIZE or QUANTIZE next to a float layer has another name.
            self.by_name[name] = details[int(op["outputs"][0])]
            self.layers.append((name, str(op["op_name"]), inputs))

    def run(self, window: NDArray[np.float32]) -> None:
        x = window.reshape(self._source["shape"])
        if self._source["dtype"] is np.int8:
            scale, zero_point = self._source["quantization"]
            x = np.clip(np.rint(x / scale) + zero_point, -128, 127).astype(np.int8)
        self._interpreter.set_tensor(self._source["index"], x.astype(self._source["dtype"]))
        self._interpreter.invoke()

    def value(self, name: str) -> NDArray[np.float64]:
        details = self.by_name[name]
        raw: NDArray[np.float64] = self._interpreter.get_tensor(details["index"]).astype(np.float64)
        scale, zero_point = details["quantization"]
        return raw if not scale else (raw - zero_point) * scale

    def limits(self, name: str) -> tuple[float, float] | None:
        details = self.by_name[name]
        scale, zero_point = details["quantization"]
        if not scale:
            return None
        info = np.iinfo(details["dtype"])
        return (float(info.min - zero_point - 0.5) * scale, float(info.max - zero_point + 0.5) * scale)
