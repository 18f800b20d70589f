"""The change of the last minutes: what was planted is found, and nothing is said where it cannot be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge.baseline.choose import Span
from edge.baseline.fit import Worn, fit_baseline
from edge.baseline.record import QUANTITIES, Change
from edge.baseline.trend import MAX_WINDOWS, Trend
from edge.baseline.words import change_text
from edge.records import Applied, from_json, to_json
from helpers.quiet_hours import AT_REST, START_UNIX_S, Wearer, estimates, rows

HOUR = 3600.0


def posture_course(t: float) -> Wearer:
    return AT_REST if t <= HOUR else Wearer(bpm=72, qtc_ms=390.0, t_mv=0.22)


PLAIN = fit_baseline(rows(lambda _t: AT_REST, HOUR), Worn("patch"))
MEASURED = fit_baseline(
    rows(posture_course, HOUR + 600),
    Worn("patch"),
    postures=[
        ("lying", Span(START_UNIX_S, START_UNIX_S + 600)),
        ("standing", Span(START_UNIX_S + HOUR, START_UNIX_S + HOUR + 600)),
    ],
)


def last(one: Wearer | Callable[[float], Wearer | None], baseline=PLAIN, seconds: float = 600.0, **how: Any) -> Change:
    """The change at the end of a run."""
    trend = Trend(baseline, how.pop("device", "patch"), how.pop("lead", None), how.pop("applied", None))
    change = None
    for e in estimates(one if callable(one) else lambda _t: one, seconds, **how):
        change = trend.take(e)
    assert change is not None
    return change


def reasons(change: Change) -> set[str]:
    assert not change.values
    assert set(change.missing) == set(QUANTITIES)
    return set(change.missing.values())


@pytest.mark.parametrize("bpm", [45, 60, 75, 88])
@pytest.mark.parametrize("planted_ms", [-60, 0, 60])
def test_a_planted_prolongation_is_found_at_any_rate(bpm: int, planted_ms: int) -> None:
    change = last(Wearer(bpm=bpm, qtc_ms=400 + planted_ms), seed=7)
    found = change.values["qtc_ms"]
    assert found.value == pytest.approx(planted_ms, abs=4)
    assert found.low <= 0 <= found.high
    assert (found.posture, found.within) == ("published", planted_ms == 0 or (planted_ms > 0 and found.high >= 60))
    assert (change.minutes, change.windows, change.missing) == (5.0, 30, {})


def test_a_flat_t_is_told_from_posture_only_where_posture_was_measured() -> None:
    flat = Wearer(t_mv=0.15)
    assert last(flat).values["t_mv"].value == pytest.approx(-0.15, abs=0.01)
    assert last(flat).values["t_mv"].within is None
    assert "posture unknown" in change_text(last(flat))
    assert last(flat, MEASURED).values["t_mv"].within is False
    assert last(flat, MEASURED).values["t_mv"].posture == "measured"
    assert "OUTSIDE" in change_text(last(flat, MEASURED))
    for inside in (AT_REST, posture_course(HOUR + 1)):
        assert all(one.within for one in last(inside, MEASURED).values.values())
    assert last(flat).values["r_mv"].within is True  # the electrode is where it was


def test_one_named_posture_is_no_range() -> None:
    only = replace(MEASURED, postures=MEASURED.postures[:1])
    assert last(Wearer(t_mv=0.15), only).values["t_mv"].posture == "unknown"


def test_thirty_milliseconds_are_within_the_published_band_and_outside_the_measured_one() -> None:
    longer = Wearer(qtc_ms=430)
    assert last(longer).values["qtc_ms"].within is True
    assert last(longer, MEASURED).values["qtc_ms"].within is False


@pytest.mark.parametrize(
    ("one", "how", "reason"),
    [
        (AT_REST, {"device": "other"}, "other_device"),
        (AT_REST, {"lead": "II"}, "other_lead"),
        (Wearer(rhythm="af_or_flutter"), {}, "not_sinus"),
        (Wearer(rhythm="undetermined"), {}, "not_sinus"),
        (Wearer(score=0.3), {}, "few_windows"),
        (lambda t: AT_REST if t <= 90 else None, {}, "few_windows"),
        (Wearer(bpm=35), {}, "rate_outside"),
        (Wearer(bpm=100), {}, "rate_outside"),
        (AT_REST, {"seconds": 90.0}, "few_windows"),
    ],
)
def test_nothing_is_compared_where_it_cannot_be(one, how, reason: str) -> None:
    change = last(one, **how)
    assert reasons(change) == {reason}
    assert "none shown" in change_text(change)


def test_a_minority_without_sinus_rhythm_is_left_out() -> None:
    change = last(lambda t: Wearer(rhythm="undetermined") if t % 50 < 20 else AT_REST)
    assert (change.windows, change.missing) == (18, {})


def test_a_jump_of_the_rate_withholds_qtc_alone() -> None:
    """QT lags behind: its correction would show a change that is none."""
    change = last(lambda t: Wearer(bpm=60 if t <= 450 else 85))
    assert change.missing == {"qtc_ms": "rate_unsteady"}
    assert "t_mv" in change.values


def test_st_scale_and_profile_withhold_what_depends_on_them() -> None:
    assert last(Wearer(st_mv=None)).missing == {"st_mv": "band"}
    profile = {"device_profile": Applied("p.toml", "ab", "x", "x")}
    amplitudes = {"t_mv", "r_mv", "t_over_r", "st_mv"}
    assert last(AT_REST, applied=profile).missing == dict.fromkeys(amplitudes, "other_profile")
    assert "qtc_ms" in last(AT_REST, applied=profile).values
    same = replace(PLAIN, profile_sha256="ab")
    assert last(AT_REST, same, applied=profile).missing == {}
    unscaled = replace(AT_REST.waves(__import__("numpy").random.default_rng(1)), missing={"mv": "scale_unknown"})
    trend = Trend(PLAIN, "patch")
    for k in range(1, 31):
        trend.add(10.0 * k, unscaled, AT_REST.rhythm_record(), 1.0)
    assert trend.at(300.0).missing == dict.fromkeys(amplitudes, "scale_unknown")


def test_a_quantity_without_a_level_is_not_compared() -> None:
    fewer = fit_baseline(rows(lambda _t: Wearer(st_mv=None), HOUR), Worn("patch"))
    assert last(AT_REST, fewer).missing == {"st_mv": "not_in_baseline"}


def test_many_ectopic_beats_are_not_compared() -> None:
    trend = Trend(PLAIN, "patch")
    for e in estimates(lambda _t: AT_REST, 600.0):
        trend.add(e.window.end_s, e.waves, AT_REST.rhythm_record(ectopic=0.3), 1.0)
    assert reasons(trend.at(600.0)) == {"few_windows"}


def test_old_windows_are_forgotten_in_a_gap() -> None:
    trend = Trend(PLAIN, "patch")
    for e in estimates(lambda _t: AT_REST, 600.0):
        trend.take(e)
    assert trend.at(600.0).windows == 30
    assert trend.at(750.0).windows == 15
    assert reasons(trend.at(3000.0)) == {"few_windows"}


def test_the_hop_does_not_matter_and_memory_does_not_grow() -> None:
    """Ten days of hops: the same number of windows is held as after ten minutes."""
    trend = Trend(PLAIN, "patch")
    waves, rhythm = next(estimates(lambda _t: AT_REST, 10.0)).waves, AT_REST.rhythm_record()
    for k in range(10, 864_000, 3):
        trend.add(float(k), waves, rhythm, 1.0)
    assert len(trend._windows) <= MAX_WINDOWS
    assert trend.at(863_999.0).windows in {25, 30}
    assert last(Wearer(qtc_ms=450), hop_s=1.0).windows == 30


def test_the_record_comes_back_from_a_line() -> None:
    trend = Trend(MEASURED, "patch")
    for e in estimates(lambda t: None if t % 50 == 0 else Wearer(qtc_ms=450, st_mv=None), 400.0):
        line = to_json(replace(e, change=trend.take(e)))
        assert to_json(from_json(line)) == line


def test_records_without_a_change_are_as_before() -> None:
    e = next(estimates(lambda _t: AT_REST, 10.0))
    assert '"change"' not in to_json(e)
    assert from_json(to_json(e)).change is None
