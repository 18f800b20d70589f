"""The int8 input of the foundation tier by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge.frontend.ecgfounder import BAND, CLAMP, FS_HZ, NOTCH, WINDOW_SAMPLES, EcgFounderFrontEnd, quantized


def test_the_shape_and_the_clamp_are_those_of_the_teacher() -> None:
    assert (FS_HZ, WINDOW_SAMPLES, CLAMP) == (500.0, 5000, 16.0)
    assert (NOTCH.pad, BAND.pad) == (9, 27)


@pytest.mark.parametrize(
    ("scale", "zero_point", "clamp", "expected"),
    [
        (0.125, 0, 16.0, [-128, -128, -10, 0, 10, 127, 127]),
        (0.5, 0, 16.0, [-32, -32, -2, 0, 2, 32, 32]),
        (0.5, 100, 16.0, [68, 68, 98, 100, 102, 127, 127]),
        (0.5, -100, 16.0, [-128, -128, -102, -100, -98, -68, -68]),
        (0.5, 3, 8.0, [-13, -13, 1, 3, 5, 19, 19]),
    ],
)
def test_a_window_is_clamped_scaled_and_kept_within_int8(
    scale: float, zero_point: int, clamp: float, expected: list[int]
) -> None:
    z = np.array([-50.0, -16.0, -1.2, 0.1 * scale, 1.2, 16.0, 50.0])
    kept = z.copy()
    found = quantized(z, scale, zero_point, clamp)
    assert found.dtype == np.int8
    assert found.tolist() == expected
    assert np.array_equal(z, kept)


def test_a_window_comes_out_with_mean_zero_and_spread_one_whatever_its_unit() -> None:
    x = np.random.default_rng(0).standard_normal(5000)
    front_end = EcgFounderFrontEnd()
    z = front_end(x)
    assert (z.shape, z.dtype) == ((5000,), np.float64)
    assert (float(np.mean(z)), float(np.std(z))) == (pytest.approx(0.0, abs=1e-12), pytest.approx(1.0, abs=1e-6))
    assert front_end(1000.0 * x) == pytest.approx(z, abs=1e-5)
    assert np.array_equal(front_end(np.zeros(5000)), np.zeros(5000))
