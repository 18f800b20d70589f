"""``--keep``: the oldest goes first, the open files of running sessions stay, and so does everything of others."""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
import time
from dataclasses import replace

import pytest

from edge.cli.main import main
from edge.sinks.session import SessionSink
from edge.sources import SourceInfo
from edge.store.forecast import estimates_a_day, session_a_day, start_line
from edge.store.keep import SESSION_SCHEMA, Keeper, parse_keep
from edge.store.reader import EstimateReader
from edge.store.storage import Storage
from firmware_bridge.errors import UsageError
from firmware_bridge.parts import next_part, part_number
from unit.edge.sinks.test_sinks import DEMO, ESTIMATE, SOURCE, at

HOUR_S = 3600.0


@pytest.mark.parametrize(
    ("text", "size", "age"),
    [
        ("2GB", 2_000_000_000, None),
        ("500MB", 500_000_000, None),
        ("1.5 GiB", 1_610_612_736, None),
        ("30d", None, 30 * 86400.0),
        ("12h", None, 12 * HOUR_S),
        ("2GB,8w", 2_000_000_000, 56 * 86400.0),
        ("8w, 2GB", 2_000_000_000, 56 * 86400.0),
        ("all", None, None),
    ],
)
def test_limits(text, size, age):
    keep = parse_keep(text)
    assert (keep.max_bytes, keep.max_age_s) == (size, age)
    assert (keep.part_bytes is None) == (text == "all")


@pytest.mark.parametrize(
    "text", ["", "2", "2 G", "GB", "2GB,3GB", "1d,2d", "0GB", "999kB", "59m", "0.5h", "-1GB", "1e9GB", "١GB", "all,2GB"]
)
def test_limits_that_are_none(text):
    with pytest.raises(UsageError, match="--keep"):
        parse_keep(text)


def test_names_of_parts(tmp_path):
    first = tmp_path / "raw.aer"
    assert next_part(first) == first
    for name in ("raw.aer", "raw.9.aer", "raw.10.aer", "raw.01.aer", "raw.x.aer", "raw.2.aer.gz", "draw.50.aer"):
        (tmp_path / name).touch()
    assert next_part(first).name == "raw.11.aer"
    names = ("raw.aer", "raw.1.aer", "raw.2.aer", "raw.007.aer")
    assert [part_number("raw.aer", name) for name in names] == [1, 0, 2, 0]


def make_session(folder, files, hours_old=0.0, *, finished=True):
    """A session folder with files of given sizes, each an hour newer than the one before."""
    folder.mkdir()
    (folder / "session.json").write_text(json.dumps({"schema": SESSION_SCHEMA}))
    if finished:
        (folder / "summary.json").write_text("{}")
    for i, (name, size) in enumerate(files.items()):
        (folder / name).write_bytes(bytes(size))
        changed = time.time() - (hours_old - i) * HOUR_S
        os.utime(folder / name, (changed, changed))
    return folder


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def keeper(text, session, *, others=True):
    said = []
    storage = Storage(said.append)
    return Keeper(parse_keep(text), session, storage, others=others), storage, said


FULL = {"estimates.aee": 200_000, "raw.aer": 400_000, "raw.2.aer": 400_000, "beats.csv": 10_000, "events.jsonl": 5000}


def test_the_oldest_go_first_across_sessions(tmp_path):
    old = make_session(tmp_path / "b-old", FULL, 100)
    new = make_session(tmp_path / "a-new", FULL, 50)
    mine = make_session(tmp_path / "mine", {"raw.aer": 300_000, "raw.2.aer": 300_000}, 10, finished=False)
    keep, storage, said = keeper("2MB", mine)
    assert keep.apply()
    # Closed parts may take 1.5 MB; they take 2.33, so three parts of the old session go.
    assert left(old) == ["beats.csv", "events.jsonl", "session.json", "summary.json"]
    assert len(left(new)) == 7
    assert len(left(mine)) == 4 - 1
    assert (storage.removed_files, storage.removed_bytes) == (3, 1_000_000)
    assert said == [f"removing the oldest files of sessions, as --keep says; the first is {old}/estimates.aee"]
    assert not keep.apply()


def test_a_session_without_parts_goes_as_a_whole_unless_it_holds_something_else(tmp_path):
    plain = make_session(tmp_path / "plain", FULL, 100)
    noted = make_session(tmp_path / "noted", FULL, 100)
    (noted / "notes.txt").write_text("mine")
    mine = make_session(tmp_path / "mine", {}, finished=False)
    keep, _, _ = keeper("1d", mine)
    assert keep.apply()
    assert not plain.exists()
    assert left(noted) == ["notes.txt"]
    assert left(mine) == ["session.json"]


def test_nothing_else_is_touched(tmp_path):
    mine = make_session(tmp_path / "mine", FULL, 1000, finished=False)
    (mine / "thesis.txt").write_bytes(bytes(5_000_000))
    (mine / "raw.2.aer.bak").write_bytes(bytes(5_000_000))
    other = tmp_path / "photos"
    other.mkdir()
    (other / "raw.aer").write_bytes(bytes(5_000_000))
    foreign = make_session(tmp_path / "foreign", FULL, 1000)
    (foreign / "session.json").write_text('{"schema":"somebody.else/1"}')
    outside = make_session(tmp_path.parent / f"{tmp_path.name}-outside", FULL, 1000)
    (tmp_path / "link").symlink_to(outside)
    linked = make_session(tmp_path / "linked", {}, 1000)
    (linked / "raw.aer").symlink_to(outside / "raw.aer")
    (tmp_path / "raw.aer").write_bytes(bytes(5_000_000))
    before = {folder: left(folder) for folder in (other, foreign, outside, linked)}
    keep, _, _ = keeper("1MB,1h", mine)
    assert keep.apply()
    # Of its own session only what is closed: the open part of each file stays, however old.
    assert left(mine) == [
        "beats.csv", "estimates.aee", "events.jsonl", "raw.2.aer", "raw.2.aer.bak", "session.json", "thesis.txt",
    ]  # fmt: skip
    assert {folder: left(folder) for folder in before} == before
    assert (tmp_path / "raw.aer").exists()


def test_running_sessions_and_without_keep_all_others_stay(tmp_path):
    mine = make_session(tmp_path / "mine", {}, finished=False)
    running = make_session(tmp_path / "running", FULL, 1000, finished=False)
    cut = make_session(tmp_path / "cut", FULL, 1000, finished=False)
    with (running / "beats.csv").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not keeper("1d", mine, others=False)[0].apply()
        assert keeper("1d", mine)[0].apply()
        assert len(left(running)) == 6
    assert not cut.exists()
    assert keeper("1d", mine)[0].apply()
    assert not running.exists()
    assert not keeper("all", mine)[0].apply()


def test_a_session_stays_within_its_limit(tmp_path):
    said = []
    storage = Storage(said.append)
    sink = SessionSink(tmp_path / "s", SOURCE, DEMO, "a", keep=parse_keep("1MB"), storage=storage)
    sink.open()
    largest = 0
    written = 0
    while written < 1500:
        for _ in range(20):
            # Text that no form makes smaller: many parts from few estimates.
            sink.estimate(replace(at(written), device=os.urandom(1000).hex()))
            sink.beat(written)
            written += 1
        largest = max(largest, sum(path.stat().st_size for path in (tmp_path / "s").iterdir()))
    sink.close(None)
    assert storage.removed_files > 5
    assert 600_000 < largest <= 1_000_000
    ends = [e.window.end_s for e in EstimateReader(tmp_path / "s").estimates()]
    assert ends == list(range(written - len(ends), written))
    assert len(said) == 1
    run = json.loads((tmp_path / "s" / "session.json").read_text())["runs"][0]
    assert run["storage"]["removed_files"] == storage.removed_files
    assert json.loads((tmp_path / "s" / "session.json").read_text())["keep"] == "1MB"
    assert f"{storage.removed_files} old files removed" in storage.text()


def test_a_session_is_private(tmp_path):
    sink = SessionSink(tmp_path / "a" / "s", SourceInfo("sim:", "x", live=False, host_clock=False), DEMO, "a")
    sink.open()
    sink.estimate(ESTIMATE)
    sink.close(None)
    assert (tmp_path / "a" / "s").stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "a" / "s").iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 4


def test_the_options_of_a_run(tmp_path, capsys):
    assert main(["run", "--source", "sim:", "--keep", "2GB"]) == 2
    assert "--session-dir" in capsys.readouterr().err
    folder = tmp_path / "s"
    assert main(["run", "--source", "sim:", "--session-dir", str(folder), "--keep", "2 lightyears"]) == 2
    assert "write a size" in capsys.readouterr().err
    config = tmp_path / "run.toml"
    config.write_text('source = "sim:?speed=20"\nkeep = "2GB,30d"\nseconds = 14\nview = "none"\n')
    other = make_session(tmp_path / "other", FULL, 24 * 40)
    assert main(["run", "--config", str(config), "--session-dir", str(folder), "--record"]) == 0
    said = capsys.readouterr().err
    assert f"{folder} grows by about" in said
    assert "the newest 2" in said
    assert f"removing the oldest files of sessions, as --keep says; the first is {other}" in said
    assert not other.exists()
    assert json.loads((folder / "session.json").read_text())["keep"] == "2GB,30d"
    assert (folder / "raw.aer").stat().st_mode & 0o777 == 0o600


def test_the_forecast(tmp_path):
    assert estimates_a_day(12, 1.0) * 10 < estimates_a_day(12, 1.0, compact=False)
    assert estimates_a_day(12, 5.0) * 5 == pytest.approx(estimates_a_day(12, 1.0))
    a_day = session_a_day(12, 1.0, 250.0)
    assert a_day > session_a_day(12, 1.0, None) > estimates_a_day(12, 1.0)
    line = start_line(tmp_path, 100e6, parse_keep("2GB"))
    assert "grows by about 100 MB a day; the newest 20 days are kept (--keep 2GB)" in line
    assert " GB are free: " in line
    assert "the newest 12 hours are kept" in start_line(tmp_path, 100e6, parse_keep("2GB,12h"))
    assert "everything is kept" in start_line(tmp_path / "no", 1.0, parse_keep("all"))


def test_looking_interns_no_name_of_a_part(tmp_path, monkeypatch):
    mine = make_session(tmp_path / "mine", {f"raw.{i}.aer": 10 for i in range(2, 9)}, finished=False)
    make_session(tmp_path / "other", {"beats.2.csv": 10})
    keep, _storage, _said = keeper("2GB,30d", mine)
    interned, intern = [], sys.intern
    monkeypatch.setattr(sys, "intern", lambda text: interned.append(text) or intern(text))
    assert not keep.apply()
    assert next_part(mine / "raw.aer") == mine / "raw.9.aer"
    assert not [text for text in interned if re.search(r"raw\.[2-8]|beats|other", text)]
