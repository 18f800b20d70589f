"""Recordings without patients are recognised by their content, wherever their folder is; older lists still count."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from calibration.cli.validate import main as validate
from convert.datasets.pairs import find_recordings
from convert.datasets.wfdb16 import write_record
from convert.simulate.patient import simulate_patient
from convert.teacher import content
from convert.teacher.content import PART_BYTES, PARTS, content_of, files_of
from convert.teacher.patients import FILE, aliases, hash_of, hashes, listed, patients_file
from convert.teacher.split import seen_patients
from edge.bundle.reader import resolve
from firmware_bridge.errors import InputError
from helpers.broken_models import rehashed


def write(folder: Path, seed: int, count: int = 3) -> Path:
    folder.mkdir(parents=True)
    for i in range(count):
        ecg = simulate_patient(seed, i, 14.0, noise=True).ecg_mv
        write_record(folder, f"r{i}", "II", ecg, 500.0, 1000.0, datetime(2150, 1, 1, tzinfo=UTC))
    (folder / "labels.csv").write_text("record,patient,potassium_high\n" + "".join(f"r{i},p{i},0\n" for i in range(3)))
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("identity") / "here", 3)


def signals(folder: Path) -> list:
    return [r for r in find_recordings(folder) if not r.name.endswith("labels")]


def test_a_copy_below_another_folder_is_recognised_and_other_recordings_are_not(here, tmp_path):
    shutil.copytree(here, tmp_path / "there" / "deep" / "copy")
    copied, other = signals(tmp_path / "there"), signals(write(tmp_path / "other", 4))
    assert [r.name for r in copied] == ["deep/copy/r0", "deep/copy/r1", "deep/copy/r2"]
    assert hashes(copied) == hashes(signals(here))
    assert [r.name for r in other] == [r.name for r in signals(here)]
    assert not hashes(other) & hashes(signals(here))


def test_headers_that_name_each_other_as_segments_have_an_end(tmp_path):
    (tmp_path / "a.hea").write_text("a/2 1 360 7200\nb 3600\nb 3600\n")
    (tmp_path / "b.hea").write_text("b/2 1 360 3600\na 1800\na 1800\n")
    assert files_of(tmp_path / "a.hea") == [tmp_path / "a.hea", tmp_path / "b.hea"]
    assert content_of(tmp_path / "a.hea") != content_of(tmp_path / "b.hea")
    (tmp_path / "c.hea").write_text("c/2 1 360 7200\nc 3600\nc 3600\n")
    assert files_of(tmp_path / "c.hea") == [tmp_path / "c.hea"]


def test_a_note_beside_a_recording_and_a_renamed_table_change_nothing(here, tmp_path):
    shutil.copytree(here, tmp_path / "copy")
    (tmp_path / "copy" / "r0.txt").write_text("a note")
    assert hashes(signals(tmp_path / "copy")) == hashes(signals(here))
    (tmp_path / "a.csv").write_text("time_s,II mV\n0,0.1\n")
    first = content_of(tmp_path / "a.csv")
    (tmp_path / "a.csv").rename(tmp_path / "b.csv")
    assert content_of(tmp_path / "b.csv") == first


def test_header_and_samples_count(here, tmp_path):
    for name, change in (("hea", b" 500 "), ("dat", None)):
        copy = tmp_path / name
        shutil.copytree(here, copy)
        path = copy / f"r0.{name}"
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if change is None else data.replace(change, b" 250 "))
        assert content_of(copy / "r0.hea") != content_of(here / "r0.hea")


def test_a_damaged_recording_has_an_identity(here, tmp_path):
    shutil.copytree(here, tmp_path / "copy")
    (tmp_path / "copy" / "r0.dat").unlink()
    (tmp_path / "copy" / "r1.hea").write_text("nonsense")
    found = [content_of(tmp_path / "copy" / f"r{i}.hea") for i in (0, 1, 2)]
    assert found[2] == content_of(here / "r2.hea")
    assert len({*found, *(content_of(here / f"r{i}.hea") for i in (0, 1))}) == 5


def test_only_parts_of_a_large_file_are_read(tmp_path):
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(1 << 33)
    read = content._parts(path)
    assert sum(map(len, read)) < PARTS * PART_BYTES + 100
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    assert content._parts(path)[-1] != read[-1], "the end is among the parts"


def older(recordings: list) -> frozenset[bytes]:
    """Return the hashes that earlier versions wrote: of name and size."""
    return frozenset(hash_of(f"recording {r.name} {r.size}") for r in recordings)


def test_lists_of_older_versions_are_understood(here):
    mine = signals(here)
    assert not hashes(mine) & older(mine)
    assert listed(aliases(mine), older(mine[:2])) == hashes(mine[:2])
    for theirs in (older(mine[:1]), hashes(mine[:1])):
        seen = seen_patients(mine, {"teacher_train": theirs})
        assert (seen.trained, seen.teachers) == (frozenset({"r0"}), 1)


@pytest.mark.parametrize("write_list", [hashes, older])
def test_a_bundle_does_not_judge_a_copy_of_its_training_data(here, tmp_path, write_list):
    bundle = tmp_path / "bundle"
    shutil.copytree(resolve("demo"), bundle)
    (bundle / FILE).write_bytes(patients_file({"train": write_list(signals(here)[:2])}))
    rehashed(bundle)
    shutil.copytree(here, tmp_path / "elsewhere" / "copy")
    argv = [str(bundle), "--data", str(tmp_path / "elsewhere" / "copy"), "--split", "all", "--out", str(tmp_path / "o")]
    with pytest.raises(InputError, match="2 of 3 patients are in the part 'train'"):
        validate([*argv, "--quiet"])
    assert not (tmp_path / "o" / "work").exists()
