"""``anyecg baseline``, ``run --baseline``, and sessions that are compared later."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.baseline.file import load_baseline
from edge.baseline.trend import Trend
from edge.baseline.worn import of_session, of_source
from edge.cli.main import main
from edge.cli.service import check_options
from edge.records import Estimate, to_json
from edge.service.unit import HIDDEN, lies_in
from edge.sessions import SessionFolder
from edge.sources import SourceInfo
from edge.sources.decided import Decided
from firmware_bridge.errors import UsageError
from helpers.quiet_hours import AT_REST, Wearer, estimates, write_records
from helpers.session_files import estimate_lines

HOUR = 3600.0
LONGER = Wearer(qtc_ms=470, t_mv=0.15)


def written(argv: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert main(argv) == code
    out = capsys.readouterr()
    return out.out if code == 0 else out.err


def day(t: float) -> Wearer | None:
    return LONGER if t > 900 else None if 300 < t <= 500 else AT_REST


@pytest.fixture
def night(tmp_path: Path) -> Path:
    return write_records(tmp_path / "night", estimates(lambda _t: AT_REST, 1.1 * HOUR))


@pytest.fixture
def baseline(night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    out = tmp_path / "b.json"
    args = ["baseline", str(night), "--out", str(out), "--montage", "sternum"]
    text = written([*args, "--posture", "lying=+0:05/+0:15", "--posture", "sitting=+0:15/+0:25"], capsys)
    assert "60 minutes from 2026-11-18T11:06:40.000Z" in text
    assert "lying (54 windows), sitting (54 windows)" in text
    return out


def test_a_session_is_compared_later_as_the_run_would_have(baseline: Path, tmp_path: Path) -> None:
    records = list(estimates(day, 1800.0, hop_s=5.0))
    trend = Trend(load_baseline(baseline), "patch")
    expected = [to_json(replace(e, change=trend.take(e))) for e in records]
    session = SessionFolder(write_records(tmp_path / "day", iter(records)))
    session.compare(load_baseline(baseline))
    assert [to_json(e) for e in session.estimates()] == expected
    assert json.loads(expected[-1])["change"]["qtc_ms"]["value"] == pytest.approx(70, abs=3)


def test_the_report_shows_the_course_and_says_what_was_found(
    baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_records(tmp_path / "day", estimates(day, 1800.0))
    page = tmp_path / "day.html"
    written(["report", str(folder), "--out", str(page), "--baseline", str(baseline)], capsys)
    text = page.read_text(encoding="utf-8")
    chapter = text.partition('id="change"')[2].partition("</section>")[0]
    assert "QTc, T amplitude, T over R outside of posture and motion" in chapter
    assert re.search(r"QTc</th><td class=\"num\">\+(69|70|71) ms", chapter)
    assert "measured on this person" in chapter
    assert "too few clean windows" in chapter
    assert chapter.count("<svg") == 5
    written(["report", str(folder), "--out", str(page), "--force"], capsys)
    assert "There is no baseline" in page.read_text(encoding="utf-8")


def test_tables_have_columns_only_with_a_baseline(
    baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_records(tmp_path / "day", estimates(day, 1800.0))
    args = ["export", str(folder), "--to", "csv", "--out"]
    written([*args, str(tmp_path / "a"), "--baseline", str(baseline)], capsys)
    written([*args, str(tmp_path / "b")], capsys)
    with (tmp_path / "a/estimates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["change.qtc_ms"]) == pytest.approx(70, abs=3)
    assert rows[-1]["change.qtc_ms.within"].lower() == "false"
    assert rows[0]["change.qtc_ms"] == ""
    assert "change" not in (tmp_path / "b/estimates.csv").read_text().splitlines()[0]
    assert "only for --to csv" in written([*args[:3], "edf", "--baseline", str(baseline)], capsys, 2)


def two_runs() -> Iterator[Estimate]:
    yield from estimates(lambda _t: LONGER, 600.0)
    yield from (e for e in estimates(lambda _t: LONGER, 600.0, run="run2", seed=2))


def test_a_restart_begins_anew_and_another_device_is_not_compared(baseline: Path, tmp_path: Path) -> None:
    session = SessionFolder(write_records(tmp_path / "day", two_runs()))
    session.compare(load_baseline(baseline))
    found = [e.change for e in session.estimates()]
    assert [None if c is None else c.windows for c in found[58:62]] == [30, 30, 1, 2]
    assert found[60] is not None
    assert set(found[60].missing.values()) == {"few_windows"}
    other = SessionFolder(write_records(tmp_path / "other", two_runs(), device="polar_h10"))
    other.compare(load_baseline(baseline))
    assert {reason for e in other.estimates() if e.change for reason in e.change.missing.values()} == {"other_device"}


def test_two_nights_make_one_baseline_and_two_devices_none(
    night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = write_records(tmp_path / "other", estimates(lambda _t: AT_REST, HOUR), device="polar_h10")
    out = str(tmp_path / "two.json")
    assert "another device" in written(["baseline", str(night), str(later), "--out", out], capsys, 3)
    found = json.loads(written(["baseline", str(night), str(night), "--out", out, "--json"], capsys))
    assert found["sources"] == ["night", "night"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--from", "+0:10"], "belong together"),
        (["--from", "+0:10", "--to", "+0:05"], "not after the start"),
        (["--from", "soon", "--to", "+0:05"], "not a time"),
        (["--from", "2026-11-18T11:00:00", "--to", "+0:05"], "not a time"),
        (["--posture", "lying"], "NAME=FROM/TO"),
        (["--posture", "lying=+0:70/+0:80"], "not a time"),
        (["--posture", "lying=+0:00/+0:01"], "clean windows"),
        (["--from", "+0:00", "--to", "+0:10"], "the stated span"),
        (["--montage", "x" * 201], "too long"),
    ],
)
def test_mistakes_are_said_in_one_line(
    more: list[str], said: str, night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.json"
    assert main(["baseline", str(night), "--out", str(out), *more]) in {2, 3}
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_stated_hour_may_have_a_date(night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "b.json"
    span = ["--from", "2026-11-18T11:16:40Z", "--to", "2026-11-18T12:46:40+00:30"]
    assert "stated" in written(["baseline", str(night), "--out", str(out), *span], capsys)
    found = load_baseline(out)
    assert (found.start, found.minutes, found.stated) == ("2026-11-18T11:16:40.000Z", 60.0, True)
    assert "exists" in written(["baseline", str(night), "--out", str(out)], capsys, 2)


def test_a_session_without_waves_and_a_damaged_one_give_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = (replace(e, waves=None, rhythm=None) for e in estimates(lambda _t: AT_REST, HOUR))
    folder = write_records(tmp_path / "old", old)
    assert "0 of 360" in written(["baseline", str(folder), "--out", str(tmp_path / "b.json")], capsys, 3)
    (folder / "session.json").write_text("{")
    assert "not valid JSON" in written(["baseline", str(folder), "--out", str(tmp_path / "b.json")], capsys, 3)


@pytest.mark.timeout(900)
def test_a_planted_change_is_found_from_the_signal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way: simulated ECG, waves, session, baseline, and another run with a longer QT and a flat T."""
    night, out, later = tmp_path / "night", tmp_path / "b.json", tmp_path / "day"
    run = ["run", "--hop", "10", "--view", "none", "--source"]
    written([*run, "sim:?hr=58&seed=3&speed=max", "--seconds", "1300", "--record", "--session-dir", str(night)], capsys)
    written(["baseline", str(night), "--out", str(out)], capsys)
    again = tmp_path / "again.json"
    written(["baseline", str(night / "raw.aer"), "--out", str(again)], capsys)
    same = [replace(load_baseline(path), made="", start="", sources=()) for path in (out, again)]
    assert same[0] == same[1]  # measured from the recording as by the run
    changed = "sim:?hr=64&seed=5&speed=max&qtc_ms=490&t_mv=0.15"
    plan = ["--seconds", "330", "--session-dir", str(later), "--baseline", str(out)]
    written([*run, changed, *plan], capsys)
    last = json.loads(estimate_lines(later)[-1])
    base = load_baseline(out).levels
    assert last["change"]["t_mv"]["value"] == pytest.approx(0.15 - base["t_mv"].median, abs=0.02)
    assert last["change"]["qtc_ms"]["value"] == pytest.approx(490 - 410, abs=15)
    assert last["change"]["qtc_ms"]["within"] is False
    assert last["change"]["r_mv"]["within"] is True
    assert last["applied"]["baseline"]["file"] == "b.json"
    session = SessionFolder(later)
    before = [e.change for e in session.estimates()]
    session.compare(load_baseline(out))
    assert [e.change for e in session.estimates()] == before


def test_postures_that_were_marked_in_the_session_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    standing = Wearer(bpm=75, qtc_ms=390, t_mv=0.2)
    course = lambda t: standing if HOUR < t <= HOUR + 300 else AT_REST  # noqa: E731
    night = write_records(tmp_path / "night", estimates(course, HOUR + 600))
    for name, at in (("lying", "11:46:40"), ("standing", "12:06:40"), ("end", "12:11:40")):
        assert name in written(["mark", str(night), name, "--at", f"2026-11-18T{at}Z"], capsys)
    with (night / "postures.csv").open("a", encoding="utf-8") as file:
        file.write("torn")
    out = tmp_path / "b.json"
    text = written(["baseline", str(night), "--out", str(out)], capsys)
    assert "lying (114 windows), standing (24 windows)" in text
    lying, stood = load_baseline(out).postures
    assert lying.medians["t_mv"] == pytest.approx(0.3, abs=0.01)
    assert stood.medians["t_mv"] == pytest.approx(0.2, abs=0.01)
    written(["mark", str(night), "sitting"], capsys)  # after the session: without a window, and so without effect
    assert written(["baseline", str(night), "--out", str(out), "--force"], capsys) == text
    assert (night / "postures.csv").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("argv", [[""], ["a=b"], ["a,b"], ["x" * 41], ["a\nb"], ["lying", "--at", "now"]])
def test_a_mark_that_could_not_be_read_is_refused(
    argv: list[str], night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(["mark", str(night), *argv], capsys, 2)
    assert not (night / "postures.csv").exists()


@pytest.mark.parametrize(
    ("name", "said", "code"),
    [("sim:?seed=1", "has no end", 2), ("serial:/dev/ttyACM0", "is a device", 3), ("none.csv", "no recording", 3)],
)
def test_what_is_no_recording_is_refused(
    name: str, said: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in written(["baseline", name, "--out", str(tmp_path / "b.json")], capsys, code)


def test_a_recording_without_a_clock_has_times_since_its_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.json"
    name = "sim:?seed=1&seconds=1300"
    assert "has no clock" in written(
        ["baseline", name, "--out", str(out), "--from", "2026-01-31T08:00:00Z", "--to", "2026-01-31T09:00:00Z"],
        capsys,
        2,
    )
    written(["baseline", name, "--out", str(out), "--from", "+0:01", "--to", "+0:21"], capsys)
    assert load_baseline(out).start == "+0:01:00"


def test_a_mark_needs_a_session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not a session" in written(["mark", str(tmp_path), "lying"], capsys, 3)


def test_a_patch_of_several_has_its_own_baseline(
    baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out = tmp_path / "ward.toml", tmp_path / "e.jsonl"
    tables = f'[[patch]]\nname = "a"\nsource = "sim:?seed=1"\nbaseline = "{baseline}"\n'
    found.write_text(f'{tables}[[patch]]\nname = "b"\nsource = "sim:?seed=2"\n', encoding="utf-8")
    run = ["run", "--config", str(found), "--speed", "max", "--seconds", "15", "--view", "none", "--out", str(out)]
    written(run, capsys)
    records = [json.loads(line) for line in out.read_text().splitlines()]
    changes = {(e["patch"], "change" in e, "baseline" in e.get("applied", {})) for e in records}
    assert changes == {("a", True, True), ("b", False, False)}
    reasons = {reason for e in records if e["patch"] == "a" for reason in e["change"]["missing"].values()}
    assert reasons == {"other_device"}  # the baseline was made of "patch"
    assert "for one patch" in written([*run[:1], "--baseline", str(baseline), *run[1:]], capsys, 2)


def test_the_run_says_at_its_start_what_it_compares_with(
    baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "--source", "sim:?speed=max", "--seconds", "12", "--view", "none", "--baseline"]
    assert main([*run, str(baseline)]) == 0
    said = capsys.readouterr().err
    assert "note: baseline of 60 minutes from 2026-11-18T11:06:40.000Z at 60 bpm, worn as: sternum" in said
    assert "changes cannot be told: the baseline is of another device" in said
    assert "'anyecg baseline SESSION --out FILE' writes one" in written([*run, str(tmp_path / "none")], capsys, 2)


def test_a_service_checks_its_baseline(baseline: Path, tmp_path: Path) -> None:
    options = tmp_path / "o.toml"
    options.write_text('source = "sim:"\nbaseline = "b.json"\n', encoding="utf-8")
    with pytest.raises(UsageError, match="'baseline' needs an absolute path"):
        check_options(options)
    baseline.chmod(0o644)
    options.write_text(f'source = "sim:"\nbaseline = "{baseline}"\n', encoding="utf-8")
    hidden = lies_in(baseline, HIDDEN)
    baseline.write_text("{}")
    with pytest.raises(UsageError, match="cannot see" if hidden else "holds no baseline"):
        check_options(options)


def test_recordings_are_compared_by_their_lead() -> None:
    decided = Decided("CSV", "II", "x", 250.0, "x", "mV")
    info = SourceInfo("replay:a.csv", "a.csv", live=False, host_clock=False, decided=decided)
    assert of_source(info) == of_session({"device": "a.csv", "decided": decided.as_dict()}) == ("recording", "II")
    patch = replace(info, device="polar_h10", decided=None)
    assert of_source(patch) == of_session({"device": "polar_h10", "decided": None}) == ("polar_h10", None)
