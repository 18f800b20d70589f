"""Records into training windows, through the front end of the device itself.

Parity between training and use holds by construction: the stream comes from :class:`edge.frontend_stream.StreamFilter`
and every window from :func:`edge.frontend_stream.window_input_int8`, the very code that runs on the Pi. Streams are
kept whole, and windows are cut at a new place in every epoch, so that a student sees no fixed alignment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.frontend_stream import FS_HZ, WINDOW_SAMPLES, StreamFilter, window_input_int8
from firmware_bridge.errors import InputError

PUSH_SAMPLES = 5000
"""Samples handed to the filter at once; its output does not depend on this."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is added to a training window, in units of that window's standard deviation.

    Gain is not among them: the z-score removes it. Polarity is fixed by the electrode positions of the demonstration.

    Attributes:
        noise_sd: Largest white noise (muscle, electronics).
        wander_sd: Largest slow sine, 0.15 to 0.6 Hz (breathing, movement), as far as the filter lets it pass.
        burst_sd: Largest band-limited burst over one or two seconds (motion).
        probability: Chance of each of the three, window by window.
    """

    noise_sd: float = 0.12
    wander_sd: float = 0.3
    burst_sd: float = 0.6
    probability: float = 0.35


def stream_of(samples_mv: NDArray[np.floating], fs_hz: int) -> NDArray[np.float32]:
    """Filter a gap-free record as the device does.

    Args:
        samples_mv: Shape ``(n,)``, in millivolts or any other unit, uniformly sampled.
        fs_hz: 250 or 500.

    Returns:
        The 125 Hz stream, float32, shorter by the filter's warm-up (2.2 s).

    Raises:
        InputError: The record is too short for a single window, or holds values that are no numbers.
    """
    x = np.asarray(samples_mv, dtype=np.float64)
    if not np.all(np.isfinite(x)):
        raise InputError("a training record holds values that are not finite")
    stream = StreamFilter(grid_hz=fs_hz)
    parts = [stream.push(x[i : i + PUSH_SAMPLES]) for i in range(0, len(x), PUSH_SAMPLES)]
    out = np.concatenate(parts) if parts else np.empty(0)
    if len(out) < WINDOW_SAMPLES:
        raise InputError(f"a training record of {len(x) / fs_hz:.1f} s is too short", "12.3 s are needed")
    return out.astype(np.float32)


def fixed_windows(stream: NDArray[np.float32], count: int) -> NDArray[np.int8]:
    """Evenly spaced windows of one stream, for validation and calibration.

    Args:
        stream: Shape ``(n,)`` at 125 Hz.
        count: How many; they overlap where the stream is short.

    Returns:
        Model inputs, int8 ``(count, 1, 1250, 1)``.
    """
    starts = np.linspace(0, len(stream) - WINDOW_SAMPLES, count).astype(int)
    cut = np.stack([stream[s : s + WINDOW_SAMPLES] for s in starts]).astype(np.float64)
    return window_input_int8(cut)[:, None, :, None]


def random_windows(
    streams: NDArray[np.float32], rng: np.random.Generator, augmentation: Augmentation | None
) -> NDArray[np.int8]:
    """One window of each stream at a random place.

    Args:
        streams: Shape ``(k, n)`` at 125 Hz.
        rng: Decides places and noise.
        augmentation: What to add; ``None`` for nothing.

    Returns:
        Model inputs, int8 ``(k, 1, 1250, 1)``.
    """
    k, n = streams.shape
    starts = rng.integers(0, n - WINDOW_SAMPLES + 1, size=k)
    columns = starts[:, None] + np.arange(WINDOW_SAMPLES)[None, :]
    cut = np.take_along_axis(streams, columns, axis=1).astype(np.float64)
    if augmentation is not None:
        cut = augment(cut, rng, augmentation)
    return window_input_int8(cut)[:, None, :, None]


def augment(windows: NDArray[np.float64], rng: np.random.Generator, options: Augmentation) -> NDArray[np.float64]:
    """Add noise, slow wander and bursts.

    Args:
        windows: Shape ``(k, 1250)``.
        rng: Source of all chance.
        options: Sizes and probability.

    Returns:
        The same shape.
    """
    k, n = windows.shape
    sd = windows.std(axis=1, keepdims=True)
    chosen = rng.random((3, k, 1)) < options.probability
    size = rng.random((3, k, 1)) * chosen * sd
    t = np.arange(n)[None, :] / FS_HZ
    white = rng.standard_normal((k, n))
    wander = np.sin(2 * np.pi * (rng.uniform(0.15, 0.6, (k, 1)) * t + rng.random((k, 1))))
    shaped = np.cumsum(rng.standard_normal((k, n + 25)), axis=1)
    shaped = (shaped[:, 25:] - shaped[:, :-25]) / 5.0
    centre, width = rng.uniform(0, n / FS_HZ, (k, 1)), rng.uniform(0.3, 0.8, (k, 1))
    burst = shaped * np.exp(-0.5 * ((t - centre) / width) ** 2)
    noise = size[0] * options.noise_sd * white + size[1] * options.wander_sd * wander
    return np.asarray(windows + noise + size[2] * options.burst_sd * burst, dtype=np.float64)


def as_float(inputs: NDArray[np.int8]) -> NDArray[np.float32]:
    """Model inputs as the z-scores they stand for, float32 of the same shape."""
    return inputs.astype(np.float32) / np.float32(16.0)
