"""Model inputs as numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def as_float(inputs: NDArray[np.int8]) -> NDArray[np.float32]:
    """Model inputs as the z-scores they stand for, float32 of the same shape."""
    return inputs.astype(np.float32) / np.float32(16.0)
