"""A person's file and the shift of that person's values, by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edge.bundle.reader import Bundle
from edge.person import (
    DAY_NS,
    MAX_BYTES,
    MAX_RESULTS,
    Anchoring,
    Person,
    Result,
    applied,
    load_person,
    notes,
    shrunk,
    to_toml,
    unix_ns,
)
from edge.records import Anchor, Applied, LabEstimate, utc_text
from firmware_bridge.errors import UsageError

NOW = 1_800_000_000 * 10**9
SHA = "a" * 64


def result(key: str = "k", **changes: Any) -> Result:
    given: dict[str, Any] = {
        "value": 5.0, "unit": "mmol/L", "at_ns": NOW - DAY_NS, "estimate": 4.0, "estimate_ns": NOW - DAY_NS + 10**9,
        "between_sd": 0.3, "within_sd": 0.4, "expires_ns": NOW + DAY_NS,
    }  # fmt: skip
    return Result(key, **{**given, **changes})


def person(*results: Result) -> Person:
    return Person("Ann", "demo 1", SHA, utc_text(NOW), results)


def bundle(*keys: str) -> Bundle:
    heads = [SimpleNamespace(key=key) for key in keys]
    manifest = SimpleNamespace(name="other", version="2", outputs=heads)
    return cast("Bundle", SimpleNamespace(sha256=SHA, manifest=manifest))


def lab(key: str, value: float | None = 4.5, interval: tuple[float, float] | None = (4.0, 5.5)) -> LabEstimate:
    return LabEstimate(key, None, "mmol/L", value, interval, None, None, 3, "strong")


def test_shrinkage_by_hand() -> None:
    """Between 0.09, within 0.16: of two errors that average 0.75 the share is 0.09 / 0.17."""
    offset, factor = shrunk([1.0, 0.5], 0.3, 0.4)
    assert offset == pytest.approx(0.09 / 0.17 * 0.75)
    assert factor == pytest.approx(((0.16 + 0.09 * 0.16 / (2 * 0.09 + 0.16)) / 0.25) ** 0.5)
    assert shrunk([1.0], -0.0, 0.4) == (0.0, 1.0)
    assert shrunk([1.0], 0.5, 0.0) == (1.0, 0.0)


class TestAnchoring:
    def test_a_value_moves_with_its_interval(self) -> None:
        results = (result(value=5.0), result(value=4.6, at_ns=NOW - 5, expires_ns=NOW + 5))
        other, moved = Anchoring(person(*results), bundle("j", "k"))((lab("j"), lab("k")), NOW)
        assert other == lab("j")
        offset, factor = shrunk([1.0, 0.6], 0.3, 0.4)
        assert moved.value == pytest.approx(4.5 + offset)
        assert moved.interval == pytest.approx((4.5 + offset - factor * 0.5, 4.5 + offset + factor * 1.0))
        assert moved.anchor == Anchor(pytest.approx(offset), 2, utc_text(NOW - 5), utc_text(NOW + DAY_NS))

    def test_the_newest_result_gives_the_spreads(self) -> None:
        old, new = result(between_sd=0.9, at_ns=NOW - 9), result(between_sd=0.1, at_ns=NOW - 3)
        for results in ((old, new), (new, old)):
            (moved,) = Anchoring(person(*results), bundle("k"))((lab("k"),), NOW)
            assert moved.anchor is not None
            assert moved.anchor.offset == pytest.approx(shrunk([1.0, 1.0], 0.1, 0.4)[0])

    @pytest.mark.parametrize(("at_ns", "counts"), [(-DAY_NS - 1, 0), (-DAY_NS, 1), (DAY_NS - 1, 1), (DAY_NS, 0)])
    def test_a_result_counts_from_its_time_until_it_expires(self, at_ns: int, counts: int) -> None:
        (moved,) = Anchoring(person(result()), bundle("k"))((lab("k"),), NOW + at_ns)
        assert (moved.anchor is not None) == bool(counts)
        assert len([n for n in notes(person(result()), NOW + at_ns) if "anchored" in n]) == counts

    def test_a_value_that_is_missing_is_not_moved_and_one_without_interval_gets_none(self) -> None:
        anchoring = Anchoring(person(result()), bundle("k"))
        assert anchoring((lab("k", None),), NOW) == (lab("k", None),)
        (moved,) = anchoring((lab("k", 4.5, None),), NOW)
        assert (moved.interval, moved.value) == (None, pytest.approx(4.5 + shrunk([1.0], 0.3, 0.4)[0]))
        assert Anchoring(person(result()), bundle("j", "k"))((lab("j"),), NOW) == (lab("j"),)

    def test_results_about_another_bundle_or_output_are_refused(self) -> None:
        with pytest.raises(UsageError) as raised:
            Anchoring(Person("", "demo 1", "b" * 64, "", ()), bundle("k"))
        assert "compared with demo 1, but this is other 2" in raised.value.what
        assert raised.value.fix
        with pytest.raises(UsageError, match="no output 'x'"):
            Anchoring(person(result("x")), bundle("k"))


def test_notes_count_what_holds_and_what_expired() -> None:
    gone = result("k", expires_ns=NOW)
    said = notes(person(result("z"), result("k"), result("k", expires_ns=NOW + 2 * DAY_NS), gone, gone), NOW)
    assert said == [
        f"k is anchored by 2 of this person's own results until {utc_text(NOW + 2 * DAY_NS)}",
        f"z is anchored by 1 of this person's own results until {utc_text(NOW + DAY_NS)}",
        said[2],
    ]
    assert said[2].startswith("2 of this person's results have expired")
    assert notes(person(), NOW) == []


def test_what_is_applied_names_the_file_and_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(b"abc")
    found = applied(person(result("z"), result("k"), result("k")), path)
    assert found == Applied("p.toml", hashlib.sha256(b"abc").hexdigest(), utc_text(NOW), "3 results: k, z")


class TestFile:
    def written(self, tmp_path: Path, *results: Result) -> Path:
        (tmp_path / "p.toml").write_text(to_toml(person(*results)), encoding="utf-8")
        return tmp_path / "p.toml"

    def test_it_comes_back_in_order_of_time(self, tmp_path: Path) -> None:
        late, early, twin = result("b"), result("c", at_ns=NOW - 2 * DAY_NS), result("a")
        assert load_person(self.written(tmp_path, late, early, twin)) == person(early, twin, late)
        assert load_person(self.written(tmp_path)) == person()

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("value = 5.0", "value = true", "'value' must be a number"),
            ("value = 5.0", "value = 1.1e9", "'value' must be a number"),
            ("value = 5.0", "value = -1.1e9", "'value' must be a number"),
            ("estimate = 4.0", 'estimate = "4"', "'estimate' must be a number"),
            ("within_sd = 0.4", "within_sd = -0.1", "'within_sd' must be a number"),
            ('unit = "mmol/L"', "unit = 1", "'unit' must be a string"),
            ('key = "k"', f'key = "{"k" * 4097}"', "'key' must be a string"),
            ('name = "Ann"', "name = 3", "'name' must be a string"),
            ("bundle = ", "bundel = ", "'bundle' must be a string"),
            ("bundle_sha256 = ", "sha = ", "'bundle_sha256' must be a string"),
            ("made = ", "maid = ", "'made' must be a string"),
            ("estimate_at = ", "estimate_ta = ", "'estimate_at' must be a string"),
            ("schema = ", "shema = ", "holds no person's results"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, old: str, new: str, said: str) -> None:
        path = self.written(tmp_path, result())
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(UsageError, match=said) as raised:
            load_person(path)
        assert str(path) in raised.value.what

    def test_it_reads_as_documented(self) -> None:
        assert to_toml(person(result())).splitlines() == [
            'schema = "anyecg.person/1"',
            'name = "Ann"',
            'bundle = "demo 1"',
            f'bundle_sha256 = "{SHA}"',
            f'made = "{utc_text(NOW)}"',
            "",
            "[[results]]",
            'key = "k"',
            "value = 5.0",
            'unit = "mmol/L"',
            f'at = "{utc_text(NOW - DAY_NS)}"',
            "estimate = 4.0",
            f'estimate_at = "{utc_text(NOW - DAY_NS + 10**9)}"',
            "between_sd = 0.3",
            "within_sd = 0.4",
            f'expires = "{utc_text(NOW + DAY_NS)}"',
        ]

    @pytest.mark.parametrize(("new", "value"), [("1e9", 1e9), ("-1e9", -1e9), ("3", 3.0)])
    def test_the_largest_numbers_and_whole_ones_are_numbers(self, tmp_path: Path, new: str, value: float) -> None:
        path = self.written(tmp_path, result(key="k" * 4096, between_sd=0.0))
        path.write_text(path.read_text().replace("value = 5.0", f"value = {new}"))
        (only,) = load_person(path).results
        assert (only.value, type(only.value), only.between_sd) == (value, float, 0.0)

    def test_its_size_is_bounded(self, tmp_path: Path) -> None:
        assert (MAX_BYTES, MAX_RESULTS) == (1 << 20, 1000)
        path = self.written(tmp_path, *[result()] * 1000)
        assert len(load_person(path).results) == 1000
        text = path.read_text()
        path.write_text(text + "#" * (MAX_BYTES - len(text)))
        assert len(load_person(path).results) == 1000
        path.write_text(text + "#" * (MAX_BYTES - len(text) + 1))
        with pytest.raises(UsageError, match="too large"):
            load_person(path)
        with pytest.raises(UsageError, match="'results' must be at most 1000 tables"):
            load_person(self.written(tmp_path, *[result()] * 1001))
        for wrong in ("results = 3\n", "results = [1]\n"):
            path.write_text(to_toml(person()) + wrong)
            with pytest.raises(UsageError, match="'results' must be at most"):
                load_person(path)

    def test_a_file_that_is_none_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"cannot read .*none\.toml: No such file"):
            load_person(tmp_path / "none.toml")
        (tmp_path / "p.toml").write_bytes(b'name = "\xff"')
        with pytest.raises(UsageError, match="not valid TOML"):
            load_person(tmp_path / "p.toml")


def test_times_keep_their_microseconds() -> None:
    assert unix_ns("1970-01-02T00:00:01.000250Z") == DAY_NS + 1_000_250_000
    assert unix_ns("1969-12-31T23:59:59Z") == -(10**9)
