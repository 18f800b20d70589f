"""An ``.npz`` of unknown origin gives arrays or one clear line."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from calibration.validate.reference import read_logits
from convert.datasets.npz import read_npz
from firmware_bridge.errors import InputError

NAMES = ("keys", "record", "start_s", "logits")


def header(shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return out.getvalue()


def packed(member: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            archive.writestr(f"{name}.npy", member)
    return out.getvalue()


def saved(**arrays: object) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def broken() -> bytes:
    data = bytearray(saved(**{name: np.arange(500) for name in NAMES}))
    data[120:140] = bytes(20)
    return bytes(data)


HOSTILE = {
    "scalars": saved(**{name: np.array(3) for name in NAMES}),
    "huge shape": packed(header((1 << 50,))),
    "empty huge shape": packed(header((0, 1 << 62, 1 << 62))),
    "no arrays": packed(bytes(1000)),
    "bomb": packed(bytes(20 << 20)),
    "broken": broken(),
    "no zip": b"PK\x03\x04",
    "objects": saved(**{name: np.array([{}], dtype=object) for name in NAMES}),
    "text": saved(keys=np.array(["a"]), record=np.array(["r"]), start_s=np.array(["x"]), logits=np.array([["y"]])),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_logits_that_lie(name: str, tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(InputError, match="not a file of logits"):
        read_logits(path)


def test_arrays_come_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    np.savez(path, a=np.arange(5), b=np.array(2.5))
    found = read_npz(path, 10_000)
    assert found["a"].tolist() == [0, 1, 2, 3, 4]
    assert found["b"] == 2.5
    with pytest.raises(ValueError, match="would unpack"):
        read_npz(path, 100)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_npz(tmp_path / "pipe", 100)
