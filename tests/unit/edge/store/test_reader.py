"""One reader for every form of estimates, damaged or not, and the command that prints them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.records import from_json
from edge.sinks.jsonl import JsonlSink
from edge.store import EstimateReader
from edge.store import compact as compact_module
from edge.store.compact import CompactFile
from firmware_bridge.errors import InputError
from unit.edge.store.test_compact import estimates

LINES = list(estimates(40, heads=2))


def write_compact(first, lines, part_bytes=None):
    file = CompactFile(first, part_bytes)
    for line in lines:
        file.write_line(line)
    file.close()


def write_text(path, lines):
    sink = JsonlSink(path)
    sink.open()
    for line in lines:
        sink.estimate(from_json(line))
    sink.close()


@pytest.mark.parametrize("write", [write_compact, write_text])
def test_both_forms_read_the_same(tmp_path, write):
    write(tmp_path / "out", LINES)
    reader = EstimateReader(tmp_path / "out")
    assert list(reader.lines()) == LINES
    assert list(reader.estimates()) == [from_json(line) for line in LINES]
    assert reader.damage == ""


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("session",), {}),
        (("time",), True),
        (("window", "end_s"), "1"),
        (("window", "end_s"), 10**30),
        (("quality", "score"), [None]),
        (("quality", "flags"), [None]),
        (("labs", 0, "key"), 1.5),
        (("labs", 0, "value"), "<b>"),
        (("labs", 0, "interval"), [0, [1]]),
        (("labs", 0, "interval"), [None, None]),
        (("labs", 0, "flag"), 1),
        (("labs", 0, "windows"), None),
        (("heart_rate_bpm",), "70"),
        (("latency_ms",), "70"),
        (("clock_synced",), 1),
        (("abstained",), {"reason": [1]}),
    ],
)
def test_a_value_of_the_wrong_kind_is_one_clear_error(tmp_path, where, value):
    line = json.loads(next(line for line in LINES if '"labs":[{' in line))
    place = line
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    (tmp_path / "out.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(InputError, match=r"wrong kind|invalid key"):
        list(EstimateReader(tmp_path / "out.jsonl").estimates())


def with_impossible_number(line):
    return json.dumps({**json.loads(line), "lost_samples": -1.5}, separators=(",", ":"))


def test_an_impossible_number_is_said_with_its_place(tmp_path):
    lines = [*LINES[:3], with_impossible_number(LINES[3])]
    text = tmp_path / "estimates.jsonl"
    # A damaged line and an empty one count as lines of the file.
    text.write_text("\n".join([LINES[0], "{", "", *lines, ""]))
    with pytest.raises(InputError) as raised:
        list(EstimateReader(text).estimates())
    assert (raised.value.what, raised.value.fix) == (
        f"{text}, line 7: an estimate has a value of the wrong kind: lost_samples", "remove the line",
    )  # fmt: skip


def test_an_impossible_number_of_the_compact_form_is_said_with_its_place(tmp_path):
    first = tmp_path / "estimates.aee"
    write_compact(first, LINES[:12], part_bytes=500)
    parts = EstimateReader(tmp_path).files
    assert len(parts) > 1
    write_compact(first, [*LINES[12:14], with_impossible_number(LINES[14])])
    newest = EstimateReader(tmp_path).files[-1]
    with pytest.raises(InputError) as raised:
        list(EstimateReader(tmp_path).estimates())
    assert raised.value.what == f"{newest}, estimate 3: an estimate has a value of the wrong kind: lost_samples"
    assert raised.value.fix == f"'anyecg estimates {newest}' writes it as a line of JSON"


def test_a_session_is_read_in_order(tmp_path):
    write_text(tmp_path / "estimates.jsonl", LINES[:5])  # an earlier version of the kit
    for at in range(5, 40, 5):
        write_compact(tmp_path / "estimates.aee", LINES[at : at + 5], part_bytes=500)
    names = [path.name for path in EstimateReader(tmp_path).files]
    assert names[:3] == ["estimates.jsonl", "estimates.aee", "estimates.2.aee"]
    assert len(names) > 11  # where sorting by name would fail
    assert list(EstimateReader(tmp_path).lines()) == LINES
    # Oldest parts that --keep removed are no damage, and their numbers are not used again.
    (tmp_path / "estimates.jsonl").unlink()
    (tmp_path / "estimates.aee").unlink()
    write_compact(tmp_path / "estimates.aee", LINES[:1])
    reader = EstimateReader(tmp_path)
    assert reader.files[-1].name == f"estimates.{len(names)}.aee"
    assert list(reader.lines())[-1] == LINES[0]


def test_parts_by_age(tmp_path, monkeypatch):
    monkeypatch.setattr(compact_module, "PART_S", -1.0)
    write_compact(tmp_path / "estimates.aee", LINES[:3])
    assert len(EstimateReader(tmp_path).files) == 3


@pytest.mark.parametrize(
    ("content", "lines", "lost", "damaged", "tail"),
    [
        ("{L0}\n{L1}\n", 2, 0, 0, 0),
        ("{L0}\n{L1}", 1, 0, 0, "L1"),
        ("{L0}\n\0\0\0\0", 1, 0, 0, 4),
        ("{L0}\n{brok\n{L1}\n", 2, 1, 6, 0),
        ("{L0}\nx\ny\n\n{L1}\n[1]\n", 2, 1, 5, 4),
        ("", 0, 0, 0, 0),
        ("\0\0\0\0", 0, 0, 0, 4),
    ],
)
def test_damaged_text(tmp_path, content, lines, lost, damaged, tail):
    path = tmp_path / "out.jsonl"
    path.write_text(content.replace("{L0}", LINES[0]).replace("{L1}", LINES[1]))
    reader = EstimateReader(path)
    assert list(reader.lines()) == LINES[:lines]
    tail = len(LINES[1]) if tail == "L1" else tail
    assert (reader.lost_lines, reader.damaged_bytes, reader.tail_bytes) == (lost, damaged, tail)


@pytest.mark.parametrize("start", [b"AEC", b"\0\0\0", b"\0" * 512 + b"xx"])
def test_a_part_whose_start_a_power_cut_damaged_hides_no_other(tmp_path, start):
    file = CompactFile(tmp_path / "estimates.aee")
    file.write_line(LINES[0])
    file.close()
    (tmp_path / "estimates.2.aee").write_bytes(start)
    reader = EstimateReader(tmp_path)
    assert list(reader.lines()) == LINES[:1]
    assert reader.tail_bytes == len(start)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n0000", b"time,ecg\n1,2", b"{\n" * 100])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "out").write_bytes(content)
    with pytest.raises(InputError, match="holds no estimates"):
        list(EstimateReader(tmp_path / "out").lines())


def test_places_without_estimates(tmp_path):
    os.mkfifo(tmp_path / "estimates.aee")
    for path in (tmp_path, tmp_path / "no", tmp_path / "estimates.aee", Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(InputError):
            EstimateReader(path)
    (tmp_path / "x").write_text(LINES[0].replace("estimate/2", "estimate/9") + "\n")
    with pytest.raises(InputError, match="schema"):
        list(EstimateReader(tmp_path / "x").estimates())


def test_the_command_prints_every_form(tmp_path, capsys):
    session = tmp_path / "session"
    session.mkdir()
    write_compact(session / "estimates.aee", LINES[:20], part_bytes=500)
    write_text(tmp_path / "out.jsonl", LINES[20:])
    assert main(["estimates", str(session), str(tmp_path / "out.jsonl")]) == 0
    said = capsys.readouterr()
    assert said.out == "".join(f"{line}\n" for line in LINES)
    assert said.err == ""


def test_the_command_counts_damage(tmp_path, capsys):
    path = tmp_path / "estimates.aee"
    write_compact(path, LINES)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert main(["estimates", str(path)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == LINES[:-1]
    assert "bytes of an unfinished estimate at the end were skipped" in said.err
    path.write_bytes(whole[:-100] + b"x" + whole[-99:] + whole)
    assert main(["estimates", str(path)]) == 3
    said = capsys.readouterr()
    assert said.out.splitlines()[-40:] == LINES
    assert "damaged bytes were skipped" in said.err
    assert main(["estimates", str(tmp_path / "no")]) == 3


def test_a_closed_pipe_ends_the_command_quietly(tmp_path):
    write_text(tmp_path / "out", [line for _ in range(100) for line in LINES])
    command = f"{sys.executable} -m edge.cli estimates {tmp_path}/out | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, LINES[0] + "\n", "")


def test_a_run_that_was_killed_is_read_up_to_its_last_estimate(tmp_path):
    """``kill -9`` at any moment: what a call has returned for is on the disk."""
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from unit.edge.store.test_reader import *
file = CompactFile(Path({str(tmp_path)!r}) / "estimates.aee", 2000)
for i in range(100_000):
    file.write_line(LINES[i % 40])
    print(i, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        for _ in range(500):
            last = int(run.stdout.readline())
        run.kill()
    got = list(EstimateReader(tmp_path).lines())
    assert len(got) > last
    assert got == [LINES[i % 40] for i in range(len(got))]


def test_estimates_of_another_clock_are_kept(tmp_path):
    odd = replace(from_json(LINES[0]), time="not a time", device="\ud800é\0")
    write_text(tmp_path / "out", LINES[:1])
    sink = CompactFile(tmp_path / "estimates.aee")
    from edge.records import to_json

    sink.write_line(to_json(odd))
    sink.close()
    assert list(EstimateReader(tmp_path).estimates()) == [odd]
