"""``anyecg sessions``: finished, killed, continued, empty, damaged and foreign folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.sessions import list_sessions
from edge.sessions.words import length_text, share_text, size_text
from firmware_bridge.errors import InputError
from helpers.small_session import OFF_THEN_GAP, write_session

URL = f"sim:?potassium=6.5&seed=1&faults={OFF_THEN_GAP}"


@pytest.fixture(scope="module")
def continued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with losses that was killed and continued."""
    folder = tmp_path_factory.mktemp("sessions") / "night"
    write_session(folder, URL, finish=False)
    return write_session(folder, URL, 20.0)


def test_a_session_of_two_runs_is_counted_from_its_estimates(continued: Path) -> None:
    (facts,) = list_sessions([continued.parent])
    assert facts.state == "finished"
    assert facts.runs == 2
    assert facts.device == "anyecg_patch"
    assert facts.raw
    # 45 and 20 s; the last second of a run is not in an estimate.
    assert 60 < facts.length_s <= 65
    assert 0 < facts.estimates < facts.hops
    assert 750 <= facts.lost_samples <= 850  # unplugged for 3 s at 250 Hz, and the frames on the way
    assert facts.size_bytes == sum(path.stat().st_size for path in continued.iterdir())


def test_the_table_and_its_json_say_the_same(continued: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", str(continued.parent)]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["SESSION", "STARTED", "(UTC)", "DEVICE", "LENGTH", "ESTIMATES", "LOST", "SIZE", "STATE"]
    assert main(["sessions", "--json", str(continued)]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert row.startswith(str(continued))
    assert f"{facts['estimates']} of {facts['hops']}" in row
    assert row.endswith("finished, 2 runs")


def test_the_summary_stands_for_a_session_of_one_run(tmp_path: Path) -> None:
    write_session(tmp_path / "a", seconds=15.0)
    counted = list_sessions([tmp_path])[0]
    (tmp_path / "a" / "estimates.aee").unlink()
    read = list_sessions([tmp_path])[0]
    assert (read.hops, read.estimates, read.length_s) == (counted.hops, counted.estimates, counted.length_s)
    assert read.hops > 0


def test_killed_empty_and_damaged_sessions_have_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_session(tmp_path / "killed", seconds=15.0, finish=False)
    write_session(tmp_path / "patient" / "empty", seconds=0.1, finish=False, raw=False)
    for name, text in (
        ("broken", "{"),
        ("foreign", '{"schema": "x/1"}'),
        ("listless", '{"schema": "anyecg.session/1"}'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "session.json").write_text(text)
    (tmp_path / "unrelated").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    rows = {Path(facts.path).name: facts for facts in list_sessions([tmp_path])}
    assert {name: facts.state for name, facts in rows.items()} == {
        "killed": "unfinished", "empty": "unfinished", "broken": "damaged", "foreign": "damaged", "listless": "damaged",
    }  # fmt: skip
    assert rows["killed"].estimates > 0
    assert (rows["empty"].hops, rows["empty"].raw) == (0, False)
    assert main(["sessions", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 6
    assert "not valid JSON" in said.err


def test_a_running_session_is_known_by_its_locks(tmp_path: Path) -> None:
    import fcntl

    write_session(tmp_path / "now", seconds=15.0, finish=False)
    with (tmp_path / "now" / "beats.csv").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert list_sessions([tmp_path])[0].state == "running"


def test_nothing_and_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", str(tmp_path)]) == 0
    assert "no session in" in capsys.readouterr().err
    assert main(["sessions", "--json", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == []
    with pytest.raises(InputError, match="no folder"):
        list_sessions([tmp_path / "absent"])
    assert main(["sessions", str(tmp_path / "absent")]) == 3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 0 s"), (3599.4, "59 min 59 s"), (29520, "8 h 12 min"), (200000, "2 d 7 h")],
)
def test_lengths(seconds: float, text: str) -> None:
    assert length_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1400, "1.4 kB"), (72_000, "72 kB"), (2_000_000_000, "2.0 GB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("count", "whole", "text"), [(5, 5, "all"), (1, 2, "50 %"), (999, 1000, "99 %"), (1, 1000, "1 %"), (0, 0, "all")]
)
def test_a_share_is_never_rounded_to_all_or_nothing(count: int, whole: int, text: str) -> None:
    assert share_text(count, whole) == text
