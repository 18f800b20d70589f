"""From the descriptions of tensors to NumPy arrays: every tensor is checked before memory is allocated for it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.pickles.builders import MAX_DIMENSIONS, UNTYPED
from convert.checkpoint.pickles.values import TensorRef
from firmware_bridge.errors import InputError

MAX_TENSORS = 20_000
"""Largest number of tensors."""
MAX_BYTES = 2 << 30
"""Largest size of all tensors together, bytes; the full teacher has 123 MB."""

DTYPES: Mapping[str, str] = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": "bf16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "b1",
}  # fmt: skip
"""NumPy type of each PyTorch storage type. NumPy has no bfloat16, which is widened to float32."""

assert set(UNTYPED.values()) == set(DTYPES)


class Storages(Protocol):
    """A file with storages.

    Attributes:
        path: Path of the file.
        byte_order: Byte order of the stored numbers, ``<`` or ``>``.
    """

    path: Path
    byte_order: str

    def storage(self, key: str) -> bytes:
        """Return the raw bytes of a storage."""
        ...


def itemsize(dtype: str) -> int:
    """Return the bytes of an element of a storage type, 0 for a type that is not supported."""
    code = DTYPES.get(dtype, "")
    return 2 if code == "bf16" else np.dtype(code).itemsize if code else 0


def read_tensors(file: Storages, refs: Mapping[str, TensorRef]) -> dict[str, NDArray[Any]]:
    """Read tensors: floating types as float32, integers as stored.

    Args:
        file: File with the storages.
        refs: Description of each tensor by name.

    Raises:
        InputError: A tensor is impossible or of an unsupported type, or a storage is missing or damaged.
    """
    check_sizes(file.path, len(refs), sum(_check(file.path, name, ref) for name, ref in refs.items()))
    storages: dict[tuple[str, str], NDArray[Any]] = {}
    uses = Counter((ref.storage.key, ref.dtype) for ref in refs.values())
    out: dict[str, NDArray[Any]] = {}
    for name, ref in refs.items():
        key = (ref.storage.key, ref.dtype)
        if key not in storages:
            storages[key] = _storage(file, ref)
        out[name] = _view(file.path, name, ref, storages[key])
        uses[key] -= 1
        if not uses[key]:
            # All storages together are as large as the tensors.
            del storages[key]
    return out


def check_sizes(path: Path, count: int, total: int) -> None:
    """Check the number of tensors and their size, bytes.

    Raises:
        InputError: There are too many tensors, or they are too large.
    """
    if count > MAX_TENSORS:
        raise InputError(f"{path} describes {count} tensors, more than any supported network")
    if total > MAX_BYTES:
        raise InputError(f"{path} describes {total >> 20} MB of tensors, the limit is {MAX_BYTES >> 20} MB")


def is_shape(shape: Sequence[int]) -> bool:
    """Return whether NumPy can hold an array of a shape; it refuses an empty one with too large other dimensions."""
    empty = 0 in shape
    return len(shape) <= MAX_DIMENSIONS and not (empty and math.prod(n for n in shape if n) > MAX_BYTES)


def to_float32(values: NDArray[Any]) -> NDArray[Any]:
    """Return floating values as float32, others as they are, in the byte order of this machine.

    A float64 beyond the range of float32 becomes infinite, which the check of the network reports.
    """
    if values.dtype.kind != "f":
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float32, copy=False)


def widen_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the float32 values of bfloat16 numbers: they are the upper halves of float32 numbers."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _check(path: Path, name: str, ref: TensorRef) -> int:
    """Check one description without its storage; return an upper bound of the tensor's size, bytes."""
    if ref.dtype not in DTYPES:
        raise InputError(
            f"{path}: {name} has the type {ref.dtype}, which is not supported",
            "save it as float32: torch.save({k: v.float() for k, v in model.state_dict().items()}, 'teacher.pth')",
        )
    size, numel = math.prod(ref.shape), _numel(ref)
    if len(ref.stride) != len(ref.shape) or not is_shape(ref.shape):
        raise InputError(f"{path}: {name} has an impossible shape", "do not trust this file")
    # A stride of 0 would turn a few bytes into gigabytes; no state dict holds such a view.
    if size > numel:
        raise InputError(f"{path}: {name} has {size} values, its storage has {numel}", "do not trust this file")
    if size and ref.offset + sum((n - 1) * s for n, s in zip(ref.shape, ref.stride, strict=True)) >= numel:
        raise InputError(f"{path}: {name} reaches beyond its storage", "download it again, or do not trust this file")
    return size * 8


def _numel(ref: TensorRef) -> int:
    """Return the number of elements of a tensor's storage; an untyped storage counts bytes."""
    return ref.storage.numel // itemsize(ref.dtype) if ref.storage.dtype == "UntypedStorage" else ref.storage.numel


def _storage(file: Storages, ref: TensorRef) -> NDArray[Any]:
    raw = file.storage(ref.storage.key)
    code, numel = DTYPES[ref.dtype], _numel(ref)
    size = ref.storage.numel if ref.storage.dtype == "UntypedStorage" else numel * itemsize(ref.dtype)
    if len(raw) != size:
        raise InputError(
            f"{file.path}: storage {ref.storage.key} has {len(raw)} bytes instead of {size}", "download it again"
        )
    values = np.frombuffer(raw, dtype=f"{file.byte_order}{'u2' if code == 'bf16' else code}", count=numel)
    return widen_bfloat16(values) if code == "bf16" else to_float32(values)


def _view(path: Path, name: str, ref: TensorRef, storage: NDArray[Any]) -> NDArray[Any]:
    if math.prod(ref.shape) == 0:
        return np.empty(ref.shape, dtype=storage.dtype)
    if ref.offset >= len(storage):
        raise InputError(f"{path}: {name} reaches beyond its storage")
    # The stride of a dimension of one value is never used, and can be any number.
    strides = tuple(s * storage.itemsize if n > 1 else 0 for n, s in zip(ref.shape, ref.stride, strict=True))
    return np.lib.stride_tricks.as_strided(storage[ref.offset :], ref.shape, strides, writeable=False).copy()
