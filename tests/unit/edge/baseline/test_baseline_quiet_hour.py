"""The quiet hour that is chosen, the rate correction, and the levels of a baseline."""

from __future__ import annotations

import numpy as np
import pytest

from edge.baseline.choose import Span, quiet_span
from edge.baseline.correction import PUBLISHED_EXPONENTS, fit_correction, unsteady
from edge.baseline.fit import SETTLE_S, Worn, fit_baseline
from edge.baseline.limits import PUBLISHED, band, posture_range, rate_range
from edge.baseline.quantities import RESOLUTION
from edge.baseline.samples import NOTHING, Row, Samples, usable
from edge.rhythm.record import RhythmMinutes, RhythmRecord
from firmware_bridge.errors import InputError
from helpers.quiet_hours import AT_REST, START_UNIX_S, Wearer, rows

HOUR = 3600.0
PATCH = Worn("patch", sources=("night",))


def signal_time(span: Span | None) -> tuple[float, float]:
    assert span is not None
    return span.start_s - START_UNIX_S, span.end_s - START_UNIX_S


def test_the_hour_with_the_lowest_rate_is_chosen() -> None:
    found = rows(lambda t: AT_REST if HOUR <= t < 2.2 * HOUR else Wearer(bpm=80), 4 * HOUR)
    start_s, end_s = signal_time(quiet_span(found))
    assert end_s - start_s == HOUR
    assert start_s >= HOUR - 10
    assert end_s <= 2.2 * HOUR


def test_a_steady_rate_is_preferred_to_a_lower_one_with_bursts() -> None:
    """One minute of six at 95 makes the hour no quiet one, although its median rate is lower."""
    restless = rows(lambda t: Wearer(bpm=58) if t > HOUR else Wearer(bpm=95 if t % 360 < 60 else 52), 2 * HOUR)
    start_s, _end_s = signal_time(quiet_span(restless))
    assert start_s >= HOUR - 310


@pytest.mark.parametrize(
    "spoilt",
    [Wearer(bpm=50, rhythm="af_or_flutter"), Wearer(bpm=50, rhythm="undetermined"), Wearer(bpm=50, score=0.4), None],
    ids=["fibrillation", "undetermined", "noisy", "refused"],
)
def test_no_hour_is_quiet_without_clean_windows_in_sinus_rhythm(spoilt: Wearer | None) -> None:
    found = rows(lambda t: spoilt if t % 40 < 10 else AT_REST, 2 * HOUR)  # a quarter of the windows
    assert quiet_span(found) is None
    with pytest.raises(InputError, match=r"540 of 720 in 120 minutes"):
        fit_baseline(found, PATCH)
    clean_later = rows(lambda t: Wearer(bpm=70) if t > HOUR else spoilt if t % 40 < 10 else AT_REST, 2 * HOUR)
    span = quiet_span(clean_later)
    assert span is not None
    assert np.mean(clean_later.between(*span).ok) >= 0.8


@pytest.mark.parametrize(("minutes", "length"), [(60, 60), (45, 40), (20, 20), (19, None)])
def test_a_shorter_recording_gives_a_shorter_hour_down_to_twenty_minutes(minutes: int, length: int | None) -> None:
    span = quiet_span(rows(lambda _t: AT_REST, 60.0 * minutes))
    assert (None if span is None else round((span.end_s - span.start_s) / 60)) == length


def test_overlapping_windows_are_taken_once() -> None:
    assert len(rows(lambda _t: AT_REST, 600.0, hop_s=1.0).ok) == 60


def test_rows_are_bounded_and_the_newest_stay() -> None:
    few = Samples(limit=1000)
    for k in range(10_000):
        few.add(1, 10.0 * k, 10.0 * k, NOTHING, ok=False)
    kept = few.table().unix_s
    assert 500 <= len(kept) <= 1000
    assert kept[-1] == 10.0 * 9999
    assert few.dropped == 10_000 - len(kept)
    assert kept[0] == 10.0 * few.dropped


def varied(exponent: float, low: float = 55.0, high: float = 90.0):
    """Rates that change from block to block and are steady within one."""
    steps = np.random.default_rng(5).uniform(low, high, 100)
    return rows(lambda t: Wearer(bpm=float(steps[int(t // 300) % 100]), exponent=exponent), 4 * HOUR)


@pytest.mark.parametrize("exponent", [0.234, 0.4, 0.486])
def test_an_exponent_of_ones_own_is_found_where_rates_vary(exponent: float) -> None:
    found = fit_correction(varied(exponent).usable(), 1000.0)
    assert found.name == "individual"
    assert found.exponent == pytest.approx(exponent, abs=0.02)
    assert found.low <= exponent <= found.high
    assert 60_000 / found.rr_high_ms < 57
    assert 60_000 / found.rr_low_ms > 88


def test_fridericia_is_taken_where_rates_hardly_vary_or_the_recording_is_short() -> None:
    for few in (varied(0.45, 60.0, 66.0), rows(lambda t: Wearer(bpm=55 + 0.05 * (t // 300)), 3000.0)):
        found = fit_correction(few.usable(), 1000.0)
        assert (found.name, found.exponent, found.blocks) == ("fridericia", 1 / 3, 0)
        assert (found.low, found.high) == PUBLISHED_EXPONENTS


def test_blocks_with_a_changing_rate_are_left_out_of_the_fit() -> None:
    """QT lags behind the rate: blocks in which it jumps would say that QT does not depend on it."""
    jumps = rows(lambda t: Wearer(bpm=60 if t % 20 < 10 else 90, exponent=0.0), 4 * HOUR)
    assert unsteady(jumps.rr_ms[:30])
    assert fit_correction(jumps.usable(), 1000.0).name == "fridericia"


def test_levels_are_medians_and_the_scatter_covers_every_five_minutes() -> None:
    drifting = rows(lambda t: Wearer(qtc_ms=400 + 6 * np.sin(t / 600), t_mv=0.3), HOUR)
    baseline = fit_baseline(drifting, PATCH)
    level = baseline.levels["qtc_ms"]
    assert level.median == pytest.approx(400, abs=3)
    assert 4.0 < level.scatter < 25.0
    assert baseline.levels["t_over_r"].median == pytest.approx(0.3, abs=0.005)
    assert baseline.levels["t_mv"].scatter >= RESOLUTION["t_mv"]
    assert (baseline.windows, round(baseline.minutes), baseline.stated) == (360, 60, False)
    assert baseline.start == "2026-11-18T11:06:40.000Z"


def test_what_was_hardly_measured_has_no_level() -> None:
    assert "st_mv" not in fit_baseline(rows(lambda _t: Wearer(st_mv=None), HOUR), PATCH).levels


def lying_then_standing(t: float) -> Wearer:
    if t <= HOUR:
        return AT_REST
    if t <= HOUR + SETTLE_S:
        return Wearer(bpm=85, qtc_ms=460.0)  # QT has not followed yet
    return Wearer(bpm=75, qtc_ms=390.0, t_mv=0.2, r_mv=0.9)


def test_postures_are_measured_after_their_first_minute() -> None:
    found = rows(lying_then_standing, HOUR + 600)
    at = START_UNIX_S + HOUR
    baseline = fit_baseline(found, PATCH, postures=[("standing", Span(at, at + 600)), ("lying", Span(at - 600, at))])
    standing, lying = baseline.postures
    assert (standing.name, lying.name) == ("standing", "lying")
    assert standing.medians["qtc_ms"] == pytest.approx(390, abs=2)
    assert 60_000 / standing.rr_ms == pytest.approx(75, abs=1)
    assert lying.medians["t_mv"] == pytest.approx(0.3, abs=0.01)
    low, high, source = posture_range(baseline, "t_mv")
    assert (low, high, source) == (pytest.approx(-0.1, abs=0.01), pytest.approx(0.0, abs=0.01), "measured")
    assert posture_range(baseline, "qtc_ms")[0] == pytest.approx(-10, abs=3)


def test_standing_does_not_become_an_effect_of_the_rate() -> None:
    """Half of the time at another rate and posture: unmarked, the exponent is not believed; marked, it is left out."""
    course = lambda t: AT_REST if t <= 2.5 * HOUR else Wearer(bpm=75, qtc_ms=380.0)  # noqa: E731
    found = rows(course, 5 * HOUR)
    assert fit_baseline(found, PATCH).correction.name == "fridericia"
    at = START_UNIX_S + 2.5 * HOUR
    marked = fit_baseline(found, PATCH, postures=[("standing", Span(at, at + 2.5 * HOUR))])
    assert marked.correction.name == "fridericia"
    assert marked.postures[0].medians["qtc_ms"] == pytest.approx(380, abs=2)


def test_a_small_effect_of_standing_is_kept_from_the_fit_only_by_its_mark() -> None:
    """QTc 395 at 75 per minute looks like an exponent of 0.39, which some persons have."""
    found = rows(lambda t: AT_REST if t <= 2.5 * HOUR else Wearer(bpm=75, qtc_ms=395.0), 5 * HOUR)
    unmarked = fit_baseline(found, PATCH).correction
    assert (unmarked.name, unmarked.exponent) == ("individual", pytest.approx(0.39, abs=0.02))
    at = START_UNIX_S + 2.5 * HOUR
    marked = fit_baseline(found, PATCH, postures=[("standing", Span(at, at + 2.5 * HOUR))])
    assert marked.correction.name == "fridericia"


def test_t_is_not_divided_by_an_r_that_is_hardly_there() -> None:
    baseline = fit_baseline(rows(lambda _t: Wearer(r_mv=0.05), HOUR), PATCH)
    assert "t_over_r" not in baseline.levels
    assert "r_mv" in baseline.levels


def test_a_posture_with_few_windows_is_refused() -> None:
    at = START_UNIX_S + 1000.0
    with pytest.raises(InputError, match="'standing' has 5 clean windows"):
        fit_baseline(rows(lambda _t: AT_REST, HOUR), PATCH, postures=[("standing", Span(at, at + SETTLE_S + 50))])


def test_without_postures_qtc_has_the_published_band_and_amplitudes_have_none() -> None:
    baseline = fit_baseline(rows(lambda _t: AT_REST, HOUR), PATCH)
    scatter = baseline.levels["qtc_ms"].scatter
    at_rest = band(baseline, "qtc_ms", baseline.rr_ms)
    low, high = PUBLISHED["qtc_ms"]
    assert at_rest == (pytest.approx(low - scatter), pytest.approx(high + scatter), "published")
    for name in ("t_mv", "r_mv", "t_over_r", "st_mv"):
        assert band(baseline, name, baseline.rr_ms).posture == "unknown"


def test_the_band_grows_with_the_distance_of_the_rate() -> None:
    """At 90 per minute an exponent of 0.486 in place of 1/3 makes QTc 400 * (1.5^-0.153 - 1) = -24 ms, 0.234 +16 ms."""
    baseline = fit_baseline(rows(lambda _t: AT_REST, HOUR), PATCH)
    assert rate_range(baseline, baseline.rr_ms) == (0.0, 0.0)
    low, high = rate_range(baseline, baseline.rr_ms / 1.5)
    assert (low, high) == (pytest.approx(-24.0, abs=0.5), pytest.approx(16.4, abs=0.5))


def test_a_stated_span_is_taken_as_it_is_or_refused() -> None:
    found = rows(lambda t: AT_REST if t > HOUR else Wearer(bpm=90), 2 * HOUR)
    stated = fit_baseline(found, PATCH, Span(START_UNIX_S, START_UNIX_S + 1800))
    assert stated.stated
    assert 60_000 / stated.rr_ms == pytest.approx(90, abs=1)
    with pytest.raises(InputError, match="the stated span has 6"):
        fit_baseline(found, PATCH, Span(START_UNIX_S, START_UNIX_S + 60))


def test_a_window_is_used_by_its_score_as_it_is_written() -> None:
    """A session holds three digits of the score; from it, the same windows must count as in the run."""
    minutes = RhythmMinutes("sinus", 1, 0.0, 10, 0.0, 0, 0)
    sinus = RhythmRecord("sinus", 0.02, 0.0, 0, bigeminy=False, pauses=0, longest_rr_ms=900.0, minutes=minutes)
    row = Row(850.0, 390.0, 0.3, 1.0, 0.0)
    assert [usable(row, sinus, score) for score in (0.5994, 0.5996, 0.6)] == [False, True, True]
