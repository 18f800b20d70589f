"""Sinks: no written line is lost, other files stay unchanged, and every failure is one clear line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.records import BundleRef, Estimate, QualityRecord, RunSummary, WindowSpan, from_json, to_json
from edge.sinks import SinkClosedError
from edge.sinks._append import AppendFile
from edge.sinks.found import FoundSink
from edge.sinks.jsonl import JsonlSink, StdoutJsonlSink, open_jsonl
from edge.sinks.memory import MemorySink
from edge.sinks.session import SessionSink, next_raw_path
from edge.sources import SourceInfo
from edge.sources.decided import Decided
from edge.store import synced as synced_module
from edge.store.reader import EstimateReader
from edge.waves.record import WaveRecord
from firmware_bridge.errors import OutputError, UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind

ROOT = Path(__file__).parents[4]
BUNDLE = BundleRef("demo", "0" * 64)
ESTIMATE = Estimate("2026-11-22T16:00:00.000Z", True, "s", "patch", WindowSpan(0, 10), BUNDLE, QualityRecord(0.9), 60.0)


def at(second):
    return replace(ESTIMATE, window=WindowSpan(second - 10, second))


def written(path, *estimates):
    sink = JsonlSink(path)
    sink.open()
    for e in estimates:
        sink.estimate(e)
    sink.close(None)


def test_a_file_is_continued(tmp_path):
    path = tmp_path / "out.jsonl"
    written(path, at(10), at(11))
    written(path, at(12))
    assert [from_json(line).window.end_s for line in path.read_text().splitlines()] == [10, 11, 12]


@pytest.mark.parametrize("tail", ['{"schema":"anyecg.est', "\0" * 700, '{"a"\0\0'])
def test_an_incomplete_last_line_is_removed(tmp_path, tail):
    path = tmp_path / "out.jsonl"
    path.write_text(to_json(at(10)) + "\n" + tail)
    written(path, at(11))
    assert path.read_text() == to_json(at(10)) + "\n" + to_json(at(11)) + "\n"


def test_only_a_partial_line(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text('{"sch')
    written(path, at(10))
    assert path.read_text() == to_json(at(10)) + "\n"


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n0000", b"time,ecg\n1,2", b"{" + b"x" * (2 << 20)])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "picture"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="choose another file"):
        written(path, at(10))
    assert path.read_bytes() == content


def test_two_runs_do_not_write_one_file(tmp_path):
    first = JsonlSink(tmp_path / "out.jsonl")
    first.open()
    with pytest.raises(OutputError, match="another run"):
        JsonlSink(tmp_path / "out.jsonl").open()
    first.close(None)
    written(tmp_path / "out.jsonl", at(10))


def test_places_that_cannot_be_written(tmp_path):
    for path in (tmp_path, tmp_path / "no" / "out.jsonl", "/proc/nothing"):
        with pytest.raises(OutputError) as caught:
            JsonlSink(path).open()
        assert str(path) in str(caught.value)
    with pytest.raises(OutputError, match="free some space"):
        written("/dev/full", at(10))
    written("/dev/null", at(10))


def test_a_full_disk_leaves_complete_lines(tmp_path):
    """RLIMIT_FSIZE stops a write in the middle of a line, as a full disk does."""
    path = tmp_path / "out.jsonl"
    code = f"""
        import resource, signal
        from tests.unit.edge.sinks.test_sinks import *
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        sink = JsonlSink({str(path)!r})
        sink.open()
        for i in range(10):
            sink.estimate(at(10 + i))
        try:
            sink.close(None)
        except OutputError as error:
            print("refused:", error)
        """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert f"refused: cannot write {path}: the disk is full; 8 estimates at the end are lost" in done.stdout
    text = path.read_text()
    assert text.endswith("\n")
    assert [from_json(line).window.end_s for line in text.splitlines()] == [10, 11]


def test_nothing_written_is_lost_at_kill_9(tmp_path):
    path = tmp_path / "out.jsonl"
    code = f"""
        import sys, time
        from tests.unit.edge.sinks.test_sinks import *
        sink = JsonlSink({str(path)!r})
        sink.open()
        for i in range(1000):
            sink.estimate(at(10 + i))
            print(10 + i, flush=True)
            time.sleep(0.001)
        """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        for _ in range(20):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    ends = [from_json(line).window.end_s for line in path.read_text().splitlines()]
    assert ends[: last - 9] == list(range(10, last + 1))


def test_lines_reach_the_medium_within_seconds_without_further_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(synced_module, "SYNC_INTERVAL_S", 0.05)
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    file = AppendFile(tmp_path / "a", b"x")
    file.open()
    synced.clear()  # of the folder, for the name
    started = time.monotonic()
    for _ in range(50):
        file.write_line("x")
    while file._dirty.is_set() or not synced:
        time.sleep(0.01)
    during, took_s = len(synced), time.monotonic() - started
    file.close()
    # Not one per line: there is an interval before each.
    assert 1 <= during <= took_s / 0.05
    assert len(synced) >= during + 1


def test_a_failing_medium_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(synced_module, "SYNC_INTERVAL_S", 0.01)

    def fail(fd):
        raise OSError(5, "Input/output error")

    file = AppendFile(tmp_path / "a", b"x")
    file.open()
    monkeypatch.setattr(os, "fsync", fail)
    file.write_line("x")
    while file._sync_error is None:
        time.sleep(0.01)
    with pytest.raises(OutputError, match="Input/output error"):
        file.write_line("x")
    with pytest.raises(OutputError, match="Input/output error"):
        file.close()
    file.close()


def test_stdout_without_a_reader_ends_quietly():
    read, write = os.pipe()
    sink = StdoutJsonlSink(write)
    sink.open()
    sink.estimate(ESTIMATE)
    assert os.read(read, 10_000).decode() == to_json(ESTIMATE) + "\n"
    os.close(read)
    with pytest.raises(SinkClosedError):
        sink.estimate(ESTIMATE)
    os.close(write)
    assert isinstance(open_jsonl("-"), StdoutJsonlSink)
    assert isinstance(open_jsonl("file"), JsonlSink)


def test_stdout_that_is_slow_and_does_not_block(tmp_path):
    read, write = os.pipe()
    os.set_blocking(write, False)
    with (tmp_path / "out").open("wb") as out:
        reader = subprocess.Popen(["sh", "-c", "sleep 0.2; cat"], stdin=read, stdout=out)
    os.close(read)
    sink = StdoutJsonlSink(write)
    sink.open()
    for i in range(500):
        sink.estimate(at(10 + i))
    os.close(write)
    assert reader.wait(timeout=120) == 0
    lines = (tmp_path / "out").read_text().splitlines()
    assert [from_json(line).window.end_s for line in lines] == [10 + i for i in range(500)]


def test_memory_sink_keeps_everything():
    sink = MemorySink()
    sink.open()
    sink.estimate(ESTIMATE)
    sink.beat(1.0)
    sink.event(LinkEvent(LinkEventKind.INFO, 0))
    sink.close(RunSummary(hops=1))
    assert (sink.estimates, sink.beats_s, len(sink.events), sink.summary.hops) == ([ESTIMATE], [1.0], 1, 1)


SOURCE = SourceInfo("record:raw.aer,serial:/dev/ttyACM0", "patch 7", live=True, host_clock=True)
HEADS = (SimpleNamespace(key="k", means="potassium above 5.0 mmol/L"), SimpleNamespace(key="v", means=None))
DEMO = SimpleNamespace(manifest=SimpleNamespace(name="demo", version="1", outputs=HEADS), sha256="0" * 64)


def session(path, source=SOURCE, bundle=DEMO, name="a"):
    sink = SessionSink(path, source, bundle, name)
    sink.open()
    return sink


def test_a_session_folder(tmp_path):
    sink = session(tmp_path / "s")
    sink.estimate(ESTIMATE)
    for t in (1.0, 1.8, 9.0):
        sink.beat(t)
    sink.event(LinkEvent(LinkEventKind.HELLO, 5, "patch 7", {"fs_hz": 250}))
    sink.close(RunSummary(hops=1))
    files = sorted(p.name for p in (tmp_path / "s").iterdir())
    assert files == ["beats.csv", "estimates.aee", "events.jsonl", "session.json", "summary.json"]
    assert (tmp_path / "s" / "beats.csv").read_text() == (
        "run,time_s,rr_s,pr_ms,qrs_ms,qt_ms\n1,1.000,,,,\n1,1.800,0.800,,,\n1,9.000,,,,\n"
    )
    about = json.loads((tmp_path / "s" / "session.json").read_text())
    assert about["device_url"] == "serial:/dev/ttyACM0"
    means = {"k": "potassium above 5.0 mmol/L"}
    assert about["bundle"] == {"name": "demo 1", "sha256": "0" * 64, "means": means}
    assert about["versions"]["numpy"]
    assert json.loads((tmp_path / "s" / "events.jsonl").read_text())["data"] == {"fs_hz": 250}
    assert json.loads((tmp_path / "s" / "summary.json").read_text())["hops"] == 1
    with pytest.raises(UsageError, match="finished"):
        session(tmp_path / "s")


def test_a_session_states_what_the_reader_decided(tmp_path):
    decided = Decided("CSV", "II", "lead=", 250.0, "clock t", "mV", "header", "t", {"encoding": "utf-8"})
    sink = session(tmp_path / "s", replace(SOURCE, live=False, decided=decided))
    first = json.loads((tmp_path / "s" / "session.json").read_text())["decided"]
    sink.event(LinkEvent(LinkEventKind.INFO, 5, "3 rows skipped", {"decided": {"skipped_rows": 3}}))
    sink.close(RunSummary(hops=1))
    last = json.loads((tmp_path / "s" / "session.json").read_text())["decided"]
    assert (first["lead"], first["rate_from"], first["encoding"]) == ("II", "clock t", "utf-8")
    assert last == first | {"skipped_rows": 3}
    session(tmp_path / "device").close(None)
    assert json.loads((tmp_path / "device" / "session.json").read_text())["decided"] is None


def test_findings_of_a_reader_are_notes_at_the_end(capsys):
    sink = FoundSink(sys.stderr)
    sink.event(LinkEvent(LinkEventKind.INFO, 5, "battery 80 %"))
    sink.event(LinkEvent(LinkEventKind.INFO, 5, "3 rows\x1b[2J skipped", {"decided": {"skipped_rows": 3}}))
    sink.close(None)
    assert capsys.readouterr().err == "note: 3 rows\ufffd[2J skipped\n"


def test_an_interrupted_session_is_continued(tmp_path):
    assert next_raw_path(tmp_path).name == "raw.aer"
    (tmp_path / "raw.aer").write_bytes(b"")
    sink = session(tmp_path)
    sink.estimate(ESTIMATE)
    sink.close(None)
    assert next_raw_path(tmp_path).name == "raw.2.aer"
    again = replace(SOURCE, url="record:raw.2.aer,serial:/dev/ttyACM0")
    sink = session(tmp_path, again, name="b")
    sink.beat(2.0)
    sink.close(RunSummary())
    runs = json.loads((tmp_path / "session.json").read_text())["runs"]
    assert [run["session"] for run in runs] == ["a", "b"]
    assert list(EstimateReader(tmp_path).estimates()) == [ESTIMATE]
    assert (tmp_path / "beats.csv").read_text().splitlines()[-1] == "2,2.000,,,,"


def test_a_beat_gets_the_waves_of_the_window_that_includes_it(tmp_path):
    sink = session(tmp_path)
    waves = WaveRecord(8, 800.0, pr_ms=160.4, qrs_ms=92.0, missing={"t": "flat"})
    for t in (0.5, 4.0, 8.9, 9.1):
        sink.beat(t)
    sink.estimate(replace(ESTIMATE, window=WindowSpan(1.0, 10.0), waves=waves))
    sink.beat(10.2)
    sink.estimate(replace(ESTIMATE, window=WindowSpan(2.0, 11.0), abstained="poor_signal", labs=()))
    lines = (tmp_path / "beats.csv").read_text().splitlines()[1:]
    assert lines == ["1,0.500,,,,", "1,4.000,,160,92,", "1,8.900,,160,92,", "1,9.100,0.200,,,"]
    sink.close(RunSummary())
    assert (tmp_path / "beats.csv").read_text().splitlines()[-1] == "1,10.200,1.100,,,"


def test_a_start_that_was_killed_is_no_obstacle(tmp_path):
    left = {".session.json.part": "{", "estimates.jsonl": "", "events.jsonl": "", "beats.csv": "run,time_s,rr_s\n"}
    for name, text in left.items():
        (tmp_path / name).write_text(text)
    session(tmp_path).close(RunSummary())
    assert json.loads((tmp_path / "session.json").read_text())["runs"][0]["session"] == "a"


@pytest.mark.parametrize("name", ["estimates.jsonl", "events.jsonl", "beats.csv"])
def test_a_start_that_a_power_cut_has_filled_with_zeros_is_no_obstacle(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(35))
    sink = session(tmp_path)
    sink.beat(2.0)
    sink.estimate(ESTIMATE)
    sink.close(RunSummary())
    header, *beats = (tmp_path / "beats.csv").read_text().splitlines()
    assert (header, len(beats)) == ("run,time_s,rr_s,pr_ms,qrs_ms,qt_ms", 1)
    assert (tmp_path / "events.jsonl").read_bytes() == b""
    assert list(EstimateReader(tmp_path).estimates()) == [ESTIMATE]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("beats.csv", "run,time_s,rr_s\n1,2.000,\n"),
        ("beats.csv", "run,time_s,rr_s,pr_ms,qrs_ms,qt_ms\n1\n"),
        ("beats.csv", "mine\n"),
        ("estimates.jsonl", "{}\n"),
        ("events.jsonl", "\0\0{}\n"),
        ("events.csv", ""),
    ],
)
def test_results_without_their_session_are_not_touched(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="holds no session"):
        session(tmp_path)
    assert (tmp_path / name).read_text() == text


@pytest.mark.parametrize(
    "other",
    [
        {"source": replace(SOURCE, url="serial:/dev/other")},
        {"bundle": SimpleNamespace(manifest=DEMO.manifest, sha256="1" * 64)},
        {"source": replace(SOURCE, live=False)},
    ],
)
def test_another_session_is_not_mixed_in(tmp_path, other):
    session(tmp_path).close(None)
    before = (tmp_path / "session.json").read_text()
    with pytest.raises(UsageError, match="name a new folder"):
        session(tmp_path, **other)
    assert (tmp_path / "session.json").read_text() == before


def test_two_runs_do_not_share_a_folder(tmp_path):
    first = session(tmp_path)
    second = SessionSink(tmp_path, SOURCE, DEMO, "b")
    with pytest.raises(OutputError, match="another run"):
        second.open()
    second.close(RunSummary())
    assert not (tmp_path / "summary.json").exists()
    first.close(None)


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "photo.jpg").write_text("x")
    with pytest.raises(UsageError, match="not empty"):
        session(tmp_path)
    (tmp_path / "session.json").write_text("{broken")
    with pytest.raises(UsageError, match="cannot be read"):
        session(tmp_path)
    for path in (tmp_path / "photo.jpg", "/proc/nothing/here"):
        with pytest.raises(OutputError):
            session(path)
