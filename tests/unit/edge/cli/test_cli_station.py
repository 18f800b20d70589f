"""`anyecg run` with several patches, from the options to files, summary and exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.http.server import PageServer
from edge.sinks import BaseSink
from edge.sinks.lsl import MAX_NAME
from edge.store import EstimateReader
from helpers.page_client import Viewer, get

SIM = "sim:?speed=max&seconds=13.6&seed="


def run(*words: str) -> int:
    return main(["run", "--view", "none", *words])


def station(tmp_path: Path, text: str) -> str:
    path = tmp_path / "ward.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_of_patches_gives_each_its_folder_and_all_one_file(tmp_path: Path, capsys) -> None:
    config = station(
        tmp_path,
        f'session-dir = "{tmp_path}/ward"\nout = "{tmp_path}/all.jsonl"\nhop = 2\n'
        f'[[patch]]\nname = "bedroom"\nsource = "{SIM}1"\n'
        f'[[patch]]\nsource = "{SIM}2"\nsession-dir = "{tmp_path}/own"\n',
    )
    assert run("--config", config, "--record") == 0
    together = lines(tmp_path / "all.jsonl")
    assert {one["patch"] for one in together} == {"bedroom", "sim"}
    for name, folder in (("bedroom", tmp_path / "ward/bedroom"), ("sim", tmp_path / "own")):
        own = [json.loads(line) for line in EstimateReader(folder).lines()]
        assert own == [one for one in together if one["patch"] == name]
        assert {one["session"] for one in own} == {
            json.loads((folder / "session.json").read_text())["runs"][0]["session"]
        }
        assert json.loads((folder / "summary.json").read_text())["ended_by"] == "end"
        assert (folder / "raw.aer").stat().st_size > 0
    said = capsys.readouterr()
    assert [row.split()[0] for row in said.out.splitlines() if row.endswith("  end")] == ["bedroom", "sim"]
    assert f"next        anyecg sessions {tmp_path}/ward" in said.out
    # Again: both folders hold finished sessions, and each patch says so.
    assert run("--config", config) == 2
    said = capsys.readouterr()
    assert f"bedroom: ended: {tmp_path}/ward/bedroom holds a finished session" in said.err
    assert f"sim: ended: {tmp_path}/own holds a finished session" in said.err


def test_one_session_folder_that_cannot_be_written_ends_one_patch(tmp_path: Path, capsys) -> None:
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "b").write_text("a file where the folder belongs")
    sources = ["--source", f"a={SIM}1", "--source", f"b={SIM}2"]
    assert run(*sources, "--session-dir", str(tmp_path / "night")) == 7
    said = capsys.readouterr()
    assert said.err.count("b: ended: ") == 1
    assert "failed: " in next(row for row in said.out.splitlines() if row.startswith("b "))
    assert len(list(EstimateReader(tmp_path / "night" / "a").lines())) == 12


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["--source", "serial:/dev/ttyACM0", "--source", "serial:/dev/ttyACM0"], 2, "have the same source"),
        (["--source", "a=sim:", "b=replay:/nowhere.csv"], 3, "b: no such recording: /nowhere.csv"),
        (["--source", "a=sim:", "b=sim:?x=1"], 2, "anyecg: b: unknown parameter 'x'"),
        (["--source", "sim:", "sim:?seed=2", "--bundle", "nope"], 4, "no bundle at nope"),
        (["--source", "sim:", "sim:?seed=2", "--person", "p.toml"], 2, "--person is for one patch"),
        (["--source", "sim:", "sim:?seed=2", "--device-profile", "p"], 2, "--device-profile is for one patch"),
        (["--source", "sim:", "sim:?seed=2", "--picture", "p.svg"], 2, "--picture is for one patch"),
        (["--source", "sim:", "sim:?seed=2", "--record"], 2, "--record needs a session folder for each patch"),
        (["--source", "sim:", "sim:?seed=2", "--record", "x"], 2, "--record FILE is for one patch"),
        (["--source", "sim:", "sim:?seed=2", "--keep", "1GB"], 2, "--keep needs a session folder"),
        (["--source", "sim:", "sim:?seed=2", "--session-dir", "x", "--keep", "1MB"], 2, "the smallest size is 2MB"),
        (["--source", "sim:", "sim:?seed=2", "--mqtt", "http://x"], 2, "must begin with mqtts://"),
    ],
)
def test_wrong_input_is_one_line_before_anything_starts(words, code, what, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words) == code
    said = capsys.readouterr()
    assert what in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('source = "sim:"\n[[patch]]\nsource = "sim:?seed=2"\n', "named by [[patch]] tables and by --source"),
        ('patch = "sim:"\n', "'patch' is not a table"),
        ("[patch]\nsource = 3\n", "'patch' is not a table"),
        ('[[patch]]\nname = "a"\n', "[[patch]] number 1 has no source"),
        ('person = "p.toml"\n[[patch]]\nsource = "sim:"\n', "write person = in the [[patch]] table"),
        ("[[patch]]\n[[patch]]\n", "number 1 has no source"),
    ],
)
def test_a_wrong_file_is_one_line(text: str, what: str, tmp_path: Path, capsys) -> None:
    assert run("--config", station(tmp_path, text)) == 2
    assert what in capsys.readouterr().err


def test_a_list_of_sources_in_a_file_names_several_patches(tmp_path: Path, capsys) -> None:
    assert run("--config", station(tmp_path, f'source = ["a={SIM}1", "{SIM}2"]\nseconds = 2\n')) == 0
    assert [row.split()[0] for row in capsys.readouterr().out.splitlines() if row.endswith("  seconds")] == ["a", "sim"]


def test_a_sink_of_another_package_is_made_for_each_patch(tmp_path: Path, monkeypatch) -> None:
    made: list[str] = []
    monkeypatch.setattr("edge.cli.run.station.plugin_sinks", lambda urls: made.extend(urls) or [])
    assert (
        run(
            "--source",
            "a=sim:?seed=1",
            "b=sim:?seed=2",
            "--seconds",
            "0.1",
            "--speed",
            "max",
            "--sink",
            "x:{patch}.csv",
        )
        == 0
    )
    assert sorted(made) == ["x:a.csv", "x:b.csv"]


def test_each_plain_line_begins_with_the_name(capsys) -> None:
    assert main(["run", "--view", "plain", "--source", f"a={SIM}1", f"b={SIM}2", "--seconds", "3"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("Research software")
    assert sum(line.startswith("a: ") for line in told) == sum(line.startswith("b: ") for line in told) == 3


class _Looks(BaseSink):
    """Looks at the page when its patch ends, and keeps what is there."""

    def __init__(self, servers: list[PageServer], seen: list[tuple[list[str], str]]) -> None:
        self._servers, self._seen = servers, seen

    def close(self, summary: object) -> None:
        port = int(self._servers[0].address.rstrip("/").rpartition(":")[2])
        with Viewer(port) as viewer:
            names = [patch["name"] for patch in viewer.event("page")["patches"]]
        self._seen.append((names, get(port, "/metrics").body))


def test_the_page_of_a_station_has_every_patch(monkeypatch, capsys) -> None:
    servers: list[PageServer] = []
    seen: list[tuple[list[str], str]] = []
    started = PageServer.start
    monkeypatch.setattr(PageServer, "start", lambda server: (servers.append(server), started(server))[1])
    monkeypatch.setattr("edge.cli.run.station.plugin_sinks", lambda _urls: [_Looks(servers, seen)])
    assert run("--source", f"bedroom={SIM}1", f"hall={SIM}2", "--seconds", "3", "--http", "127.0.0.1:0") == 0
    assert "page: http://127.0.0.1:" in capsys.readouterr().err
    names, metrics = max(seen, key=lambda one: len(one[0]))  # the patches end at the same time
    assert sorted(names) == ["bedroom", "hall"]
    assert 'patch="bedroom"' in metrics
    assert 'patch="hall"' in metrics


def test_the_names_of_all_streams_are_checked_before_anything_starts(tmp_path: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("pylsl", reason="pylsl is not installed (extra lsl)", exc_type=(ImportError, RuntimeError))
    monkeypatch.chdir(tmp_path)
    sources, longest = ["--source", "a=sim:", f"{'b' * 32}=sim:?seed=2"], MAX_NAME - len(" b")
    # The name is short enough with that of the first patch, but not with that of the second.
    assert run(*sources, "--lsl", "x" * longest, "--session-dir", "night", "--out", "out.jsonl") == 2
    said = capsys.readouterr()
    assert "is not a name" in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
