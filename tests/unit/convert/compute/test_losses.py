"""Huber's loss against its definition."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")

from convert.compute.losses import HUBER_AT, huber


def test_huber_is_squared_up_to_its_limit_and_linear_beyond() -> None:
    error = np.float32([-9.0, -3.0, -1.5, 0.0, 0.3, 3.0, 6.0])
    expected = [2.5, 0.5, 0.125, 0.0, 0.005, 0.5, 1.5]
    np.testing.assert_allclose(huber(error).numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(huber(error, HUBER_AT).numpy(), np.multiply(expected, 3.0), rtol=1e-6)
