"""Results of a person shift the later values of that person: with shrinkage, until they expire."""

from __future__ import annotations

import json
import stat
import time
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from calibration.cli.person import default_path
from calibration.validate.recalibrate import person_spreads
from convert.datasets.labcatalogue import catalogue
from edge.bundle.reader import Bundle, load_bundle
from edge.cli.main import main
from edge.person import DAY_NS, Anchoring, Person, Result, load_person, notes, shrunk, to_toml, unix_ns
from edge.records import LabEstimate, from_json, utc_text
from firmware_bridge.errors import UsageError

NOW = 1_800_000_000_000_000_000


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo")


def result(value: float, estimate: float, age_days: float = 1.0, key: str = "potassium") -> Result:
    at_ns = NOW - round(age_days * DAY_NS)
    return Result(key, value, "mmol/L", at_ns, estimate, at_ns, 0.3, 0.4, at_ns + 7 * DAY_NS)


def person(bundle: Bundle, *results: Result) -> Person:
    return Person("", "demo", bundle.sha256, utc_text(NOW), results)


def labs(bundle: Bundle, value: float = 4.5) -> tuple[LabEstimate, ...]:
    return tuple(
        LabEstimate(
            key=h.key,
            loinc=h.loinc,
            unit=h.unit,
            value=value,
            interval=(value - 0.8, value + 0.8),
            threshold=None,
            flag=None,
            windows=3,
            tier="strong",
        )
        for h in bundle.manifest.outputs
    )


def test_shrinkage_is_the_best_linear_predictor() -> None:
    """In a simulation, no other factor has a smaller squared error, and the factor of the interval is correct."""
    rng = np.random.default_rng(0)
    own, n = rng.normal(0, 0.3, 200_000), 3
    errors = own[:, None] + rng.normal(0, 0.4, (200_000, n))
    later = own + rng.normal(0, 0.4, 200_000)
    share = shrunk([1.0] * n, 0.3, 0.4)[0]
    assert share == pytest.approx(float(np.polyfit(errors.mean(axis=1), later, 1)[0]), abs=0.01)
    factor = shrunk([1.0] * n, 0.3, 0.4)[1]
    assert factor == pytest.approx(float(np.std(later - share * errors.mean(axis=1)) / np.std(later)), abs=0.005)


def test_more_results_shift_more_and_no_spread_between_persons_means_no_shift() -> None:
    moved = [shrunk([0.5] * n, 0.3, 0.4)[0] for n in (1, 2, 5, 1000)]
    assert moved == sorted(moved)
    assert moved[-1] == pytest.approx(0.5, abs=0.01)
    assert shrunk([0.5], 0.0, 0.4) == (0.0, 1.0)
    assert shrunk([0.5], 0.3, 0.0) == (pytest.approx(0.5), 0.0)


def test_only_the_measured_value_is_anchored(bundle: Bundle) -> None:
    before = labs(bundle)
    after = Anchoring(person(bundle, result(5.0, 4.4)), bundle)(before, NOW)
    for old, new in zip(before, after, strict=True):
        if new.key != "potassium":
            assert new == old
            continue
        offset, factor = shrunk([0.6], 0.3, 0.4)
        assert new.value == pytest.approx(4.5 + offset)
        assert new.interval == pytest.approx((new.value - 0.8 * factor, new.value + 0.8 * factor))
        assert new.anchor is not None
        assert (new.anchor.results, new.anchor.offset) == (1, pytest.approx(offset))
        assert new.anchor.expires == utc_text(NOW + 6 * DAY_NS)


def test_expired_and_future_results_are_ignored(bundle: Bundle) -> None:
    anchoring = Anchoring(person(bundle, result(5.0, 4.4)), bundle)
    for at_ns, moved in (
        (NOW, True),
        (NOW + 6 * DAY_NS - 1, True),
        (NOW + 6 * DAY_NS, False),
        (NOW - DAY_NS - 1, False),
    ):
        after = {lab.key: lab for lab in anchoring(labs(bundle), at_ns)}["potassium"]
        assert (after.anchor is not None) is moved
    assert anchoring((), NOW) == ()
    said = notes(person(bundle, result(5.0, 4.4), result(5.0, 4.4, 8.0)), NOW)
    assert "anchored by 1 of" in said[0]
    assert "1 of this person's results have expired" in said[1]


def test_another_bundle_is_refused(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="anchor again"):
        Anchoring(Person("", "other 1", "0" * 64, "", (result(5.0, 4.4),)), bundle)


def test_a_person_file_round_trips(bundle: Bundle, tmp_path: Path) -> None:
    one = person(bundle, result(5.0, 4.4, 2.0), result(4.8, 4.6))
    (tmp_path / "p.toml").write_text(to_toml(one))
    assert load_person(tmp_path / "p.toml") == one


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("value = 5.0", 'value = "x"', "'value' must be a number"),
        ("between_sd = 0.3", "between_sd = -1", "'between_sd' must be a number"),
        ("between_sd = 0.3", "between_sd = nan", "'between_sd' must be a number"),
        ("at = ", "at_ = ", "'at' must be a string"),
        ('expires = "', 'expires = "x', "'expires' must be a time"),
        ("anyecg.person/1", "anyecg.person/9", "holds no person's results"),
        ("[[results]]", "[[results]", "not valid TOML"),
    ],
)
def test_an_invalid_file_is_refused_and_its_key_named(
    bundle: Bundle, tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = to_toml(person(bundle, result(5.0, 4.4)))
    assert old in text
    (tmp_path / "p.toml").write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=said):
        load_person(tmp_path / "p.toml")


def test_times_need_their_offset() -> None:
    assert unix_ns("1970-01-02T01:00:00+01:00") == DAY_NS
    for text in ("2026-01-01T00:00:00", "yesterday"):
        with pytest.raises(ValueError, match=text):
            unix_ns(text)


def test_variance_components_are_found() -> None:
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(3000), 3)
    error = np.repeat(rng.normal(0, 0.3, 3000), 3) + rng.normal(0, 0.5, 9000)
    found = person_spreads(error, patient, 1.0)
    assert found["between_sd"] == pytest.approx(0.3, abs=0.02)
    assert found["within_sd"] == pytest.approx(0.5, abs=0.02)
    once = person_spreads(error[::3], patient[::3], 1.0)
    assert once["between_sd"] == once["within_sd"]


@pytest.fixture(scope="module")
def run_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "session"
    words = ["run", "--source", "sim:?seed=5&speed=max", "--seconds", "15", "--view", "none"]
    assert main([*words, "--session-dir", str(folder)]) == 0
    return folder


def stamp(offset_s: float = 0.0) -> str:
    return utc_text(time.time_ns() + round(offset_s * 1e9))


def test_a_result_anchors_the_next_run(run_before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, out = tmp_path / "me" / "person.toml", tmp_path / "e.jsonl"
    words = ["calibrate", "person", "--session-dir", str(run_before), "--person", str(mine)]
    assert main([*words, "--lab", "potassium=6.0 mmol/L", "--at", stamp(-5)]) == 0
    assert "later values shift by +" in capsys.readouterr().out
    assert stat.S_IMODE(mine.stat().st_mode) == 0o600
    run = ["run", "--source", "sim:?seed=5&speed=max", "--seconds", "15", "--view", "plain", "--person", str(mine)]
    assert main([*run, "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "potassium is anchored by 1" in shown.err
    assert " anchored" in shown.out
    line = out.read_text().splitlines()[-1]
    lab = next(one for one in json.loads(line)["labs"] if one["key"] == "potassium")
    assert lab["anchor"]["results"] == 1
    assert json.loads(line)["applied"]["person"]["file"] == "person.toml"
    estimate = from_json(line)
    assert next(one for one in estimate.labs if one.key == "potassium").anchor is not None
    # The anchor is removed from an estimate before it is compared with a new result.
    plain = load_person(mine).results[0].estimate
    words = ["calibrate", "person", "--estimates", str(out), "--person", str(mine), "--lab", "potassium=5.0"]
    assert main([*words, "--at", stamp(-4)]) == 0
    assert load_person(mine).results[1].estimate == pytest.approx(plain, abs=0.05)


def test_errors_are_one_line_with_their_exit_code(
    run_before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["calibrate", "person", "--person", str(tmp_path / "p.toml")]
    here = ["--session-dir", str(run_before)]
    lab = ["--lab", "potassium=4.3"]
    now = ["--at", stamp(-1)]
    for code, words, said in (
        (2, [*here, *now, "--lab", "kalium=4.3"], "'kalium' is not an output of the bundle"),
        (2, [*here, *now, "--lab", "potassium_high=1"], "is a probability"),
        (2, [*here, *now, "--lab", "potassium=4.3 mg/dL"], "potassium is in mmol/L, not in mg/dL"),
        (2, [*here, *now, "--lab", "potassium=high"], "has no valid number"),
        (2, [*here, *lab, "--at", stamp(3600)], "is in the future"),
        (2, [*here, *lab, "--at", "2026-01-01T00:00:00"], "is not a time with UTC offset"),
        (2, [*here, *lab, "--at", stamp(-30 * 86400)], "older than 7 days"),
        (3, [*here, *lab, "--at", stamp(-3 * 86400)], "the nearest is 43"),
        (3, ["--estimates", str(tmp_path / "none.jsonl"), *lab, *now], "cannot read"),
    ):
        assert main([*base, *words]) == code
        err = capsys.readouterr().err.strip().splitlines()
        assert len(err) == 1
        assert said in err[0], err
    assert not (tmp_path / "p.toml").exists()


def test_the_default_file_is_in_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path() == tmp_path / "anyecg" / "person.toml"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_path().parts[-4:] == (".local", "share", "anyecg", "person.toml")


@pytest.mark.parametrize("value", ["610", "43", "0.43", "0"])
def test_implausible_results_are_refused(value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misplaced decimal point or another unit would shift every later value of the person."""
    estimates = tmp_path / "none.jsonl"
    at = ["--at", utc_text(time.time_ns()), "--estimates", str(estimates), "--person", str(tmp_path / "p.toml")]
    assert main(["calibrate", "person", "--lab", f"potassium={value}", *at]) == 2
    assert "is not plausible (1 to 15 mmol/L)" in capsys.readouterr().err
    assert not (tmp_path / "p.toml").exists()


def test_the_plausible_results_are_about_outputs_of_the_catalogue() -> None:
    table = tomllib.loads((resources.files("calibration") / "data" / "plausible.toml").read_text(encoding="utf-8"))
    labs_by_loinc = {lab.loinc: lab for lab in catalogue().values()}
    for loinc, (unit, low, high) in table.items():
        lab = labs_by_loinc[loinc]
        assert lab.unit == unit, lab.key
        assert low < 0.9 * (lab.ref_low or 0) or low == 0, lab.key
        assert high > (1.05 if unit == "[pH]" else 1.4) * (lab.ref_high or 0), lab.key
