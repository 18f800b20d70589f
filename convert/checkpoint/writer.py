"""Write a checkpoint in ECGFounder's layout without PyTorch, for networks trained here and for tests.

The file has the format of ``torch.save({"epoch": ..., "step": ..., "state_dict": ...})``; PyTorch reads it with
``weights_only=True``.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.process.files import written_beside

_STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "i4": "IntStorage"}
_EPOCH = (1980, 1, 1, 0, 0, 0)
_ALIGNMENT = 64
"""Alignment of the storages in the file, bytes, as PyTorch uses it for memory mapping."""


def write_checkpoint(
    path: Path | str,
    state: Mapping[str, NDArray[Any]],
    *,
    facts: Mapping[str, str | int | float] | None = None,
    layout: str = "state_dict",
) -> None:
    """Write tensors as a checkpoint, atomically; the same tensors give the same bytes.

    Args:
        path: Path of the new file.
        state: Tensors by name: float16, float32, float64, int32 or int64.
        facts: Numbers and texts to store with the tensors, such as the epoch.
        layout: Key of the tensors, or ``bare``.

    Raises:
        OutputError: The file cannot be written.
        ValueError: A tensor has another type.
    """
    path = Path(path)
    arrays = {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in state.items()}
    description = _describe(arrays, dict(facts or {}), layout)
    top = path.stem or "archive"
    with (
        written_beside(path, advice="free some space") as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive,
    ):
        _member(archive, f"{top}/data.pkl", description)
        _member(archive, f"{top}/byteorder", b"little")
        for i, array in enumerate(arrays.values()):
            _member(archive, f"{top}/data/{i}", array.astype(array.dtype.newbyteorder("<")).tobytes())
        _member(archive, f"{top}/version", b"3\n")


def _member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    assert archive.fp is not None
    # The local header has 30 bytes. The name follows, then the padding as an extra field.
    start = archive.fp.tell() + 30 + len(name.encode()) + 4
    info.extra = struct.pack("<2sH", b"FB", -start % _ALIGNMENT) + b"Z" * (-start % _ALIGNMENT)
    archive.writestr(info, data)


def _describe(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, str | int | float], layout: str) -> bytes:
    """Return the pickle, protocol 2, built opcode by opcode."""
    out = bytearray(b"\x80\x02}(")
    for key, value in facts.items():
        out += _value(key) + _value(value)
    body = bytearray(b"ccollections\nOrderedDict\n)R(")
    for i, (name, array) in enumerate(arrays.items()):
        body += _value(name) + _tensor(i, array)
    body += b"u"
    if layout == "bare":
        return b"\x80\x02" + bytes(body) + b"."
    out += _value(layout) + body + b"u."
    return bytes(out)


def _tensor(index: int, array: NDArray[Any]) -> bytes:
    kind = _STORAGES.get(array.dtype.str[1:])
    if kind is None:
        raise ValueError(f"a checkpoint cannot hold {array.dtype}")
    storage = b"(" + _value("storage") + f"ctorch\n{kind}\n".encode() + _value(str(index)) + _value("cpu")
    storage += _value(int(array.size)) + b"tQ"
    strides = [int(np.prod(array.shape[i + 1 :], dtype=np.int64)) for i in range(array.ndim)]
    shape = b"(" + b"".join(_value(int(n)) for n in array.shape) + b"t"
    stride = b"(" + b"".join(_value(n) for n in strides) + b"t"
    arguments = b"(" + storage + _value(0) + shape + stride + b"\x89" + b"ccollections\nOrderedDict\n)R" + b"t"
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def _value(value: str | float) -> bytes:
    if isinstance(value, str):
        raw = value.encode()
        return b"X" + struct.pack("<I", len(raw)) + raw
    if not isinstance(value, int):
        return b"G" + struct.pack(">d", value)
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)
