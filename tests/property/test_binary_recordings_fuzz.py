"""Any change of a binary recording gives samples or one line that says why not, soon and in little memory."""

from __future__ import annotations

import random
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.sources.replay.base import ReadOptions
from edge.sources.replay.source import open_reader
from firmware_bridge.errors import InputError
from helpers.binary_recordings import Edf, sine, stored, wfdb_files

ROUNDS = 150
COUNTS = np.round(200 * np.sin(np.arange(1500) / 40)).astype(int)
PIECES = [
    b"",
    b"9",
    b"99999999",
    b"-1",
    b"0",
    b"e9",
    b".",
    b" ",
    b"\xff",
    b"\0",
    b"\n",
    b"/",
    b"nan",
    b"\x14",
    b"(",
    b"\x1b[2J",
]


def edf(folder: Path) -> tuple[Path, list[Path]]:
    signals = [{"label": "EEG", "data": sine(6, 20)}, {"label": "ECG", "data": sine(6)}]
    return (path := Edf(signals, records=6, reserved="EDF+D").write(folder / "r.edf")), [path]


def bdf(folder: Path) -> tuple[Path, list[Path]]:
    return (path := Edf([{"data": sine(6)}], records=6, bdf=True, reserved="BDF+C").write(folder / "r.bdf")), [path]


def wfdb(folder: Path) -> tuple[Path, list[Path]]:
    lines = "a.dat 212 200(3)/mV 12 0 3 7 0 V1\na.dat 212:2 200/uV 12 0 0 1 0 II\nb.dat 310x2+8 0.2/nV 10 0 0 0 0 V5\n"
    header = f"r 3 125/250(0) 700 10:00:00 01/02/2020\n{lines}# text\n"
    base = wfdb_files(folder, "r", header, a=stored(212, COUNTS), b=bytes(8) + stored(310, COUNTS))
    return base, [folder / "r.hea", folder / "a.dat"]


def differences(folder: Path) -> tuple[Path, list[Path]]:
    base = wfdb_files(folder, "r", "r 1 250 1500\na.dat 8 200 8 0 0 0 0 II\n", a=stored(8, COUNTS // 4))
    return base, [folder / "r.hea"]


def segments(folder: Path) -> tuple[Path, list[Path]]:
    wfdb_files(folder, "l", "l 2 250 0\n~ 0 200/mV 16 0 0 0 0 II\n~ 0 100/mmHg 16 0 0 0 0 ABP\n")
    for name, gain in (("a", 200), ("b", 400)):
        header = f"{name} 1 250 1500\n{name}.dat 16 {gain}/mV 16 0 0 0 0 II\n"
        wfdb_files(folder, name, header, **{name: stored(16, COUNTS)})
    base = wfdb_files(folder, "r", "r/4 2 250 3500\nl 0\na 1500\n~ 500\nb 1500\n")
    return base, [folder / f"{name}.hea" for name in "rlab"]


def flac(folder: Path) -> tuple[Path, list[Path]]:
    soundfile = pytest.importorskip("soundfile")
    wfdb_files(folder, "r", "r 1 250 1500\na.dat 516 200 16 0 0 0 0 II\n")
    soundfile.write(folder / "a.flac", COUNTS.astype(np.int16), 8000, format="FLAC", subtype="PCM_16")
    (folder / "a.flac").rename(folder / "a.dat")
    return folder / "r", [folder / "r.hea", folder / "a.dat"]


def matrices(*names: bytes) -> bytes:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    raw = COUNTS.astype("<i2").tobytes()
    head = element(6, struct.pack("<II", 10, 0)) + element(5, struct.pack("<2i", 1, 1500))
    return b"".join(element(14, head + element(1, name) + element(3, raw)) for name in names)


def mat5(folder: Path) -> tuple[Path, list[Path]]:
    path = folder / "r.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + matrices(b"ecg"))
    return path, [path]


def packed(folder: Path) -> tuple[Path, list[Path]]:
    path, data = folder / "r.mat", zlib.compress(matrices(b"ecg"))
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + struct.pack("<II", 15, len(data)) + data)
    return path, [path]


def structure(folder: Path) -> tuple[Path, list[Path]]:
    io = pytest.importorskip("scipy.io")
    path = folder / "r.mat"
    cell = np.empty(2, object)
    cell[:] = ["text", COUNTS]
    io.savemat(path, {"e": {"data": np.stack([COUNTS] * 3), "fs": 250.0, "c": cell}})
    return path, [path]


def mat4(folder: Path) -> tuple[Path, list[Path]]:
    path = folder / "r.mat"
    path.write_bytes(struct.pack("<5i", 30, 1, 1500, 0, 4) + b"ecg\0" + COUNTS.astype("<i2").tobytes())
    return path, [path]


def mutate(data: bytes, rnd: random.Random, head: int) -> bytes:
    changed = bytearray(data)
    for _ in range(rnd.choice([1, 1, 2, 4])):
        at = rnd.randrange(min(head, max(1, len(changed))))
        kind = rnd.random()
        if kind < 0.4:
            changed[at : at + rnd.choice([0, 1, 4, 8])] = rnd.choice(PIECES)
        elif kind < 0.7:
            changed[at : at + 1] = bytes([rnd.randrange(256)])
        elif kind < 0.8:
            changed[at : at + 4] = struct.pack("<I", rnd.choice([0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 1 << 20]))
        elif kind < 0.9:
            changed = changed[: rnd.randrange(len(changed) + 1)]
        else:
            changed[at:at] = changed[rnd.randrange(len(changed) + 1) :][:500]
    return bytes(changed)


MAKERS = (edf, bdf, wfdb, differences, segments, flac, mat5, packed, structure, mat4)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_changed_recording_is_read_or_refused(
    tmp_path: Path, make: Callable[[Path], tuple[Path, list[Path]]]
) -> None:
    path, files = make(tmp_path)
    whole = {file: file.read_bytes() for file in files}
    rnd = random.Random(make.__name__)
    read = refused = 0
    for _ in range(ROUNDS):
        file = rnd.choice(files)
        file.write_bytes(mutate(whole[file], rnd, rnd.choice([64, 700, 1500, len(whole[file])])))
        options = ReadOptions(fs_hz=rnd.choice([None, 250.0]), column=rnd.choice([None, None, "1", "2"]))
        began = time.process_time()
        try:
            reader = open_reader(path, options)
            for chunk in reader.chunks():
                assert chunk.values.dtype in (np.int32, np.float32)
                assert np.all(np.isfinite(chunk.values))
                assert chunk.missing is None or chunk.missing.shape == chunk.values.shape
                assert 0 <= chunk.lost <= 1 << 62
            assert 20 <= reader.signal.fs_hz <= 20_000
            assert reader.signal.lsb_mv is None or 1e-9 <= reader.signal.lsb_mv <= 1e3
            texts = [*reader.signal.notes, *reader.signal.leads]
            read += 1
        except InputError as error:
            texts = [str(error)]
            refused += 1
            # What the reader of the format does not foresee ends there, as the words of Python.
            assert "damaged header" not in str(error), error
        assert time.process_time() - began < 2.0
        assert all(text.isprintable() and len(text) < 3000 for text in texts), texts
        file.write_bytes(whole[file])
    assert read >= 3
    assert refused > 10
