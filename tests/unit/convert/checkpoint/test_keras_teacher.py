"""An untrusted ``.keras`` file: only the options and the weights of a Net1D are taken from it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.checkpoint.keras_file import read_keras_teacher, write_keras_teacher
from convert.checkpoint.net1d import Net1D, to_tensors
from firmware_bridge.errors import InputError


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, Net1D]:
    path = tmp_path_factory.mktemp("keras") / "teacher.keras"
    net = Net1D(1, 8, 1.0, (8, 12), (1, 2), 5, 2, 4, 3, True)
    write_keras_teacher(path, net)
    return path, net


def altered(path: Path, to: Path, **changed: object) -> Path:
    """Write the file again with other options in its description."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(members["config.json"])
    description["config"] |= changed.pop("config", {})
    description |= changed
    members["config.json"] = json.dumps(description).encode()
    with zipfile.ZipFile(to, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return to


def test_a_written_teacher_reads_back(written):
    path, net = written
    found = read_keras_teacher(path)
    wanted = to_tensors(net)
    assert found.tensors.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found.tensors[name], value)
    assert found.layout == "keras"
    assert found.facts == {"stride": 2, "use_bn": 1}


def test_another_class_is_refused(written, tmp_path):
    evil = {"class_name": "Lambda", "module": "keras.layers"}
    with pytest.raises(InputError, match="not a Net1D"):
        read_keras_teacher(altered(written[0], tmp_path / "t.keras", **evil))


@pytest.mark.parametrize(
    "config",
    [
        {"base_filters": 10**9}, {"base_filters": "8"}, {"base_filters": True}, {"filter_list": 3}, {"ratio": 1e300},
        {"ratio": "inf"}, {"m_blocks_list": [60_000, 60_000]}, {"filter_list": [40_000, 60_000]}, {"stride": 0},
        {"kernel_size": None}, {"filter_list": [8]}, {"groups_width": 7}, {"n_classes": 60_000},
    ],
)  # fmt: skip
def test_absurd_options_are_refused_before_memory_is_allocated(written, tmp_path, config):
    with pytest.raises(InputError):
        read_keras_teacher(altered(written[0], tmp_path / "t.keras", config=config))


def test_weights_of_another_network_are_refused(written, tmp_path):
    with pytest.raises(InputError, match="do not fit"):
        read_keras_teacher(altered(written[0], tmp_path / "t.keras", config={"kernel_size": 4}))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused(written, tmp_path, share):
    data = written[0].read_bytes()
    (tmp_path / "t.keras").write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError):
        read_keras_teacher(tmp_path / "t.keras")


def test_flipped_bytes_are_refused_or_harmless(written, tmp_path):
    data = bytearray(written[0].read_bytes())
    rng = np.random.default_rng(1)
    for _ in range(30):
        at = int(rng.integers(len(data)))
        torn = data.copy()
        torn[at] ^= 0xFF
        (tmp_path / "t.keras").write_bytes(torn)
        try:
            read_keras_teacher(tmp_path / "t.keras")
        except InputError:
            continue


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_compression_is_refused(tmp_path, method):
    path = tmp_path / "t.keras"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("config.json", "[1, 2]" * 400)
        archive.writestr("model.weights.h5", b"")
        begin, size = 30 + len("config.json"), archive.getinfo("config.json").compress_size
    torn = bytearray(path.read_bytes())
    for at in range(begin, begin + size):
        for flipped in (0x55, 0xFF):
            torn[at] ^= flipped
            path.write_bytes(torn)
            with pytest.raises(InputError):
                read_keras_teacher(path)
            torn[at] ^= flipped


def test_a_zip_bomb_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (9 << 20))
        archive.writestr("model.weights.h5", b"")
    (tmp_path / "t.keras").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="larger than any teacher"):
        read_keras_teacher(tmp_path / "t.keras")


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_keras_teacher(tmp_path / "none.keras")
