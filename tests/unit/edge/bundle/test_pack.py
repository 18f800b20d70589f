"""A packed bundle is the same bundle, always the same bytes, and never replaces anything else."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from edge.bundle import pack
from edge.bundle.pack import pack_bundle
from edge.bundle.reader import demo_bundle_path, load_bundle
from edge.cli.main import main
from firmware_bridge.errors import BundleError, OutputError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_bundle_path(), tmp_path / "bundle"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_zip_is_the_same_bundle_file_by_file(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.zip"
    assert pack_bundle(folder, out) == out.stat().st_size
    with zipfile.ZipFile(out) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files_of(folder)
    assert load_bundle(out).sha256 == load_bundle(folder).sha256


def test_the_bytes_do_not_depend_on_dates_modes_or_the_form_of_the_source(folder: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}.zip" for name in "abc")
    pack_bundle(folder, first)
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (10**9, 10**9))
            path.chmod(0o600)
    pack_bundle(folder, second)
    pack_bundle(first, third)
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()


def test_a_bundle_zip_is_replaced_even_if_it_is_damaged(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.zip"
    with zipfile.ZipFile(out, "w") as archive:
        archive.write(folder / "manifest.json", "manifest.json")
    pack_bundle(folder, out)
    assert load_bundle(out).sha256 == load_bundle(folder).sha256


@pytest.mark.parametrize("kind", ["text", "other zip", "empty", "folder", "dangling link"])
def test_anything_else_stays(folder: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "a.zip"
    if kind == "text":
        out.write_text("notes")
    elif kind == "other zip":
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("manifest.json", '{"schema": "another/1"}')
    elif kind == "empty":
        out.touch()
    elif kind == "folder":
        out.mkdir()
    else:
        out.symlink_to(tmp_path / "nowhere")
    before = out.read_bytes() if out.is_file() else None
    with pytest.raises(OutputError, match="exists and is not a zip of a bundle"):
        pack_bundle(folder, out)
    assert (out.read_bytes() if out.is_file() else None) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "bundle"]


def test_a_damaged_bundle_is_not_packed(folder: Path, tmp_path: Path) -> None:
    (folder / "MODEL_CARD.md").write_text("other")
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md"):
        pack_bundle(folder, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_a_zip_inside_its_own_bundle_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="inside the bundle"):
        pack_bundle(folder, folder / "validation" / "a.zip")
    load_bundle(folder)


def test_a_missing_output_folder_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere is not a folder"):
        pack_bundle(folder, tmp_path / "nowhere" / "a.zip")


def test_a_file_that_changes_meanwhile_leaves_the_old_zip(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.zip"
    pack_bundle(folder, out)
    before = out.read_bytes()
    verified = load_bundle(folder)

    def load_then_change(name: str | Path) -> object:
        (folder / "validation" / "report.md").write_text("x" * verified.manifest.files["validation/report.md"][1])
        return verified

    monkeypatch.setattr(pack, "load_bundle", load_then_change)
    with pytest.raises(BundleError, match=r"report\.md .* changed while it was packed"):
        pack_bundle(folder, out)
    assert out.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "bundle"]


def test_what_the_disk_changes_is_noticed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = load_bundle

    def corrupting(name: str | Path) -> object:
        if str(name).endswith(".part"):
            data = bytearray(Path(name).read_bytes())
            data[len(data) // 2] ^= 0xFF
            Path(name).write_bytes(data)
        return real(name)

    monkeypatch.setattr(pack, "load_bundle", corrupting)
    with pytest.raises(OutputError, match="does not read back"):
        pack_bundle(folder, tmp_path / "a.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_the_size_is_bounded(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MAX_TOTAL_BYTES", 1000)
    with pytest.raises(BundleError, match="more than 1000 bytes"):
        pack_bundle(folder, tmp_path / "a.zip")


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.zip"
    assert main(["bundle", "pack", str(folder), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: {out.stat().st_size} bytes, the same bundle when read back\n"
    assert main(["bundle", "pack", str(tmp_path / "none"), str(out)]) == 4
    assert capsys.readouterr().err.startswith("anyecg: no bundle at")
