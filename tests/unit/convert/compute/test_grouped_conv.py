"""The grouped convolution: both forms give the same numbers and gradients as a written-out reference."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.checkpoint.net1d import Net1D
from convert.compute.grouped_conv import GroupedConv, keras, tf
from firmware_bridge.errors import UsageError


def oracle(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int, groups: int) -> np.ndarray:
    batch, _, n, _ = x.shape
    taps, width, filters = kernel.shape[1:]
    out = -(-n // stride)
    pad = max(0, (out - 1) * stride + taps - n)
    padded = np.pad(x[:, 0], ((0, 0), (pad // 2, pad - pad // 2), (0, 0)))
    y = np.zeros((batch, 1, out, filters))
    each = filters // groups
    for f in range(filters):
        g = f // each
        for t in range(out):
            patch = padded[:, t * stride : t * stride + taps, g * width : (g + 1) * width]
            y[:, 0, t, f] = (patch * kernel[0, :, :, f]).sum((1, 2)) + bias[f]
    return y


@pytest.mark.parametrize(
    ("n", "taps", "stride", "groups"), [(11, 4, 2, 3), (10, 4, 2, 2), (7, 5, 3, 6), (9, 1, 1, 1), (1, 16, 2, 2)]
)
def test_both_forms_equal_the_definition(n: int, taps: int, stride: int, groups: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.standard_normal((2, 1, n, 12)).astype(np.float32)
    layer = GroupedConv(18, taps, stride, groups)
    layer.build(x.shape)
    layer.set_weights([rng.standard_normal(w.shape).astype(np.float32) for w in layer.weights])
    expected = oracle(x, *layer.get_weights(), stride, groups)
    assert layer.compute_output_shape(x.shape) == expected.shape
    for form in ("native", "split", "auto"):
        layer.form = form
        np.testing.assert_allclose(layer(x), expected, atol=1e-4)
        np.testing.assert_allclose(layer(x, training=True), expected, atol=1e-4)


def test_both_forms_have_the_same_gradients() -> None:
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((2, 1, 20, 8)).astype(np.float32))
    layer = GroupedConv(8, 5, 2, 4)
    layer.build(x.shape)
    found = []
    for form in ("native", "split"):
        layer.form = form
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) ** 2)
        found.append(tape.gradient(loss, [x, *layer.trainable_weights]))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_training_selects_the_fast_form_automatically() -> None:
    layer = GroupedConv(8, 3, 1, 4)
    graph = {}
    for training in (False, True):
        function = tf.function(lambda x, t=training: layer(x, training=t))
        concrete = function.get_concrete_function(tf.TensorSpec([1, 1, 8, 8]))
        graph[training] = sum(op.type == "Conv2D" for op in concrete.graph.get_operations())
    assert graph == {False: 1, True: 4}


def test_form_is_switched_for_the_whole_network() -> None:
    model = Net1D(1, 4, 1, (4, 8), (1, 1), 3, 2, 2, 1, length=16)
    x = np.ones((1, 16, 1), np.float32)
    before = np.asarray(model(x)["logits"])
    model.set_form("split")
    assert {layer.form for layer in model.core.layers if isinstance(layer, GroupedConv)} == {"split"}
    np.testing.assert_allclose(model(x)["logits"], before, atol=1e-6)
    with pytest.raises(UsageError):
        model.set_form("fast")  # type: ignore[arg-type]


def test_config_gives_the_same_layer() -> None:
    layer = GroupedConv(8, 3, 2, 4, "split", name="g")
    again = GroupedConv.from_config(layer.get_config())
    assert (again.filters, again.kernel_size, again.stride, again.groups, again.form) == (8, 3, 2, 4, "split")
    assert isinstance(again, keras.layers.Layer)
