"""Wrapping frame numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.decoding.numbered import Numbered


def test_numbers_are_unwrapped_and_missing_ones_counted() -> None:
    counter = Numbered(16)
    unwrapped, missing = counter.place(np.array([13, 14, 1, 1, 2], dtype=np.uint8))
    assert unwrapped.tolist() == [13, 14, 17, 33, 34]
    assert missing.tolist() == [0, 0, 2, 15, 0]
    assert (unwrapped.dtype, missing.dtype) == (np.int64, np.int64)
    unwrapped, missing = counter.place(np.array([5, 6], dtype=np.uint8))
    assert (unwrapped.tolist(), missing.tolist()) == ([37, 38], [2, 0])


def test_frames_that_follow_each_other_are_placed_the_same_without_arrays() -> None:
    counter = Numbered(256)
    assert counter.follow(250, 10) == (250, 0)
    assert counter.follow(4, 3) == (260, 0)
    assert counter.follow(9, 1) == (265, 2)
    assert counter.place(np.array([10]))[0].tolist() == [266]


def test_the_first_frame_misses_nothing_and_so_does_the_first_after_forgetting() -> None:
    counter = Numbered(16)
    assert counter.follow(9, 1, damaged=100.0) == (9, 0)
    counter.forget()
    assert counter.follow(3, 1) == (3, 0)
    assert counter.follow(4, 1) == (4, 0)


@pytest.mark.parametrize(
    ("number", "damaged", "missing"),
    [(5, 0.0, 1), (5, 8.9, 1), (5, 9.1, 17), (5, 17.0, 17), (5, 25.1, 33), (3, 0.0, 15), (3, 7.0, 15), (4, 8.1, 16)],
)
def test_damage_tells_how_often_the_number_went_round(number: int, damaged: float, missing: int) -> None:
    for counter in (Numbered(16), Numbered(16)):
        counter.follow(3, 1)
    assert counter.follow(number, 2, damaged) == (4 + missing, missing)
    other = Numbered(16)
    other.follow(3, 1)
    unwrapped, steps = other.place(np.array([number, number + 1]), damaged)
    assert (unwrapped.tolist(), steps.tolist()) == ([4 + missing, 5 + missing], [missing, 0])
