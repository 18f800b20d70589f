"""One limit for the session folders of several patches."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edge.store.keep import SESSION_SCHEMA, Keeper, parse_keep
from edge.store.storage import Storage
from firmware_bridge.errors import UsageError

MB = 1_000_000


def session(folder: Path, sizes: list[int], *, age: int, finished: bool = False) -> Path:
    """A session whose parts of estimates have these sizes, the first the oldest."""
    folder.mkdir(parents=True)
    (folder / "session.json").write_text(json.dumps({"schema": SESSION_SCHEMA}))
    if finished:
        (folder / "summary.json").write_text("{}")
    for number, size in enumerate(sizes, 1):
        path = folder / ("estimates.aee" if number == 1 else f"estimates.{number}.aee")
        with path.open("wb") as file:
            file.truncate(size)
        os.utime(path, (1e9 + age + number, 1e9 + age + number))
    return folder


def size(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*.aee"))


def test_the_oldest_part_of_any_patch_goes_first_and_open_parts_stay(tmp_path: Path) -> None:
    a = session(tmp_path / "now/a", [MB] * 6, age=100)
    b = session(tmp_path / "now/b", [MB] * 6, age=0)
    keeper = Keeper(parse_keep("8MB", 2), [a, b], Storage(lambda _line: None), others=False)
    assert keeper.apply()
    assert size(a, b) <= 8 * MB
    assert len(list(b.glob("*.aee"))) < len(list(a.glob("*.aee")))
    assert (b / "estimates.6.aee").exists()
    assert not keeper.apply()


def test_parts_are_small_enough_for_all_patches() -> None:
    assert parse_keep("2GB", 50).part_bytes == 2_000_000_000 // 16 // 50
    with pytest.raises(UsageError, match="the smallest size is 50MB"):
        parse_keep("49MB", 50)


def test_finished_sessions_of_earlier_runs_count_and_their_empty_folders_go(tmp_path: Path) -> None:
    old = session(tmp_path / "ward/2025/a", [MB] * 3, age=-500, finished=True)
    single = session(tmp_path / "ward/2024", [MB], age=-900, finished=True)
    foreign = tmp_path / "elsewhere/x"
    session(foreign, [MB] * 3, age=-800, finished=True)
    a = session(tmp_path / "ward/now/a", [MB] * 2, age=0)
    b = session(tmp_path / "ward/now/b", [MB] * 2, age=0)
    limits = parse_keep("3MB", 2)
    Keeper(limits, [a, b], Storage(lambda _line: None), others=False, roots=[tmp_path / "ward"]).apply()
    assert size(old) == 3 * MB
    Keeper(limits, [a, b], Storage(lambda _line: None), others=True, roots=[tmp_path / "ward"]).apply()
    assert not old.parent.exists()
    assert not single.exists()
    assert size(foreign) == 3 * MB
    assert size(a, b) == 4 * MB
