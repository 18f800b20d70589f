"""Writes a checkpoint in ECGFounder's layout without PyTorch: for networks trained here, and for tests.

The file is what ``torch.save({"epoch": ..., "step": ..., "state_dict": ...})`` writes, readable by PyTorch with
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

from firmware_bridge.errors import OutputError

_STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "i4": "IntStorage"}
_EPOCH = (1980, 1, 1, 0, 0, 0)
_ALIGNMENT = 64
"""torch aligns storages in the file, so that they can be mapped into memory."""


def write_checkpoint(
    path: Path | str,
    state: Mapping[str, NDArray[Any]],
    *,
    facts: Mapping[str, str | int | float] | None = None,
    layout: str = "state_dict",
) -> None:
    """Writes tensors as a checkpoint, atomically; the same tensors give the same bytes.

    Args:
        path: Where to.
        state: Tensors by name: float16, float32, float64, int32 or int64.
        facts: What stands beside the tensors, such as the epoch.
        layout: Key of the tensors, or ``bare``.

    Raises:
        OutputError: It cannot be written.
        ValueError: A tensor is of another type.
    """
    path = Path(path)
    arrays = {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in state.items()}
    description = _describe(arrays, dict(facts or {}), layout)
    partial = path.with_name(f".{path.name}.part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            top = path.stem or "archive"
            _member(archive, f"{top}/data.pkl", description)
            _member(archive, f"{top}/byteorder", b"little")
            for i, array in enumerate(arrays.values()):
                _member(archive, f"{top}/data/{i}", array.astype(array.dtype.newbyteorder("<")).tobytes())
            _member(archive, f"{top}/version", b"3\n")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror or error}", "free some space") from error


def _member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    assert archive.fp is not None
    # The local header has 30 bytes, then the name, then the padding as an extra field.
    start = archive.fp.tell() + 30 + len(name.encode()) + 4
    info.extra = struct.pack("<2sH", b"FB", -start % _ALIGNMENT) + b"Z" * (-start % _ALIGNMENT)
    archive.writestr(info, data)


def _describe(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, str | int | float], layout: str) -> bytes:
    """The pickle, protocol 2, written opcode by opcode."""
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
        raise ValueError(f"a checkpoint holds no {array.dtype}")
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
