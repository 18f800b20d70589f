"""The file of a baseline: it comes back as it was written, and nothing in it is trusted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.baseline.choose import Span
from edge.baseline.file import MAX_BYTES, baseline_dict, load_baseline, parse_baseline, write_baseline
from edge.baseline.fit import Worn, fit_baseline
from edge.baseline.record import change_dict, change_from
from edge.baseline.trend import Trend
from edge.baseline.words import baseline_text, start_notes
from firmware_bridge.errors import UsageError
from helpers.quiet_hours import AT_REST, START_UNIX_S, Wearer, estimates, rows

LYING = [("lying", Span(START_UNIX_S, START_UNIX_S + 600.0))]
BASELINE = fit_baseline(rows(lambda _t: AT_REST, 1200.0), Worn("patch", None, "ab", "sternum", ("night",)), None, LYING)
TEXT = json.dumps(baseline_dict(BASELINE))
RECORDS = list(estimates(lambda _t: Wearer(bpm=70), 200.0))


def test_it_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    write_baseline(path, BASELINE)
    assert path.stat().st_mode & 0o077 == 0
    back = load_baseline(path)
    assert baseline_dict(back) == baseline_dict(BASELINE)
    assert back.levels["qtc_ms"].median == pytest.approx(BASELINE.levels["qtc_ms"].median, rel=1e-5)
    assert (back.montage, back.profile_sha256, back.postures[0].name) == ("sternum", "ab", "lying")


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return the path of every value of a JSON object."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in places(one, (*path, key)))]


def changed(path: tuple[object, ...], new: object) -> object:
    """Return the baseline with one value replaced."""
    whole = json.loads(TEXT)
    if not path:
        return new
    at = whole
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return whole


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=20), st.just([]),
    st.just({}),
    st.lists(st.integers(), min_size=100, max_size=100), st.just("x" * 5000),
)  # fmt: skip


@given(st.sampled_from(places(json.loads(TEXT))), ODD)
def test_any_value_is_refused_in_one_line_or_gives_changes_that_can_be_written(path, new) -> None:
    try:
        found = parse_baseline(json.dumps(changed(path, new)).encode(), "b.json")
    except UsageError as error:
        assert "b.json" in str(error)
        assert str(error).isprintable()
        return
    assert baseline_text(found, "b.json").replace("\n", "").isprintable()
    start_notes(found, None)
    trend = Trend(replace(found, device="patch", lead=None, profile_sha256=None), "patch")
    for e in RECORDS:
        written = json.loads(json.dumps(change_dict(trend.take(e)), allow_nan=False))
        assert change_dict(change_from(written)) == written


@given(st.binary(max_size=300))
def test_bytes_that_are_no_baseline_are_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        parse_baseline(data, "b.json")


@pytest.mark.parametrize("cut", range(0, len(TEXT) - 1, 97))
def test_a_truncated_file_is_refused(cut: int) -> None:
    with pytest.raises(UsageError):
        parse_baseline(TEXT[:cut].encode(), "b.json")


@pytest.mark.parametrize(
    ("path", "new", "said"),
    [
        (("schema",), "anyecg.baseline/2", "anyecg.baseline/2"),
        (("levels", "qtc_ms", "median"), 0, "positive qtc_ms"),
        (("levels", "qtc_ms", "scatter"), -1, "levels.qtc_ms.scatter"),
        (("levels",), {"u_mv": {}}, "one of qtc_ms"),
        (("correction", "low"), 0.9, "low <= exponent <= high"),
        (("correction", "name"), "bazett", "'fridericia' or 'individual'"),
        (("quiet_hour", "rr_ms"), 0, "quiet_hour.rr_ms"),
        (("quiet_hour", "stated"), 1, "true or false"),
        (("postures",), [{}] * 17, "at most 16"),
        (("device",), None, "a string"),
    ],
)
def test_the_message_names_the_place(path: tuple[str, ...], new: object, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_baseline(json.dumps(changed(path, new)).encode(), "b.json")
    assert said in str(caught.value)
    assert "anyecg baseline" in str(caught.value)


def test_large_missing_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    with pytest.raises(UsageError, match="cannot read the baseline"):
        load_baseline(path)
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(UsageError, match="larger than"):
        load_baseline(path)
    with pytest.raises(UsageError, match="cannot read"):
        load_baseline(tmp_path)
    assert math.isfinite(BASELINE.rr_ms)
