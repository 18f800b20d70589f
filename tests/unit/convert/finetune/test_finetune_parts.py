"""The parts of a training: batches that depend on seed and epoch only, masks, weights, schedule, augmentation."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.finetune.augment import Augmentation, augment, intensity
from convert.finetune.batches import Rows, drawn_rows, epoch_order, evenly, spread_rows
from firmware_bridge.errors import UsageError


def rows_of(counts: list[int]) -> Rows:
    shard = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    row = np.concatenate([np.arange(n, dtype=np.int32) for n in counts])
    return Rows(shard, row, tuple(f"s{i}" for i in range(len(counts))))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any), st.integers(0, 9), st.integers(1, 50))
def test_an_epoch_reads_every_segment_once_in_random_order(counts, epoch, pool):
    import convert.finetune.batches as module

    rows = rows_of(counts)
    before, module.POOL_SEGMENTS = module.POOL_SEGMENTS, pool
    try:
        order = epoch_order(rows, [1, epoch])
        again = epoch_order(rows, [1, epoch])
    finally:
        module.POOL_SEGMENTS = before
    np.testing.assert_array_equal(np.sort(order), np.arange(len(rows)))
    np.testing.assert_array_equal(order, again)
    # The segments of a pool stay together, so that reading is local.
    shards = [int(s) for s in dict.fromkeys(rows.shard[order].tolist())]
    assert set(shards) == {i for i, n in enumerate(counts) if n}


def test_epochs_differ():
    rows = rows_of([50, 50])
    assert (epoch_order(rows, [1, 0]) != epoch_order(rows, [1, 1])).any()
    assert (epoch_order(rows, [1, 0]) != epoch_order(rows, [2, 0])).any()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(1, 6), st.integers(1, 40))
def test_validation_segments_are_spread_over_visits(visits, per_visit, most):
    visit = np.array(visits)
    rows = rows_of([len(visit)])
    kept = spread_rows(rows, visit, per_visit, 10**9).row
    assert len(np.unique(kept)) == len(kept)
    for number in np.unique(visit):
        mine = np.flatnonzero(visit == number)
        taken = np.intersect1d(mine, kept)
        assert len(taken) == min(len(mine), per_visit)
    assert len(spread_rows(rows, visit, per_visit, most)) == min(most, len(kept))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(0, 6), st.integers(0, 3))
def test_the_same_number_of_segments_is_drawn_from_each_visit(visits, per_visit, epoch):
    visit = np.array(visits)
    rows = rows_of([len(visit)])
    kept = drawn_rows(rows, visit, per_visit, [1, epoch]).row
    assert (np.diff(kept) > 0).all()
    for number in np.unique(visit):
        mine = np.flatnonzero(visit == number)
        assert len(np.intersect1d(mine, kept)) == (len(mine) if not per_visit else min(len(mine), per_visit))


def test_another_epoch_draws_other_segments():
    visit = np.zeros(100, int)
    rows = rows_of([100])
    assert (drawn_rows(rows, visit, 5, [1, 0]).row != drawn_rows(rows, visit, 5, [1, 1]).row).any()


@given(st.integers(1, 60), st.integers(1, 60))
def test_evenly_keeps_both_ends(n, most):
    kept = evenly(np.arange(n), most)
    assert len(kept) == min(n, most)
    assert kept[0] == 0
    assert most == 1 or kept[-1] == n - 1


def segment() -> np.ndarray:
    x = np.random.default_rng(3).standard_normal(5000).cumsum()
    return ((x - x.mean()) / x.std()).astype(np.float32)


def only(**chance: float) -> Augmentation:
    return Augmentation(**{"roll": 0.0, "scale": 0.0, "noise": 0.0, "mask": 0.0, **chance})


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_each_augmentation_has_its_effect(strength):
    x = segment()
    for seed in range(30):
        rng = partial(np.random.default_rng, seed)
        np.testing.assert_array_equal(augment(x, rng(), only(), strength), x)
        rolled = augment(x, rng(), only(roll=1.0), strength)
        np.testing.assert_array_equal(np.sort(rolled), np.sort(x))
        shift = next(k for k in range(-501, 502) if np.array_equal(np.roll(x, k), rolled))
        assert abs(shift) <= 500 * strength
        ratio = augment(x, rng(), only(scale=1.0), strength) / x
        assert np.ptp(ratio) < 1e-5
        assert abs(ratio[0] - 1) <= 0.1 * strength + 1e-6
        added = augment(x, rng(), only(noise=1.0), strength) - x
        assert np.abs(added).max() <= 0.1 + 1e-6
        assert added.std() == pytest.approx(0.02 * strength, rel=0.1)
        zeros = np.flatnonzero(augment(x, rng(), only(mask=1.0), strength) == 0.0)
        assert 99 * strength <= len(zeros) <= 501 * strength
        assert np.ptp(zeros) == len(zeros) - 1
    assert x.flags.owndata
    np.testing.assert_array_equal(x, segment())


def test_a_change_of_shape_keeps_the_intervals():
    """Two pulses change their shape in the same way, and keep their distance."""
    x = np.zeros(5000, np.float32)
    x[[1000, 1400]] = 10.0
    y = augment(x, np.random.default_rng(4), only(shape=1.0), 1.0)
    first, second = y[940:1061], y[1340:1461]
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert np.abs(first).argmax() in range(30, 91)
    assert y.std() == pytest.approx(1.0, abs=1e-3)
    assert np.corrcoef(x, y)[0, 1] < 0.999


def test_the_size_of_a_change_of_shape_is_limited():
    x = segment()

    def change(size: float) -> float:
        drawn = (augment(x, np.random.default_rng(seed), only(shape=1.0, shape_size=size), 1.0) for seed in range(20))
        return float(np.mean([1.0 - np.corrcoef(x, y)[0, 1] for y in drawn]))

    assert change(0.0) < 1e-6
    assert change(0.0) < change(0.5) < change(1.0) < change(2.0)
    for size in (-0.1, 4.1, float("nan")):
        with pytest.raises(UsageError, match="--reshape-size is"):
            only(shape=1.0, shape_size=size)


def test_intensity_falls_from_one_to_a_half():
    assert intensity(0, 10) == 1.0
    assert intensity(9, 10) == pytest.approx(0.5)
    assert intensity(0, 1) == 1.0


def test_chances_are_checked():
    for bad in ({"roll": 1.1}, {"mask_share": (0.5, 0.1)}, {"noise": -0.1}):
        with pytest.raises(UsageError):
            Augmentation(**bad)


def test_the_rate_rises_and_falls_as_published():
    pytest.importorskip("tensorflow")
    from convert.finetune.step import Schedule

    schedule = Schedule(3e-5, 1000)
    rates = np.array([schedule.rate(i) for i in range(1000)])
    assert rates.argmax() in range(99, 102)
    assert rates.max() == pytest.approx(3e-5)
    assert rates[0] == pytest.approx(3e-7)
    assert rates[-1] == pytest.approx(3e-7, rel=0.01)
    assert (np.diff(rates[:100]) > 0).all()
    assert (np.diff(rates[101:]) < 0).all()


def weights_of(heads: int, **changed):
    from convert.finetune.loss import HeadWeights

    ones = np.ones(heads, np.float32)
    given = {"known": ones, "positive": ones, "prior": 0.5 * ones, "is_value": np.zeros(heads, bool), **changed}
    return HeadWeights(*(given[name] for name in ("known", "positive", "prior", "is_value")))


def test_unknown_labels_have_no_loss_and_no_gradient():
    tf = pytest.importorskip("tensorflow")
    from convert.finetune.loss import segment_losses

    weights = weights_of(3, is_value=np.array([False, False, True]))
    y = tf.constant([[1.0, np.nan, np.nan], [np.nan] * 3, [0.0, 1.0, 2.5]])
    logits = tf.Variable(np.array([[0.3, 9.0, -9.0], [50.0, -50.0, 1e6], [-1e-3, 1e-3, 2.5]], np.float32))
    with tf.GradientTape() as tape:
        loss = segment_losses(weights, logits, y)
    gradient = tape.gradient(loss, logits).numpy()
    np.testing.assert_allclose(loss.numpy(), [np.log1p(np.exp(-0.3)) / 3, 0.0, 2 * np.log(2) / 3], rtol=1e-3)
    assert (gradient != 0).tolist() == [[True, False, False], [False] * 3, [True, True, False]]


def test_large_errors_of_values_count_linearly():
    tf = pytest.importorskip("tensorflow")
    from convert.compute.losses import HUBER_AT
    from convert.finetune.loss import segment_losses

    weights = weights_of(1, is_value=np.array([True]))
    off = np.array([0.5, 1.0, 10.0, 20.0, 30.0], np.float32)
    found = segment_losses(weights, tf.constant(off[:, None]), tf.zeros((5, 1))).numpy()
    np.testing.assert_allclose(found[:2], 0.5 * off[:2] ** 2 / HUBER_AT, rtol=1e-5)
    assert found[4] - found[3] == pytest.approx(found[3] - found[2], rel=1e-5)


@given(st.floats(0.01, 0.6), st.floats(1.0, 50.0))
def test_the_shift_of_a_weighted_logit_is_its_logarithm(p, weight):
    """The best constant of a weighted cross-entropy, minus the shift, is the log-odds of the outcome."""
    pytest.importorskip("tensorflow")
    weights = weights_of(1, positive=np.array([weight], np.float32), prior=np.array([p], np.float32))
    logits = np.linspace(-8, 8, 16001)
    loss = -(p * weight * np.log(1 / (1 + np.exp(-logits))) + (1 - p) * np.log(1 / (1 + np.exp(logits))))
    best = logits[loss.argmin()]
    assert best == pytest.approx(float(weights.first_bias[0]), abs=0.01)
    assert best - float(weights.logit_shift[0]) == pytest.approx(np.log(p / (1 - p)), abs=0.01)
