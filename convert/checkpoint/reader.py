"""Read a PyTorch checkpoint (``.pth``) without PyTorch and without running anything in it.

The file is a zip of stored members: one pickle that describes the tensors, and one raw block of numbers for each
storage. ``convert/checkpoint/unpickle.py`` reads the description, and every tensor is checked against its storage
before memory is allocated for it. The reader accepts the layouts that ECGFounder and AnyECG-Lab write: ``state_dict``,
``model`` or the tensors themselves, with or without the prefix ``module.`` of a data-parallel training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.archive import Archive, open_archive
from convert.checkpoint.tensors import KERAS, Checkpoint
from convert.checkpoint.unpickle import Inert, TensorRef, load_plain
from edge.process.files import sha256_of
from firmware_bridge.errors import InputError

LAYOUTS = ("state_dict", "model", "model_state_dict")
"""Keys under which training code stores the tensors, in order of preference."""

PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that data-parallel training and ``torch.compile`` add to every name."""


MAX_TENSORS = 20_000
"""Largest number of tensors."""
MAX_DIMENSIONS = 8
"""Largest number of dimensions of a tensor."""
MAX_BYTES = 2 << 30
"""Largest size of all tensors together, bytes; the full teacher has 123 MB."""

DTYPES: Mapping[str, str] = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": "bf16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "b1",
}  # fmt: skip
"""NumPy type of each PyTorch storage type. NumPy has no bfloat16, which is widened to float32."""


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a ``.pth`` checkpoint, or the Net1D in a ``.keras`` file that ``anyecg finetune`` wrote.

    Raises:
        InputError: The file is missing, truncated, a Git-LFS pointer, not a checkpoint, or describes impossible
            tensors.
    """
    path = Path(path)
    if path.suffix == KERAS:
        from convert.checkpoint.keras_file import read_keras_teacher

        return read_keras_teacher(path)
    with open_archive(path) as archive:
        loaded = load_plain(archive.pickle(), str(path))
        layout, described = _find_tensors(path, loaded.value)
        oddities: list[str] = []
        names, prefix = _strip(described)
        if prefix:
            oddities.append(f"the prefix '{prefix}' was removed from every name")
        named = [n for n in loaded.inert if n not in _HARMLESS]
        if named:
            listed = ", ".join(named[:4]) + (" ..." if len(named) > 4 else "")
            oddities.append(f"the file refers to code ({listed}); none of it was run")
        tensors = _read_tensors(archive, names)
    return Checkpoint(
        path=path,
        sha256=sha256_of(path),
        layout=layout,
        tensors=tensors,
        dtypes=tuple(sorted({ref.storage.dtype for ref in names.values()})),
        facts=_facts(loaded.value) if layout != "bare" else {},
        oddities=tuple(oddities),
    )


_HARMLESS = frozenset({"collections.OrderedDict", "numpy.dtype", "numpy scalar"})


def _find_tensors(path: Path, top: Any) -> tuple[str, dict[str, TensorRef]]:
    if isinstance(top, Inert):
        raise InputError(
            f"{path} holds a pickled {top.name} object, not tensors",
            "save model.state_dict() in PyTorch and give that file",
        )
    if not isinstance(top, dict):
        raise InputError(f"{path} holds a {type(top).__name__}, not a dictionary of tensors")
    for key in LAYOUTS:
        value = top.get(key)
        if isinstance(value, dict) and _tensors_of(value):
            return key, _tensors_of(value)
        if isinstance(value, Inert) and not _tensors_of(top):
            raise InputError(
                f"{path}: '{key}' is a pickled {value.name} object, not tensors",
                "save model.state_dict() in PyTorch and give that file",
            )
    found = _tensors_of(top)
    if not found:
        keys = ", ".join(str(k)[:40] for k in list(top)[:6]) or "nothing"
        raise InputError(f"{path} holds no tensors under state_dict, model or at the top (found: {keys})")
    return "bare", found


def _tensors_of(mapping: Mapping[Any, Any]) -> dict[str, TensorRef]:
    return {k: v for k, v in mapping.items() if isinstance(k, str) and isinstance(v, TensorRef)}


def _strip(described: dict[str, TensorRef]) -> tuple[dict[str, TensorRef], str]:
    taken = ""
    while True:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in described)), None)
        if prefix is None:
            return described, taken
        described = {name.removeprefix(prefix): ref for name, ref in described.items()}
        taken += prefix


def _facts(top: Mapping[Any, Any]) -> dict[str, str | int | float]:
    return {
        k: v
        for k, v in top.items()
        if isinstance(k, str) and len(k) <= 64 and isinstance(v, str | int | float) and len(str(v)) <= 200
    }


def _read_tensors(archive: Archive, refs: Mapping[str, TensorRef]) -> dict[str, NDArray[Any]]:
    if len(refs) > MAX_TENSORS:
        raise InputError(f"{archive.path} describes {len(refs)} tensors, more than any supported network")
    total = 0
    for name, ref in refs.items():
        total += _check(archive.path, name, ref)
    if total > MAX_BYTES:
        raise InputError(f"{archive.path} describes {total >> 20} MB of tensors, the limit is {MAX_BYTES >> 20} MB")
    storages: dict[tuple[str, str], NDArray[Any]] = {}
    out: dict[str, NDArray[Any]] = {}
    for name, ref in refs.items():
        key = (ref.storage.key, ref.storage.dtype)
        if key not in storages:
            storages[key] = _storage(archive, ref)
        out[name] = _view(archive.path, name, ref, storages[key])
    return out


def _check(path: Path, name: str, ref: TensorRef) -> int:
    """Check one description without its storage; return an upper bound of the tensor's size, bytes."""
    if ref.storage.dtype not in DTYPES:
        raise InputError(
            f"{path}: {name} has the type {ref.storage.dtype}, which is not supported", "save it as float32"
        )
    if len(ref.shape) > MAX_DIMENSIONS or len(ref.stride) != len(ref.shape):
        raise InputError(f"{path}: {name} has an impossible shape")
    size = math.prod(ref.shape)
    # A stride of 0 would turn a few bytes into gigabytes; no state dict holds such a view.
    if size > ref.storage.numel:
        raise InputError(
            f"{path}: {name} has {size} values, its storage has {ref.storage.numel}", "do not trust this file"
        )
    if size and ref.offset + sum((n - 1) * s for n, s in zip(ref.shape, ref.stride, strict=True)) >= ref.storage.numel:
        raise InputError(f"{path}: {name} reaches beyond its storage", "download it again, or do not trust this file")
    return size * 8


def _storage(archive: Archive, ref: TensorRef) -> NDArray[Any]:
    raw = archive.storage(ref.storage.key)
    code = DTYPES[ref.storage.dtype]
    order = archive.byte_order
    dtype = np.dtype(f"{order}u2" if code == "bf16" else code if code.endswith("1") else f"{order}{code}")
    if len(raw) != ref.storage.numel * dtype.itemsize:
        raise InputError(
            f"{archive.path}: storage {ref.storage.key} has {len(raw)} bytes instead of "
            f"{ref.storage.numel * dtype.itemsize}",
            "download it again",
        )
    values = np.frombuffer(raw, dtype=dtype)
    if code == "bf16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if code == "f2":
        return values.astype(np.float32)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _view(path: Path, name: str, ref: TensorRef, storage: NDArray[Any]) -> NDArray[Any]:
    if math.prod(ref.shape) == 0:
        return np.empty(ref.shape, dtype=storage.dtype)
    if ref.offset >= len(storage):
        raise InputError(f"{path}: {name} reaches beyond its storage")
    strides = tuple(s * storage.itemsize for s in ref.stride)
    return np.lib.stride_tricks.as_strided(storage[ref.offset :], ref.shape, strides, writeable=False).copy()
