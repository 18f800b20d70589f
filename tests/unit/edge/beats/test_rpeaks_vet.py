"""Beats of another shape, on synthetic shapes: which are dropped, which are kept, and how long one is held."""

from __future__ import annotations

import numpy as np
import pytest

from edge.beats.feature import Peak
from edge.beats.vet import BeatVetting

HOLD = 80
SLACK, WIDTH = 4, 21
X = np.arange(-10 - SLACK, 11 + SLACK) / 3.0
GOOD = X * np.exp(-0.5 * X * X)
OTHER = np.cos(np.pi * np.arange(len(X))) * np.exp(-0.5 * X * X)
"""Alternating samples: the correlation with the good shape is about 0 at every alignment."""


def like(correlation: float) -> np.ndarray:
    """Return a shape with about this correlation with the good one at the best alignment."""
    unit = [s / np.linalg.norm(s) for s in (GOOD, OTHER)]
    return correlation * unit[0] + np.sqrt(1.0 - correlation**2) * unit[1]


def beat(at: int, shape: np.ndarray = GOOD) -> Peak:
    return Peak(at, 1.0, 1.0, np.asarray(shape, dtype=float), SLACK)


def vetted(beats: list[Peak], *, hold: int = HOLD, block: int = 10) -> dict[int, int]:
    """Return the released beats by time of release."""
    vetting, out = BeatVetting(hold), {}
    for now in range(block, beats[-1].index + 200, block):
        for one in vetting.step(now, [b for b in beats if now - block < b.index <= now]):
            assert one.index > max(out, default=-1)
            out[one.index] = now
    return out


def regular(n: int = 10, every: int = 100) -> list[Peak]:
    return [beat(100 + every * k) for k in range(n)]


def test_beats_that_look_alike_pass_at_once() -> None:
    beats = regular()
    assert vetted(beats) == {b.index: b.index for b in beats}


def test_a_strange_beat_between_two_good_ones_of_one_interval_is_dropped() -> None:
    beats = [*regular(), beat(1050, OTHER), beat(1100), beat(1200)]
    assert set(vetted(beats)) == {b.index for b in beats} - {1050}


@pytest.mark.parametrize("count", [2, 3])
def test_all_strange_beats_there_are_dropped(count: int) -> None:
    strange = [beat(1020 + 20 * k, OTHER) for k in range(count)]
    assert set(vetted([*regular(), *strange, beat(1100)])) == {b.index for b in regular()} | {1100}


def test_a_premature_beat_with_its_pause_stays() -> None:
    beats = [*regular(), beat(1060, OTHER), beat(1200)]
    released = vetted(beats)
    assert set(released) == {b.index for b in beats}
    # It is held until the next beat is known, or for the longest wait.
    assert released[1060] == 1060 + HOLD + 10


def test_a_run_of_strange_beats_stays() -> None:
    run = [beat(1060 + 40 * k, OTHER) for k in range(6)]
    beats = [*regular(), *run, beat(1400), beat(1500)]
    assert {b.index for b in run} <= set(vetted(beats))


@pytest.mark.parametrize(("hold", "released"), [(30, True), (40, False)])
def test_a_strange_beat_is_released_after_the_longest_wait(hold: int, released: bool) -> None:
    assert (1061 in vetted([*regular(), beat(1061, OTHER), beat(1101)], hold=hold)) is released


@pytest.mark.parametrize(("correlation", "stays"), [(0.83, False), (0.88, True)])
def test_in_a_regular_rhythm_a_misplaced_beat_must_match_well(correlation: float, stays: bool) -> None:
    assert (1050 in vetted([*regular(), beat(1050, like(correlation)), beat(1100)])) is stays


@pytest.mark.parametrize(("correlation", "stays"), [(0.67, False), (0.74, True)])
def test_in_an_irregular_rhythm_a_lower_match_is_enough(correlation: float, stays: bool) -> None:
    at = 100 + np.cumsum([0, 90, 115, 90, 115, 90, 115, 90, 115, 90, 115])
    beats = [beat(int(a)) for a in at]
    last = beats[-1].index
    assert (last + 50 in vetted([*beats, beat(last + 50, like(correlation)), beat(last + 100)])) is stays


@pytest.mark.parametrize(("interval", "goes"), [(74, False), (75, True), (130, True), (131, False)])
def test_one_interval_is_from_three_quarters_to_one_point_three(interval: int, goes: bool) -> None:
    released = vetted([*regular(), beat(1040, OTHER), beat(1000 + interval)], hold=200)
    assert (1040 not in released) is goes


def test_a_strange_beat_on_time_is_kept_if_no_better_one_follows() -> None:
    beats = [*regular(), beat(1100, OTHER), beat(1200), beat(1300)]
    assert set(vetted(beats)) == {b.index for b in beats}


@pytest.mark.parametrize(("rival", "stays"), [(0.76, True), (1.0, False)])
def test_a_strange_beat_is_dropped_only_for_a_clearly_better_one(rival: float, stays: bool) -> None:
    beats = [*regular(), beat(1050, like(0.68)), beat(1100, like(rival))]
    assert (1050 in vetted(beats)) is stays


@pytest.mark.parametrize(("known", "judged"), [(4, False), (5, True)])
def test_before_four_intervals_are_known_everything_passes(known: int, judged: bool) -> None:
    beats = regular(known)
    last = beats[-1].index
    released = vetted([*beats, beat(last + 50, OTHER), beat(last + 100)])
    assert (last + 50 not in released) is judged


def test_a_shape_shifted_within_the_slack_matches() -> None:
    for shift, right in ((SLACK, True), (-SLACK, True)):
        shape = np.roll(GOOD, shift)
        assert (1050 in vetted([*regular(), beat(1050, shape), beat(1100)])) is right


def test_size_and_offset_of_a_shape_do_not_matter() -> None:
    assert 1050 in vetted([*regular(), beat(1050, 7.0 * GOOD + 3.0), beat(1100)])
    assert 1050 not in vetted([*regular(), beat(1050, -GOOD * np.sign(X)), beat(1100)])


def test_after_twelve_beats_of_another_shape_that_shape_is_known() -> None:
    changed = [beat(1100 + 100 * k, OTHER) for k in range(20)]
    last = changed[-1].index
    released = vetted([*regular(), *changed, beat(last + 50), beat(last + 100, OTHER)])
    assert last + 50 not in released
    assert {b.index for b in changed} <= set(released)


def test_after_twelve_other_intervals_these_are_the_rhythm() -> None:
    faster = [beat(1000 + 60 * k) for k in range(1, 26)]
    last = faster[-1].index
    released = vetted([*regular(), *faster, beat(last + 30, OTHER), beat(last + 60)])
    assert last + 30 not in released


def test_the_template_follows_a_shape_that_changes_slowly() -> None:
    beats = [beat(100 + 100 * k, like(1.0 - 0.005 * k)) for k in range(160)]
    last = beats[-1].index
    # The newest shape has a correlation of 0.2 with the first one, and matches.
    assert last + 50 in vetted([*beats, beat(last + 50, like(0.2)), beat(last + 100, like(0.2))])
    assert last + 50 not in vetted([*beats, beat(last + 50), beat(last + 100, like(0.2))])


def test_reset_forgets_shape_and_rhythm() -> None:
    vetting = BeatVetting(HOLD)
    for one in regular():
        vetting.step(one.index, [one])
    vetting.step(1050, [beat(1050, OTHER)])
    vetting.reset()
    for at in (20, 50, 100, 110):
        assert [b.index for b in vetting.step(at, [beat(at, OTHER)])] == [at]


def spiked(at: int, size: float) -> np.ndarray:
    """Return the good shape with a spike at a given distance from its middle, in samples."""
    shape = GOOD.copy()
    shape[len(shape) // 2 + at] += size
    return shape


@pytest.mark.parametrize(("at", "stays"), [(9, False), (-9, False), (14, True), (-14, True)])
def test_a_shape_is_compared_over_80_ms_on_each_side_only(at: int, stays: bool) -> None:
    assert (1050 in vetted([*regular(), beat(1050, spiked(at, 2.0)), beat(1100)])) is stays


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_a_strange_beat_is_dropped_in_any_unit_of_the_stream(scale: float) -> None:
    beats = [beat(b.index, scale * b.shape) for b in regular()]
    released = vetted([*beats, beat(1050, scale * OTHER), beat(1100, scale * GOOD)])
    assert set(released) == {b.index for b in regular()} | {1100}


def test_beats_that_differ_a_little_form_one_template_of_constant_size() -> None:
    rng = np.random.default_rng(1)
    beats = [beat(100 * k, GOOD / np.linalg.norm(GOOD) + 0.08 * rng.standard_normal(len(GOOD))) for k in range(1, 80)]
    last = beats[-1].index
    released = vetted([*beats, beat(last + 50), beat(last + 100)])
    assert released[last + 50] == last + 50  # it matches and is released at once


def test_intervals_count_before_four_beats_have_formed_the_template() -> None:
    """Bigeminy from the start: with the fourth good beat the shape is known, and the rhythm is known already."""
    beats = [beat(100 + 100 * k, GOOD if k % 2 == 0 else OTHER) for k in range(7)]
    released = vetted([*beats, beat(750, OTHER), beat(800)])
    assert 750 not in released


def test_the_usual_interval_is_the_median_of_the_last_twelve() -> None:
    """After six intervals of 100 and six of 110 it is 105, so 136 counts as one interval and 137 does not."""
    beats = regular(14)
    beats += [beat(beats[-1].index + 110 * k) for k in range(1, 7)]
    last = beats[-1].index
    for interval, goes in ((136, True), (137, False)):
        released = vetted([*beats, beat(last + 40, OTHER), beat(last + interval)], hold=200)
        assert (last + 40 not in released) is goes


def test_the_usual_interval_follows_a_heart_that_slows_down() -> None:
    at = 100 + np.cumsum([0, *(60 + 3 * k for k in range(28))])
    beats = [beat(int(a)) for a in at]
    last = beats[-1].index
    assert last + 50 not in vetted([*beats, beat(last + 50, OTHER), beat(last + 144)], hold=200)
