"""Ends of a model: steps, rounding, the coarser copies of an int8 output, and what a manifest may say of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge.bundle.tensors import Coarse, TensorSpec, parse_tensor
from edge.bundle.typed_json import Reader
from firmware_bridge.errors import BundleError

FLOAT = TensorSpec((1, 1, 1, 3), 1.0 / 1024.0, 0, "float32")
DOUBLE = TensorSpec((1, 1, 1, 6), 1.0 / 64.0, 0, "int8", Coarse(3, 5))
VALID = {"dtype": "int8", "shape": [1, 6], "scale": 0.1, "zero_point": 0}


def test_a_float_tensor_is_counted_in_int16_steps() -> None:
    steps = FLOAT.to_steps(np.array([0.5, -31.0, 99.0, -99.0]))
    assert steps.dtype == np.int16
    assert steps.tolist() == [512, -31744, 32767, -32768]
    np.testing.assert_array_equal(FLOAT.to_values(steps[:2]), [0.5, -31.0])


@given(hnp.arrays(np.float64, (4, 3), elements=st.floats(-9.9, 9.9)))
def test_coarse_copies_extend_the_range(values: np.ndarray) -> None:
    fine = np.clip(np.rint(values * 64), -128, 127)
    copies = np.clip(np.rint(values * 64 / 5), -128, 127)
    raw = np.concatenate([fine, copies], axis=1).astype(np.int8)
    found = DOUBLE.to_values(DOUBLE.joined(raw))
    inside = np.abs(values) < 1.97
    np.testing.assert_allclose(found[inside], values[inside], atol=0.5 / 64 + 1e-9)
    np.testing.assert_allclose(found, values, atol=3.0 / 64 + 1e-9)


@given(st.floats(-9.9, 9.9), st.floats(-9.9, 9.9))
def test_joined_outputs_keep_the_order(a: float, b: float) -> None:
    low, high = sorted((a, b))
    steps = []
    for value in (low, high):
        fine, copy = (int(np.clip(np.rint(value * 64 / r), -128, 127)) for r in (1, 5))
        steps.append(int(DOUBLE.joined(np.array([fine, 0, 0, copy, 0, 0], np.int8))[0]))
    assert steps[0] <= steps[1]


def test_an_output_without_copies_is_unchanged() -> None:
    raw = np.array([-128, 0, 127], np.int8)
    assert TensorSpec((1, 3), 0.1, 0).joined(raw) is raw
    assert DOUBLE.width == 3
    assert DOUBLE.steps_dtype is np.int16


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"dtype": "float16"}, "dtype"),
        ({"dtype": "float32", "zero_point": 1}, "zero_point"),
        ({"zero_point": 200}, "zero_point"),
        ({"scale": 0.0}, "scale"),
        ({"scale": -1.0}, "scale"),
        ({"coarse": {"first": 2, "ratio": 5}}, "coarse.first"),
        ({"coarse": {"first": 3, "ratio": 1}}, "coarse.ratio"),
        ({"coarse": {"first": 3, "ratio": 1000}}, "coarse.ratio"),
        ({"coarse": {"first": 3}}, "'ratio' is missing"),
        ({"dtype": "float32", "coarse": {"first": 3, "ratio": 5}}, "coarse.first"),
    ],
)
def test_impossible_tensors_are_refused(change: dict[str, Any], what: str) -> None:
    with pytest.raises(BundleError, match=what):
        parse_tensor(Reader({**VALID, **change}, "output"), any_form=True)


def test_the_first_schema_knows_int8_only() -> None:
    with pytest.raises(BundleError, match="dtype"):
        parse_tensor(Reader({**VALID, "dtype": "float32"}, "output"), any_form=False)
    assert parse_tensor(Reader({**VALID, "coarse": {"first": 3, "ratio": 5}}, "output"), any_form=False).coarse is None
