"""MATLAB files: one array of numbers of any name, written here and by SciPy; hostile files are bounded."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.sources.replay.base import ReadOptions, UnstatedError
from edge.sources.replay.binary import mat_array
from edge.sources.replay.binary.mat import MatReader
from firmware_bridge.errors import InputError
from helpers.binary_recordings import play

X = np.round(200 * np.sin(np.arange(2500) / 25)).astype(np.int16)


def save(folder: Path, compressed: bool = False, version: str = "5", **arrays: Any) -> Path:
    io = pytest.importorskip("scipy.io")
    io.savemat(folder / "x.mat", arrays, do_compression=compressed, format=version)
    return folder / "x.mat"


def element(kind: int, data: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(
    dims: tuple[int, ...], data: bytes, name: bytes = b"ecg", kind: int = 10, stored: int = 3, order: str = "<"
) -> bytes:
    body = element(6, struct.pack(order + "II", kind, 0), order) + element(
        5, struct.pack(f"{order}{len(dims)}i", *dims), order
    )
    return element(14, body + element(1, name, order) + element(stored, data, order), order)


def mat5_file(path: Path, *elements: bytes, order: str = "<") -> Path:
    head = b"MATLAB 5.0 MAT-file".ljust(124) + (b"\0\1IM" if order == "<" else b"\1\0MI")
    path.write_bytes(head + b"".join(elements))
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_file_as_the_format_says(tmp_path: Path, order: str) -> None:
    """Written without SciPy; the C side of a device or Octave may write either order."""
    path = mat5_file(tmp_path / "x.mat", matrix((1, 2500), X.astype(order + "i2").tobytes(), order=order), order=order)
    got = play(path, "fs=250")
    assert (got.info.lead, got.values.tolist()) == ("ecg", X.tolist())
    packed = zlib.compress(matrix((1, 2500), X.astype(order + "i2").tobytes(), order=order))
    mat5_file(path, struct.pack(order + "II", 15, len(packed)) + packed, order=order)
    assert play(path, "fs=250").values.tolist() == X.tolist()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(1, -1), (-1, 1), (-1,)])
def test_one_array_of_any_type_and_direction(
    tmp_path: Path, compressed: bool, dtype: str, shape: tuple[int, ...]
) -> None:
    values = (np.abs(X) // 2).astype(dtype)
    got = play(save(tmp_path, compressed, my_name=values.reshape(shape)), "fs=250")
    assert (got.info.lead, got.info.leads, got.info.fs_hz) == ("my_name", ("my_name",), 250.0)
    assert got.values.tolist() == values.tolist()
    assert got.lsb_mv is None


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_leads_are_the_shorter_side(
    tmp_path: Path, compressed: bool, transposed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = np.stack([X, 2 * X, 3 * X])
    path = save(tmp_path, compressed, foo=leads.T if transposed else leads)
    monkeypatch.setattr(mat_array, "CHUNK_SAMPLES", 300)
    for query in ("column=3", "lead=foo 3"):
        got = play(path, "fs=250&" + query.replace(" ", "%20"))
        assert (got.info.lead, got.values.tolist()) == ("foo 3", (3 * X).tolist())
    got = play(path, "fs=250")
    assert got.info.lead == "foo 1"
    assert "'foo 1' was taken" in got.notes
    assert max(len(c.values) for c in MatReader(path, ReadOptions(fs_hz=250)).chunks()) == (300 if transposed else 100)


@pytest.mark.parametrize("version", ["4", "5"])
@pytest.mark.parametrize("name", ["fs", "Fs", "FS", "sampling_rate", "sfreq", "SamplingFrequency"])
def test_a_rate_in_the_file(tmp_path: Path, version: str, name: str) -> None:
    path = save(tmp_path, version=version, ecg=X, **{name: 500})
    got = play(path)
    assert got.info.fs_hz == 500.0
    assert got.info.decided.rate_from == f"{name} in the file"
    assert play(path, "fs=250").info.fs_hz == 250.0


def test_no_rate_two_rates_and_a_wrong_one(tmp_path: Path) -> None:
    for rates in ({}, {"fs": 250, "sr": 500}, {"fsx": 250}):
        with pytest.raises(UnstatedError, match="sampling rate"):
            play(save(tmp_path, ecg=X, **rates))
    for rate in (0, -500, float("nan"), 1e9):
        with pytest.raises(UnstatedError, match="sampling rate of"):
            play(save(tmp_path, ecg=X, fs=rate))


def test_several_arrays_are_asked_about(tmp_path: Path) -> None:
    path = save(tmp_path, a=X, b=2 * X.reshape(-1, 1))
    with pytest.raises(
        UnstatedError, match=r"several arrays: a \(1 x 2500\), b \(1 x 2500\) \(choose one, such as lead=a"
    ):
        play(path, "fs=250")
    assert play(path, "fs=250&lead=b").values.tolist() == (2 * X).tolist()
    assert play(path, "fs=250&column=2").info.lead == "b"
    with pytest.raises(InputError, match="it has: a, b"):
        play(path, "fs=250&lead=c")
    got = play(save(tmp_path, a=X, ecg=2 * X), "fs=250")
    assert (got.info.lead, "ecg was taken of a" in got.notes) == ("ecg", True)
    with pytest.raises(UnstatedError, match="several"):
        play(save(tmp_path, ecg1=X, ecg2=X), "fs=250")
    got = play(save(tmp_path, t=np.arange(2500) / 250, sig=X), "fs=250")
    assert got.values.tolist() == X.tolist()


@pytest.mark.parametrize("transposed", [False, True])
def test_a_clock_or_a_constant_in_the_array_is_not_taken(tmp_path: Path, transposed: bool) -> None:
    rows = np.stack([np.arange(2500) / 250, np.full(2500, 7.0), X])
    path = save(tmp_path, x=rows.T if transposed else rows)
    got = play(path, "fs=250")
    assert (got.info.lead, got.values.tolist()) == ("x 3", X.tolist())
    assert "'x 3' was taken" in got.notes
    assert play(path, "fs=250&column=1").info.lead == "x 1"


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_in_structures_and_cells(tmp_path: Path, compressed: bool) -> None:
    cell = np.empty(2, object)
    cell[:] = ["text", X]
    ecg = {"sex": "Male", "age": 74, "data": np.stack([X, 5 * X]).astype(float), "fs": 300.0}
    got = play(save(tmp_path, compressed, ECG=ecg), "lead=ECG.data%202")
    assert (got.info.fs_hz, got.values.tolist()) == (300.0, (5 * X).tolist())
    got = play(save(tmp_path, compressed, c=cell), "fs=250")
    assert (got.info.lead, got.values.tolist()) == ("c{2}", X.tolist())
    deep: Any = X
    for _ in range(20):
        deep = {"d": deep}
    with pytest.raises(InputError, match="no array of samples"):
        play(save(tmp_path, compressed, deep=deep), "fs=250")


@pytest.mark.parametrize(
    "value", [X * 1j, X > 0, "text", np.zeros((0, 5)), np.zeros((100, 200)), np.zeros((3, 4, 500)), 7]
)
def test_what_is_no_recording(tmp_path: Path, value: Any) -> None:
    with pytest.raises(InputError, match="no array of samples"):
        play(save(tmp_path, z=value), "fs=250")


def test_missing_and_huge_values(tmp_path: Path) -> None:
    values = X.astype(float)
    values[:5] = [np.nan, np.inf, -np.inf, 1e308, -1e39]
    got = play(save(tmp_path, z=values), "fs=250")
    assert (got.lost, got.values.tolist()) == (5, X[5:].tolist())


def test_units_and_scales(tmp_path: Path) -> None:
    path = save(tmp_path, z=X)
    assert play(path, "fs=250&unit=uV").millivolts == pytest.approx(X / 1000.0)
    assert play(path, "fs=250&lsb_mv=0.005").millivolts == pytest.approx(X / 200.0)


@pytest.mark.parametrize("kind", [(1030, ">i2"), (30, "<i2"), (1000, ">f8"), (40, "<u2"), (50, "<u1"), (20, "<i4")])
def test_version_4_in_either_order(tmp_path: Path, kind: tuple[int, str]) -> None:
    values = np.abs(X).astype(kind[1])
    order = kind[1][0]
    (tmp_path / "x.mat").write_bytes(struct.pack(order + "5i", kind[0], 2500, 1, 0, 4) + b"ecg\0" + values.tobytes())
    got = play(tmp_path / "x.mat", "fs=250")
    assert (got.info.lead, got.values.tolist()) == ("ecg", values.tolist())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(500), "7.3 (HDF5)"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "7.3 (HDF5)"),
        (b"MATLAB 5.0 MAT-file" + bytes(500), "damaged"),
        (b"nonsense" * 100, "not a MATLAB file of version 4 to 7"),
    ],
)
def test_other_versions_get_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(InputError) as caught:
        play(tmp_path / "x.mat", "fs=250")
    assert message in str(caught.value)
    assert "save it with -v7, or as CSV" in str(caught.value) or "save it again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_version_4_with_text_before_the_array_and_complex_numbers(tmp_path: Path) -> None:
    text = struct.pack("<5i", 51, 1, 4, 0, 2) + b"s\0abcd"
    (tmp_path / "x.mat").write_bytes(text + struct.pack("<5i", 30, 1, 2500, 0, 4) + b"ecg\0" + X.tobytes())
    assert play(tmp_path / "x.mat", "fs=250").values.tolist() == X.tolist()
    (tmp_path / "x.mat").write_bytes(struct.pack("<5i", 30, 1, 1250, 1, 4) + b"ecg\0" + X.tobytes())
    with pytest.raises(InputError, match="no array of samples"):
        play(tmp_path / "x.mat", "fs=250")


def test_truncated(tmp_path: Path) -> None:
    path = save(tmp_path, z=X)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="truncated"):
        play(path, "fs=250")


def packed(raw: bytes, stated: int | None = None) -> bytes:
    data = zlib.compress(raw, 9)
    return struct.pack("<II", 15, len(data) if stated is None else stated) + data


def test_a_bomb_takes_neither_time_nor_memory(tmp_path: Path) -> None:
    """Compressed zeros a thousand times as large as the file, in an array and in front of one."""
    head = matrix((1, 1 << 29), b"")[:-8] + struct.pack("<II", 9, 1 << 32 - 1)
    bomb = zlib.compress(head + bytes(1 << 25), 9)
    path = mat5_file(tmp_path / "x.mat", struct.pack("<II", 15, len(bomb)) + bomb)
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(InputError):
        play(path, "fs=250")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert time.process_time() - began < 3.0


@pytest.mark.parametrize(
    "elements",
    [
        [packed(b"")], [packed(b"x" * 100)], [packed(matrix((1, 2500), X.tobytes()), 0xFFFFFFFF)],
        [struct.pack("<II", 15, 100) + bytes(100)], [struct.pack("<II", 14, 0)], [struct.pack("<II", 14, 0xFFFFFFF0)],
        [matrix((1, 0x7FFFFFFF, 0x7FFFFFFF), X.tobytes())], [matrix((-1, -2500), X.tobytes())],
        [matrix((2500,), X.tobytes())], [matrix((1, 2500), X.tobytes()[:-2])],
        [matrix((1, 2500), X.tobytes(), stored=99)],
        [matrix((1, 2500), X.tobytes(), kind=3)], [matrix((1, 2500), X.tobytes(), kind=17)],
        [matrix((1, 2500), X.tobytes(), name=b"")], [matrix((1, 2500), X.tobytes(), name=b"x" * 70_000)],
        [matrix((1, 1), b"", kind=2)], [matrix((1, 1), X.tobytes(), kind=2)], [matrix((9, 999999), b"", kind=1)],
        [packed(b"\0" * 100_000_000)], [b"\0" * 8] * 5000, [matrix((1, 0), b"")] * 5000,
    ],
)  # fmt: skip
def test_hostile_elements(tmp_path: Path, elements: list[bytes]) -> None:
    path = mat5_file(tmp_path / "x.mat", *elements)
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        play(path, "fs=250")
    assert time.process_time() - began < 3.0
    assert len(str(caught.value)) < 600


def test_names_are_cut_and_cleaned(tmp_path: Path) -> None:
    path = mat5_file(tmp_path / "x.mat", matrix((1, 2500), X.tobytes(), name=b"\x1b[2J" + b"y" * 1000))
    assert len(play(path, "fs=250").info.lead) <= 80
    assert play(path, "fs=250").info.lead.isprintable()


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scipy(tmp_path: Path, seed: int) -> None:
    io = pytest.importorskip("scipy.io")
    rng = np.random.default_rng(seed)
    arrays = {}
    for name in "abcd"[: rng.integers(1, 5)]:
        shape = (int(rng.integers(1, 7)), int(rng.integers(100, 3000)))
        dtype = rng.choice(["f8", "f4", "i2", "i4", "u1"])
        values = rng.normal(0, 50, shape) if dtype[0] == "f" else rng.integers(0, 100, shape)
        arrays[name] = values.astype(dtype)[:: 1 if rng.random() < 0.5 else -1]
        if rng.random() < 0.5:
            arrays[name] = arrays[name].T
    path = save(tmp_path, bool(rng.random() < 0.5), "4" if rng.random() < 0.3 else "5", **arrays)
    for name, values in io.loadmat(path).items():
        if name not in arrays:
            continue
        rows = values if values.shape[0] <= values.shape[1] else values.T
        for i in range(rows.shape[0]):
            alone = rows.shape[0] == 1
            got = play(path, f"fs=250&lead={name}" + ("" if alone else f"%20{i + 1}"))
            assert got.values == pytest.approx(rows[i].astype(np.float32), rel=1e-6)
