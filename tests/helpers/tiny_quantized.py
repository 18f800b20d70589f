"""A tiny residual network whose channels differ in loudness, calibrated on smooth noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.tf_runtime import quiet_stderr
from convert.foundation.export import calibrated_flatbuffer, float_flatbuffer, int8_input, with_ranges

SAMPLES = 250
CLAMP = 16.0
OUTPUTS = 5


def tiny_windows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Return smooth noise in steps of the int8 input, ``(count, SAMPLES)``."""
    noise = np.random.default_rng(seed).standard_normal((count, SAMPLES + 8)).cumsum(axis=1)
    smooth = noise[:, 8:] - noise[:, :-8]
    source = int8_input(CLAMP, SAMPLES)
    return source.to_values(source.to_steps(smooth / smooth.std())).astype(np.float32)


def tiny_core(windows: NDArray[np.float32], seed: int = 3) -> Any:
    """Return the core of a network with batch normalisation of these windows and channels of different loudness."""
    import keras

    from convert.checkpoint.net1d import Net1D

    keras.utils.set_random_seed(seed)
    net = Net1D(1, 16, 1.0, (16, 24), (2, 2), 8, 2, 8, OUTPUTS, True, length=SAMPLES, form="native")
    draw = np.random.default_rng(seed)
    for layer in net.core.layers:
        if layer.name.endswith("conv3__conv"):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * np.exp(draw.normal(0, 1.2, kernel.shape[-1])), bias])
    norms = [layer for layer in net.core.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    net.core(windows.reshape(-1, 1, SAMPLES, 1), training=True)
    return net.core


def tiny_calibrated(count: int = 24) -> bytes:
    """Return the calibrated model."""
    windows = tiny_windows(count)
    with quiet_stderr():
        return with_input_range(calibrated_flatbuffer(float_flatbuffer(tiny_core(windows), SAMPLES), windows))


def with_input_range(calibrated: bytes) -> bytes:
    """Return a calibrated model with the range of the int8 input."""
    return with_ranges(calibrated, int8_input(CLAMP, SAMPLES))
