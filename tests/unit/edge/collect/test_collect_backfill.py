"""Session folders: stored once, whatever of them came from the broker before; and the command itself."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the collect extra is not installed")

from edge.cli.main import main
from edge.collect.address import open_store
from edge.collect.hops import hop_of_message
from edge.collect.stores import Batch
from edge.sessions.folder import SessionFolder
from edge.sinks.mqtt.messages import event
from helpers.small_session import OFF_THEN_GAP, write_session


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of 45 s with lead-off and a gap."""
    return write_session(tmp_path_factory.mktemp("night") / "s", f"sim:?seed=3&faults={OFF_THEN_GAP}", raw=False)


def rows(path: Path, text: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return list(connection.execute(text))


def test_the_end_of_the_window_identifies_every_hop_of_a_run(night: Path) -> None:
    estimates = list(SessionFolder(night).estimates())
    assert {"gap", "lead_off", "warming_up", None} <= {e.abstained for e in estimates}
    ends = [e.window.end_s for e in estimates]
    assert ends == sorted(set(ends))


def test_a_folder_completes_what_came_from_the_broker(night: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "fleet.db"
    estimates = list(SessionFolder(night).estimates())
    store = open_store(f"sqlite:{path}")
    store.open()
    # The broker has delivered every third one.
    arrived = [hop_of_message("bedroom", event(e, "bedroom", live=True).encode()) for e in estimates[::3]]
    assert store.write(Batch(arrived), lambda count, why: None) == len(arrived)
    store.close()
    assert main(["collect", "--from", str(night.parent), "--to", f"sqlite:{path}", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["stored"], said["already_stored"]) == (len(estimates) - len(arrived), len(arrived))
    assert main(["collect", "--from", str(night), "--to", f"sqlite:{path}"]) == 0
    out, err = capsys.readouterr()
    assert f"repeated    {len(estimates)} were stored before" in out
    assert f"{night}: 0 new" in err
    found = rows(path, "SELECT end_us, reason FROM hops ORDER BY end_us")
    assert found == [(round(e.window.end_s * 1e6), e.abstained) for e in estimates]
    events = sum(1 for _ in SessionFolder(night).events())
    assert rows(path, "SELECT count(*) FROM events") == [(events,)]
    assert rows(path, "SELECT DISTINCT patch FROM estimates") == [("bedroom",)]


def test_the_patch_of_a_folder_is_what_its_run_published_as_or_what_the_user_says(
    night: Path, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "fleet.db"
    arguments = ["collect", "--from", str(night), "--to", f"sqlite:{path}"]
    assert main(arguments) == 2
    assert "does not say which patch it is of (add --patch NAME)" in capsys.readouterr().err
    assert main([*arguments, "--patch", "ward_7"]) == 0
    assert rows(path, "SELECT name FROM patches") == [("ward_7",)]
    about = json.loads((night / "session.json").read_text())
    about["runs"][0]["patch"] = "bed_3"
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in night.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "session.json").write_text(json.dumps(about))
    assert main(["collect", "--from", str(copy), "--to", f"sqlite:{path}"]) == 0
    assert rows(path, "SELECT name FROM patches ORDER BY id") == [("ward_7",), ("bed_3",)]


def test_a_run_with_a_broker_writes_its_patch_into_its_session(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt.client", reason="the mqtt extra is not installed")
    folder = tmp_path / "s"
    url = "mqtt://127.0.0.1:1/x?name=Bed%203"
    arguments = ["run", "--source", "sim:?speed=max", "--seconds", "12", "--view", "none"]
    assert main([*arguments, "--session-dir", str(folder), "--mqtt", url]) == 0
    assert json.loads((folder / "session.json").read_text())["runs"][0]["patch"] == "bed_3"
    path = tmp_path / "fleet.db"
    assert main(["collect", "--from", str(folder), "--to", f"sqlite:{path}"]) == 0
    # Not the name of the source, which may be that of a person.
    assert rows(path, "SELECT device FROM sessions") == [("bed_3",)]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--to", "sqlite:x.db"], "name either a broker or"),
        (["mqtt://h", "--from", "s", "--to", "sqlite:x.db"], "name either a broker or"),
        (["mqtt://h", "--to", "sqlite:x.db", "--keep", "2GB"], "a limit of age only"),
        (["mqtt://h", "--to", "sqlite:x.db", "--keep", "soon"], "not a size or an age"),
        (["mqtt://h?every=5", "--to", "sqlite:x.db"], "belong to --mqtt"),
        (["mqtt://u:pw@h", "--to", "sqlite:x.db"], "must not hold a password"),
        (["--from", "s", "--patch", "Bed 3", "--to", "sqlite:x.db"], "not the name of a patch"),
        (["mqtt://h", "--to", "sqlite:x.db", "--seconds", "-1"], "not a positive number"),
        (["mqtt://h", "--to", "sqlite:x.db", "--progress", "-1"], "not a positive number"),
        (["mqtt://h", "--to", "sqlite:x.db", "--tidy"], "--tidy cannot be used with a broker"),
    ],
)
def test_wrong_arguments_end_in_one_line_and_make_nothing(
    arguments: list[str], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    pytest.importorskip("paho.mqtt.client", reason="the mqtt extra is not installed")
    monkeypatch.chdir(tmp_path)
    assert main(["collect", *arguments]) == 2
    assert what in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_session_and_a_store_that_is_down(tmp_path: Path, capsys) -> None:
    assert main(["collect", "--from", str(tmp_path / "none"), "--to", f"sqlite:{tmp_path}/x.db"]) == 3
    assert "there is no folder" in capsys.readouterr().err
    assert main(["collect", "--from", str(tmp_path), "--to", f"sqlite:{tmp_path}/none/x.db"]) == 7
    assert "unable to open database file" in capsys.readouterr().err
