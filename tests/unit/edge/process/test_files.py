"""Files are written atomically, even if a step fails."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from edge.process.files import make_folder, sha256_of, write_atomically, write_files, written_beside
from edge.sinks._append import AppendFile
from firmware_bridge.errors import InputError, OutputError


def failing(monkeypatch, name):
    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, name, fail)


def test_the_old_content_stays_when_the_disk_is_full(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomically(path, "old")
    with monkeypatch.context() as patched:
        failing(patched, "fsync")
        with pytest.raises(OutputError, match="free some space"):
            write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_content_reaches_the_disk_before_the_rename(tmp_path, monkeypatch):
    """The file is synced, then renamed, then the folder is synced."""
    calls = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(stat.S_ISDIR(os.fstat(fd).st_mode)), fsync(fd)))
    monkeypatch.setattr(Path, "replace", lambda path, target: (calls.append("rename"), replace(path, target)))
    write_atomically(tmp_path / "a", b"x")
    assert calls == [False, "rename", True]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), written_beside(tmp_path / "a") as partial:
        partial.write_bytes(bytes([1 // 0]))
    assert os.listdir(tmp_path) == []


def test_a_private_file_is_private_from_the_first_byte(tmp_path):
    with written_beside(tmp_path / "a", private=True) as partial:
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
        partial.write_bytes(b"x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_two_writers_of_one_file_do_not_conflict(tmp_path):
    with written_beside(tmp_path / "a", unique=True) as one, written_beside(tmp_path / "a", unique=True) as two:
        assert one != two
        one.write_bytes(b"1")
        two.write_bytes(b"2")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert os.listdir(tmp_path) == ["a"]


def test_several_files_and_a_folder_that_cannot_be_created(tmp_path):
    assert write_files(tmp_path / "x" / "y", {"a": b"1", "b": b"2"}) == [tmp_path / "x/y/a", tmp_path / "x/y/b"]
    with pytest.raises(OutputError, match=r"cannot write .*name another --out"):
        write_files(tmp_path / "x" / "y" / "a", {"c": b""}, advice="name another --out")


def test_the_hash_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"x" * 100_000).hexdigest()
    with pytest.raises(InputError, match="cannot read"):
        sha256_of(tmp_path / "b")


def test_a_new_folder_and_its_parents_survive_a_power_cut(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("edge.process.files.sync_folder", synced.append)
    make_folder(tmp_path / "a" / "b", 0o700)
    assert sorted(synced) == [tmp_path, tmp_path / "a"]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/c"):
        make_folder(tmp_path / "file" / "c")


def test_the_name_of_a_new_file_of_lines_survives_a_power_cut(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("edge.sinks._append.sync_folder", synced.append)
    for _ in range(2):
        file = AppendFile(tmp_path / "a.csv", b"a,", "a,b")
        file.open()
        file.close()
    assert synced == [tmp_path]
