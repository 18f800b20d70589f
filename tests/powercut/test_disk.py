"""The model of a disk loses what it may lose, and nothing else."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from disk import SECTOR_BYTES, STATES, Disk
from traced import Call, TraceError, calls

ROOT = Path("/disk")


def call(
    name: str, path: str = "", *, other: str = "", data: bytes = b"", number: str = "", began: bool = False
) -> Call:
    at = f"{ROOT}/{path}" if path else str(ROOT)
    return Call(1.0, name, began, at, f"{ROOT}/{other}" if other else "", data, number, sum(map(ord, path)), 1)


def opened(path: str, flags: str = "O_WRONLY|O_CREAT|O_APPEND") -> Call:
    return call("openat", path, number=f", {flags}, 0600")


def possible(made: list[Call], folder: Path, tries: int = 12) -> set[tuple[tuple[str, bytes], ...]]:
    """Every content of the disk that the model offers: names and bytes."""
    disk = Disk(ROOT)
    for one in made:
        disk.apply(one)
    found = set()
    for seed in range(tries):
        for state in STATES:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            disk.rebuild(folder, state, random.Random(seed))
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            found.add(tuple((str(path.relative_to(folder)), path.read_bytes()) for path in files))
    return found


def test_nothing_is_durable_without_a_sync(tmp_path: Path) -> None:
    made = [opened("a"), call("write", "a", data=b"xy")]
    found = possible(made, tmp_path / "d")
    assert () in found
    assert {(("a", data),) for data in (b"", b"x", b"xy", b"\0\0")} <= found


def test_a_file_needs_its_own_sync_and_that_of_its_folder(tmp_path: Path) -> None:
    made = [opened("a"), call("write", "a", data=b"xy")]
    assert () in possible([*made, call("fsync", "a")], tmp_path / "d")
    assert (("a", b""),) in possible([*made, call("fsync")], tmp_path / "d")
    assert possible([*made, call("fsync", "a"), call("fsync")], tmp_path / "d") == {(("a", b"xy"),)}


def test_a_write_during_a_sync_is_not_durable(tmp_path: Path) -> None:
    made = [opened("a"), call("fsync"), call("fsync", "a", began=True), call("write", "a", data=b"xy")]
    assert (("a", b""),) in possible([*made, call("fsync", "a")], tmp_path / "d")


def test_a_synced_part_stays_under_any_tail(tmp_path: Path) -> None:
    first = b"1" * (SECTOR_BYTES + 5)
    made = [opened("a"), call("fsync"), call("write", "a", data=first), call("fsync", "a")]
    found = possible([*made, call("write", "a", data=b"2" * 2000)], tmp_path / "d")
    contents = [dict(files)["a"] for files in found]
    assert all(data.startswith(first) for data in contents)
    assert any(b"\0" in data and data.endswith(b"2") for data in contents)  # a later sector without an earlier one


def test_a_rename_is_old_or_new_until_its_folder_is_synced(tmp_path: Path) -> None:
    made = [opened("a"), call("write", "a", data=b"old"), call("fsync", "a"), call("fsync")]
    made += [opened("t"), call("write", "t", data=b"new"), call("fsync", "t"), call("rename", "t", other="a")]
    assert {dict(files).get("a") for files in possible(made, tmp_path / "d")} == {b"old", b"new"}
    assert possible([*made, call("fsync")], tmp_path / "d") == {(("a", b"new"),)}
    unsynced = [one for one in made if not (one.name == "fsync" and one.path.endswith("/t"))]
    assert b"" in {dict(files).get("a") for files in possible(unsynced, tmp_path / "d")}


def test_folders_truncations_and_removals(tmp_path: Path) -> None:
    made = [
        call("mkdir", "s"),
        opened("s/a"),
        call("write", "s/a", data=b"abc"),
        call("fsync", "s/a"),
        call("fsync", "s"),
    ]
    assert () in possible(made, tmp_path / "d")
    made.append(call("fsync"))
    assert possible(made, tmp_path / "d") == {(("s/a", b"abc"),)}
    cut = [*made, call("ftruncate", "s/a", number="1")]
    assert {dict(files)["s/a"] for files in possible(cut, tmp_path / "d")} >= {b"abc", b"a"}
    assert () in possible([*made, call("unlink", "s/a")], tmp_path / "d")
    assert possible([*made, call("unlink", "s/a"), call("fsync", "s")], tmp_path / "d") == {()}


def test_what_the_model_does_not_know_is_refused() -> None:
    for name, number in (("pwrite64", ""), ("copy_file_range", ""), ("mmap", "NULL, 9, PROT_WRITE, MAP_SHARED, 3, 0")):
        with pytest.raises(TraceError):
            Disk(ROOT).apply(call(name, "a", number=number))


def hexed(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def test_a_trace_is_read(tmp_path: Path) -> None:
    a, b, cwd = hexed("/disk/a"), hexed("b"), hexed("/disk")
    log = tmp_path / "log"
    log.write_text(
        f'7 1.5 openat(AT_FDCWD<{cwd}>, "{hexed("a")}", O_WRONLY|O_CREAT, 0600) = 3<{a}>\n'
        f'7 1.6 write(3<{a}>, "{hexed("xyz")}", 3) = 2\n'
        f"8 1.7 fsync(3<{a}> <unfinished ...>\n"
        f'7 1.8 unlinkat(AT_FDCWD<{cwd}>, "{b}", 0) = -1 ENOENT (No such file or directory)\n'
        "8 1.9 <... fsync resumed>) = 0\n"
        f'7 2.0 renameat(AT_FDCWD<{cwd}>, "{hexed("a")}", AT_FDCWD<{cwd}>, "{b}") = 0\n'
        "7 2.1 +++ exited with 0 +++\n"
    )
    found = list(calls(log))
    assert [(one.name, one.began, one.time_s) for one in found] == [
        ("openat", False, 1.5),
        ("write", False, 1.6),
        ("fsync", True, 1.7),
        ("fsync", False, 1.9),
        ("renameat", False, 2.0),
    ]
    assert (found[0].path, found[0].fd, found[1].data) == ("/disk/a", 3, b"xy")
    assert (found[4].path, found[4].other) == ("/disk/a", "/disk/b")
    log.write_text(f'7 1.6 write(3<{a}>, "{hexed("xyz")}"..., 99) = 99\n')
    with pytest.raises(TraceError, match="cut"):
        list(calls(log))
