"""Quantization-aware training forms of a student.

Three forms share one topology (:func:`convert.compute.students.wire`) and one set of numbers:

* :class:`FloatOps`: weights with batch normalisation, for the first part of the training;
* :class:`QuantOps`: normalisation folded into the weights, fake quantization on weights (symmetric per channel) and on
  every activation with learned ranges, for the second part; with ``export=True`` the weights stay float, because the
  converter quantizes them in exactly this way itself and rejects a per-channel fake quantization of depthwise weights;
* the exported graph (``convert/compute/litert.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.students import (
    INPUT_SCALE,
    OUTPUT_SCALE,
    ConvSpec,
    StudentSpec,
    activation_names,
    convolutions,
    wire,
)
from convert.compute.tf_runtime import load_tensorflow

Weights = dict[str, NDArray[np.float32]]
"""Parameter name -> array, the form in which students are kept, compared and written."""

BN_EPSILON = 1e-3
"""Number added to a variance before the square root; Keras's default."""

BN_MOMENTUM = 0.97
"""Share of the old running statistics kept at each step."""

INPUT_RANGE = (-128 * INPUT_SCALE, 127 * INPUT_SCALE)
"""Fixed range of the input, which gives scale 1/16 and zero point 0."""

OUTPUT_RANGE = (-128 * OUTPUT_SCALE, 127 * OUTPUT_SCALE)
"""Fixed range of the head, which gives scale 1/8 and zero point 0."""

RANGE_TAIL = 5e-4
"""Share of values outside the initial range, at each end. Only clipped values give the range a gradient."""

MIN_RANGE = 0.05
"""Smallest upper end of a learned range, so that a constant tensor cannot give a scale of zero."""


def initial_weights(spec: StudentSpec, n_outputs: int, seed: int) -> Weights:
    """Return He-normal kernels and neutral normalisation, the same for the same seed.

    Args:
        spec: The student.
        n_outputs: Number of heads.
        seed: Any non-negative integer.

    Returns:
        Per convolution ``NAME/kernel`` ``(1, taps, cin, cout)`` (depthwise: ``(1, taps, channels, 1)``), and either
        ``gamma``, ``beta``, ``mean``, ``variance`` or ``bias``, each ``(cout,)``.
    """
    rng = np.random.default_rng([seed, 1])
    weights: Weights = {}
    for c in convolutions(spec, n_outputs):
        fan_in = c.kernel * (c.cin if c.kind == "conv" else 1)
        shape = (1, c.kernel, c.cin, c.cout if c.kind == "conv" else 1)
        gain = 1.0 if c.name == "head" else 2.0
        weights[f"{c.name}/kernel"] = rng.normal(0.0, np.sqrt(gain / fan_in), shape).astype(np.float32)
        if c.norm:
            for part, value in (("gamma", 1.0), ("beta", 0.0), ("mean", 0.0), ("variance", 1.0)):
                weights[f"{c.name}/{part}"] = np.full(c.cout, value, np.float32)
        else:
            weights[f"{c.name}/bias"] = np.zeros(c.cout, np.float32)
    return weights


def fold(spec: StudentSpec, n_outputs: int, weights: Mapping[str, NDArray[np.float32]]) -> Weights:
    """Fold batch normalisation into kernels and biases.

    Args:
        spec: The student.
        n_outputs: Number of heads.
        weights: Weights as :func:`initial_weights` returns them.

    Returns:
        ``NAME/kernel`` and ``NAME/bias`` for every convolution.
    """
    folded: Weights = {}
    for c in convolutions(spec, n_outputs):
        kernel = weights[f"{c.name}/kernel"].astype(np.float64)
        if not c.norm:
            folded[f"{c.name}/kernel"] = kernel.astype(np.float32)
            folded[f"{c.name}/bias"] = weights[f"{c.name}/bias"].astype(np.float32)
            continue
        gamma, beta, mean, var = (
            weights[f"{c.name}/{part}"].astype(np.float64) for part in ("gamma", "beta", "mean", "variance")
        )
        scale = gamma / np.sqrt(var + BN_EPSILON)
        shaped = scale if c.kind == "conv" else scale[:, None]
        folded[f"{c.name}/kernel"] = (kernel * shaped).astype(np.float32)
        folded[f"{c.name}/bias"] = (beta - mean * scale).astype(np.float32)
    return folded


def _convolve(tf: Any, c: ConvSpec, x: Any, kernel: Any) -> Any:
    if c.kind == "conv":
        return tf.nn.conv2d(x, kernel, [1, 1, c.stride, 1], "SAME")
    # Both strides must be equal for a depthwise convolution; the height is 1, so the vertical one changes nothing.
    return tf.nn.depthwise_conv2d(x, kernel, [1, c.stride, c.stride, 1], "SAME")


class FloatOps:
    """Convolution, batch normalisation, RELU6.

    Args:
        spec: The student.
        n_outputs: Number of heads.
        variables: Parameter name -> ``tf.Variable``.
        training: Whether to normalise with the statistics of the batch and to collect the running ones in ``updates``.
        dropout: Optional function on the pooled features.
        averaged: Function that averages over the replicas of a training; ``None`` for a single replica.
    """

    def __init__(
        self,
        spec: StudentSpec,
        n_outputs: int,
        variables: Mapping[str, Any],
        *,
        training: bool,
        dropout: Callable[[Any], Any] | None = None,
        averaged: Callable[[Any], Any] | None = None,
    ) -> None:
        self._tf = load_tensorflow()
        self._convs = {c.name: c for c in convolutions(spec, n_outputs)}
        self._vars = variables
        self._training = training
        self._dropout = dropout
        self._averaged = averaged
        self.updates: dict[str, Any] = {}

    def conv(self, name: str, x: Any) -> Any:
        """Apply the convolution with the name ``name``."""
        tf, c, v = self._tf, self._convs[name], self._vars
        y = _convolve(tf, c, x, v[f"{name}/kernel"])
        if c.norm:
            if self._training:
                mean, var = self._moments(y)
                for part, value in (("mean", mean), ("variance", var)):
                    old = v[f"{name}/{part}"]
                    self.updates[f"{name}/{part}"] = BN_MOMENTUM * old + (1.0 - BN_MOMENTUM) * value
            else:
                mean, var = v[f"{name}/mean"], v[f"{name}/variance"]
            scale = v[f"{name}/gamma"] * tf.math.rsqrt(var + BN_EPSILON)
            y = y * scale + (v[f"{name}/beta"] - mean * scale)
        else:
            y = y + v[f"{name}/bias"]
        return tf.nn.relu6(y) if c.relu6 else y

    def _moments(self, y: Any) -> tuple[Any, Any]:
        """Return mean and variance of each channel over the whole batch of all replicas."""
        tf = self._tf
        if self._averaged is None:
            mean, var = tf.nn.moments(y, [0, 1, 2])
            return mean, var
        both = self._averaged(tf.stack([tf.reduce_mean(y, [0, 1, 2]), tf.reduce_mean(y * y, [0, 1, 2])]))
        return both[0], tf.maximum(both[1] - both[0] * both[0], 0.0)

    def add(self, name: str, a: Any, b: Any) -> Any:  # noqa: ARG002 - the name serves the other forms
        """Return RELU6 of the sum."""
        return self._tf.nn.relu6(a + b)

    def mean(self, name: str, x: Any) -> Any:  # noqa: ARG002 - the name serves the other forms
        """Return the mean over time, with dropout in training."""
        y = self._tf.reduce_mean(x, [1, 2], keepdims=True)
        return self._dropout(y) if self._dropout is not None else y


class QuantOps:
    """Folded convolutions with fake quantization.

    Args:
        spec: The student.
        n_outputs: Number of heads.
        variables: ``NAME/kernel``, ``NAME/bias``, ``NAME/low``, ``NAME/high`` -> variable or array.
        export: Whether to leave the weights float, because the converter quantizes them.
        observe: Whether to run without any quantization, to record activations.
        dropout: Optional function on the pooled features.

    Attributes:
        seen: Activations by name.
    """

    def __init__(
        self,
        spec: StudentSpec,
        n_outputs: int,
        variables: Mapping[str, Any],
        *,
        export: bool = False,
        observe: bool = False,
        dropout: Callable[[Any], Any] | None = None,
    ) -> None:
        self._tf = load_tensorflow()
        self._convs = {c.name: c for c in convolutions(spec, n_outputs)}
        self._vars = variables
        self._export = export
        self._observe = observe
        self._dropout = dropout
        self.seen: dict[str, Any] = {}

    def input(self, x: Any) -> Any:
        """Return the input on its fixed grid, which is the same for every int8 model."""
        return self._tf.quantization.fake_quant_with_min_max_args(x, *INPUT_RANGE, num_bits=8)

    def conv(self, name: str, x: Any) -> Any:
        """Apply the convolution with the name ``name``."""
        tf, c = self._tf, self._convs[name]
        kernel = self._vars[f"{name}/kernel"]
        if not (self._export or self._observe):
            kernel = self._fake_weight(c, kernel)
        y = _convolve(tf, c, x, kernel) + self._vars[f"{name}/bias"]
        return self._range(name, tf.nn.relu6(y) if c.relu6 else y)

    def add(self, name: str, a: Any, b: Any) -> Any:
        """Return RELU6 of the sum."""
        return self._range(name, self._tf.nn.relu6(a + b))

    def mean(self, name: str, x: Any) -> Any:
        """Return the mean over time."""
        y = self._range(name, self._tf.reduce_mean(x, [1, 2], keepdims=True))
        return self._dropout(y) if self._dropout is not None else y

    def _fake_weight(self, c: ConvSpec, kernel: Any) -> Any:
        tf = self._tf
        flat = tf.reshape(kernel, [-1, c.cout])
        # The range follows the weights and gets no gradient of its own, as in the converter.
        top = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(flat), axis=0), 1e-8))
        fake = tf.quantization.fake_quant_with_min_max_vars_per_channel(flat, -top, top, 8, narrow_range=True)
        return tf.reshape(fake, kernel.shape)

    def _range(self, name: str, y: Any) -> Any:
        if not self._observe:
            tf = self._tf
            low, high = OUTPUT_RANGE if name == "head" else (self._vars[f"{name}/low"], self._vars[f"{name}/high"])
            if not self._export:
                high = tf.maximum(high, MIN_RANGE)
            y = tf.quantization.fake_quant_with_min_max_vars(y, low, high, 8)
        self.seen[name] = y
        return y


def post_training_ranges(spec: StudentSpec, n_outputs: int, folded: Weights, windows: NDArray[np.float32]) -> Weights:
    """Add the smallest and the largest value of each activation, for quantization without training.

    The ranges are minimum and maximum, because a moving average would clip R peaks. Arguments and result are those of
    :func:`initial_ranges`.
    """
    return initial_ranges(spec, n_outputs, folded, windows, tail=0.0)


def initial_ranges(
    spec: StudentSpec, n_outputs: int, folded: Weights, windows: NDArray[np.float32], *, tail: float = RANGE_TAIL
) -> Weights:
    """Add initial activation ranges, measured on some windows.

    Args:
        spec: The student.
        n_outputs: Number of heads.
        folded: Folded weights as :func:`fold` returns them.
        windows: Training windows, ``(n, 1, samples, 1)``, z-scores.
        tail: Share of values outside the range at each end.

    Returns:
        ``folded`` plus the scalars ``NAME/low`` and ``NAME/high``, between which almost all values lie. Training moves
        them.
    """
    tf = load_tensorflow()
    ops = QuantOps(spec, n_outputs, {k: tf.constant(v) for k, v in folded.items()}, observe=True)
    wire(spec, ops, ops.input(tf.constant(windows)))
    ranged = dict(folded)
    for name, from_zero in activation_names(spec):
        seen = ops.seen[name].numpy()
        low, high = np.quantile(seen, [tail, 1.0 - tail])
        ranged[f"{name}/low"] = np.array(0.0 if from_zero else min(low, -MIN_RANGE), np.float32)
        ranged[f"{name}/high"] = np.array(max(high, MIN_RANGE), np.float32)
    return ranged


def trainable_names(spec: StudentSpec, weights: Mapping[str, NDArray[np.float32]]) -> tuple[str, ...]:
    """Return the names of the trained entries: all but running statistics and the low end of RELU6 tensors."""
    fixed = {f"{name}/low" for name, from_zero in activation_names(spec) if from_zero}
    return tuple(k for k in weights if k not in fixed and k.rsplit("/", 1)[1] not in ("mean", "variance"))


def quantized_forward(
    spec: StudentSpec, n_outputs: int, weights: Mapping[str, Any], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the logits of the fake-quantized student, the reference for the exported model.

    Args:
        spec: The student.
        n_outputs: Number of heads.
        weights: Folded weights with ranges.
        x: Windows, ``(n, 1, samples, 1)``, z-scores.

    Returns:
        Logits, ``(n, n_outputs)``.
    """
    tf = load_tensorflow()
    ops = QuantOps(spec, n_outputs, {k: tf.constant(v) for k, v in weights.items()})
    logits, _ = wire(spec, ops, ops.input(tf.constant(x)))
    out: NDArray[np.float32] = logits.numpy().reshape(len(x), n_outputs)
    return out


def float_forward(
    spec: StudentSpec, n_outputs: int, folded: Mapping[str, Any], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the logits of the folded student without quantization; see :func:`quantized_forward`."""
    tf = load_tensorflow()
    ops = QuantOps(spec, n_outputs, {k: tf.constant(v) for k, v in folded.items()}, observe=True)
    logits, _ = wire(spec, ops, tf.constant(x))
    out: NDArray[np.float32] = logits.numpy().reshape(len(x), n_outputs)
    return out
