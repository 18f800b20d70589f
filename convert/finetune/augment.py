"""Augmentation of a training segment, as in the nearest published recipe (shunxio/AnyECG-CCTA, train.py).

The augmentation of AnyECG-Lab is not published; this recipe is from the next work of its first author. Segments are
z-scores, so sizes are in standard deviations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import UsageError

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Chance and size of each change.

    Attributes:
        roll: Chance of a circular shift.
        roll_share: Largest shift, as a share of the segment.
        scale: Chance of a change of the amplitude.
        scale_by: Largest relative change of the amplitude.
        noise: Chance of white noise.
        noise_sd: Standard deviation of the noise.
        noise_clamp: Largest absolute value of the noise.
        mask: Chance of a stretch of zeros.
        mask_share: Shortest and longest stretch of zeros, as a share of the segment.
        shape: Chance of a change of the wave shapes; not a part of the published recipe, and 0 by default.
        shape_size: Largest norm of the random part of the filter that changes the shapes; its centre tap is 1.
    """

    roll: float = 0.8
    roll_share: float = 0.1
    scale: float = 0.8
    scale_by: float = 0.1
    noise: float = 0.5
    noise_sd: float = 0.02
    noise_clamp: float = 0.1
    mask: float = 0.3
    mask_share: tuple[float, float] = (0.02, 0.1)
    shape: float = 0.0
    shape_size: float = 1.0

    def __post_init__(self) -> None:
        chances = (self.roll, self.scale, self.noise, self.mask, self.shape)
        shares = (*chances, self.roll_share, self.scale_by, *self.mask_share)
        if not all(0.0 <= s <= 1.0 for s in shares) or self.mask_share[0] > self.mask_share[1]:
            raise UsageError("chances and shares of the augmentation must be 0 to 1")
        if not 0.0 <= self.shape_size <= 4.0:
            raise UsageError(f"--reshape-size is {self.shape_size:g}", "give 0 to 4")


def intensity(epoch: int, epochs: int) -> float:
    """Return the intensity of the augmentation in an epoch: a cosine from 1 in the first to 0.5 in the last epoch."""
    return 0.75 + 0.25 * math.cos(math.pi * min(1.0, epoch / max(1, epochs - 1)))


def augment(segment: F32, rng: np.random.Generator, options: Augmentation, strength: float) -> F32:
    """Return an augmented copy of a segment.

    Args:
        segment: The segment, ``(n,)``.
        rng: Random generator of this segment in this epoch.
        options: Chances and sizes.
        strength: Factor of the sizes, 0 to 1.

    Returns:
        The augmented segment, ``(n,)`` float32.
    """
    n = len(segment)
    chance, u = rng.random(4), rng.random(4)
    x = segment
    if options.shape and rng.random() < options.shape:
        x = _reshaped(x, rng, options.shape_size * strength)
    if chance[0] < options.roll:
        x = np.roll(x, round((2 * u[0] - 1) * options.roll_share * strength * n))
    if chance[1] < options.scale:
        x = x * np.float32(1.0 + (2 * u[1] - 1) * options.scale_by * strength)
    if chance[2] < options.noise:
        sd = np.float32(options.noise_sd * strength)
        noise = rng.standard_normal(n, dtype=np.float32) * sd
        x = x + np.clip(noise, -options.noise_clamp, options.noise_clamp)
    if chance[3] < options.mask:
        low, high = options.mask_share
        length = round((low + (high - low) * u[2]) * strength * n)
        start = int(u[3] * (n - length + 1))
        x = x.copy()
        x[start : start + length] = 0.0
    return np.asarray(x, dtype=np.float32)


SHAPE_TAPS = 61
"""Length of the filter that changes the wave shapes: 60 ms to each side, so that the intervals between waves are kept.
"""


def _reshaped(x: F32, rng: np.random.Generator, size: float) -> F32:
    """Change the shape of all waves with a random filter, but not the intervals or the rate.

    A network that is trained on few patients can recognise each of them by their wave shapes; this prevents it.
    """
    added = np.convolve(rng.standard_normal(SHAPE_TAPS), np.hanning(9), "same") * np.hanning(SHAPE_TAPS)
    added *= size * rng.random() / np.linalg.norm(added)
    added[SHAPE_TAPS // 2] += 1.0
    y = np.convolve(x, added, "same")
    return np.asarray((y - y.mean()) / max(float(y.std()), 1e-6), dtype=np.float32)
