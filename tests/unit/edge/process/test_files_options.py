"""Names, rights and advice of the files that appear whole."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from edge.process.files import output_error, write_atomically, write_files, written_beside
from firmware_bridge.errors import OutputError


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space; the disk quota is used up"),
        (errno.EACCES, "check its permissions"),
        (errno.EROFS, "choose another place; the medium is read-only"),
        (errno.ENOENT, "create its folder first"),
        (errno.EIO, ""),
    ],
)
def test_advice_follows_from_the_error(code: int, fix: str) -> None:
    error = output_error(Path("x/y"), OSError(code, os.strerror(code)))
    assert (error.what, error.fix) == (f"cannot write x/y: {os.strerror(code)}", fix)
    assert output_error("x", OSError(code, "no"), "name another").fix == "name another"
    assert output_error("x", OSError(code, "no"), "").fix == ""


def test_an_error_without_a_number_is_shown_as_it_is() -> None:
    error = output_error("x", OSError("strange"))
    assert (error.what, error.fix) == ("cannot write x: strange", "")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, r"\.a\.json\.part"),
        ({"suffix": ".h5"}, r"\.a\.json\.part\.h5"),
        ({"unique": True}, r"\.a\.json\.[0-9a-f]{16}\.part"),
        ({"private": True}, r"\.a\.json\.part"),
    ],
)
def test_the_partial_file_has_a_hidden_name_beside_the_whole_one(
    tmp_path: Path, options: dict[str, Any], name: str
) -> None:
    with written_beside(tmp_path / "a.json", **options) as partial:
        assert partial.parent == tmp_path
        assert re.fullmatch(name, partial.name)
        partial.write_bytes(b"x")
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("private", [False, True])
def test_only_a_private_file_is_hidden_from_others(tmp_path: Path, private: bool) -> None:
    before = os.umask(0o022)
    try:
        for stale in (False, True):
            if stale:
                (tmp_path / ".a.part").write_bytes(b"left over")
            if private:
                write_atomically(tmp_path / "a", "x", private=True)
            else:
                write_atomically(tmp_path / "a", "x")
            assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == (0o600 if private else 0o644)
            assert (tmp_path / "a").read_text() == "x"
    finally:
        os.umask(before)


def test_options_reach_the_partial_file_and_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    write_bytes = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda self, data: (seen.append(self.name), write_bytes(self, data))[1])
    write_atomically(tmp_path / "a", "ä")
    write_atomically(tmp_path / "a", "ä", unique=True)
    assert seen[0] == ".a.part"
    assert len(seen[1]) == len(".a..part") + 16
    assert (tmp_path / "a").read_bytes() == "ä".encode()
    with pytest.raises(OutputError) as raised:
        write_atomically(tmp_path / "none" / "a", "x", advice="go elsewhere")
    assert raised.value.fix == "go elsewhere"
    with pytest.raises(OutputError) as raised:
        write_atomically(tmp_path / "none" / "a", "x")
    assert raised.value.fix == "create its folder first"


def test_a_folder_that_is_there_is_used_and_the_advice_names_another(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    write_files(folder, {"a": b"1"})
    assert write_files(folder, {"b": b"2", "a": b"3"}) == [folder / "b", folder / "a"]
    assert [(folder / name).read_bytes() for name in ("a", "b")] == [b"3", b"2"]
    (folder / "c").mkdir()
    for advice in ({}, {"advice": "name another --out"}):
        for path, files in ((folder, {"c": b"x"}), (folder / "a", {"d": b"x"})):
            with pytest.raises(OutputError) as raised:
                write_files(path, files, **advice)
            assert raised.value.fix == advice.get("advice", "name another folder")
            assert str(raised.value.what).startswith(f"cannot write {path}")


def test_synced_files_are_opened_for_that_and_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[int] = []
    open_ = os.open

    def recorded(path: object, flag: int, *mode: int) -> int:
        flags.append(flag)
        return open_(path, flag, *mode)  # type: ignore[arg-type]

    monkeypatch.setattr("edge.process.files.os.open", recorded)
    write_atomically(tmp_path / "a", b"x")
    assert flags == [os.O_RDWR | os.O_CLOEXEC, os.O_RDONLY | os.O_CLOEXEC]


@pytest.mark.parametrize(("options", "mode"), [({}, 0o644), ({"private": True}, 0o600)])
def test_a_file_written_beside_has_the_rights_of_its_kind(tmp_path: Path, options: dict[str, Any], mode: int) -> None:
    before = os.umask(0o022)
    try:
        with written_beside(tmp_path / "a", **options) as partial:
            partial.write_bytes(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
