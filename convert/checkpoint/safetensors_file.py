"""Read a ``.safetensors`` file with the library of its authors. The format holds names, shapes and numbers only."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.leaves import MAX_LEAVES, Leaf
from convert.checkpoint.pickles.builders import MAX_KEY
from convert.checkpoint.pickles.values import printable
from convert.checkpoint.storages import check_sizes, is_shape, to_float32, widen_bfloat16
from firmware_bridge.errors import InputError, MissingExtraError
from firmware_bridge.reading import open_regular

MAX_HEADER_BYTES = 16 << 20
"""Largest header, bytes. ECGFounder's has 60 kB; the library allows 100 MB."""

DTYPES = frozenset({"F16", "BF16", "F32", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL"})
"""Types that are read."""

_INTEGER = re.compile(r"-?\d{1,15}")
_NUMBER = re.compile(r"-?\d{1,20}\.\d{1,20}(?:e-?\d{1,2})?")


class SafetensorsFile:
    """An open file, as :func:`open_safetensors` returns it.

    Attributes:
        path: Path of the file.
        leaves: Its tensors; the description of each is its type in the file.
        facts: Texts and numbers of its metadata.
    """

    def __init__(self, path: Path, file: Any) -> None:
        self.path = path
        self._file = file
        names = list(file.keys())
        bad = next((name for name in names if len(name) > MAX_KEY or not name.isprintable()), None)
        if len(names) > MAX_LEAVES or bad is not None:
            what = f"{len(names)} tensors" if bad is None else f"a tensor with an impossible name: {printable(bad)!r}"
            raise InputError(f"{path} holds {what}", "do not trust this file")
        self._slices = {name: file.get_slice(name) for name in names}
        self.leaves = [Leaf(name, "", self._slices[name].get_dtype(), name) for name in names]
        self.facts = _facts(file.metadata() or {})

    def read(self, leaves: Mapping[str, Leaf]) -> dict[str, NDArray[Any]]:
        """Read tensors: floating types as float32, integers as stored.

        Args:
            leaves: Tensors by their name in the network.

        Raises:
            InputError: A tensor has an unsupported type, or all together are too large.
            MissingExtraError: A tensor is bfloat16, and the package for that type is not installed.
        """
        for name, leaf in leaves.items():
            if leaf.ref not in DTYPES:
                raise InputError(
                    f"{self.path}: {name} has the type {leaf.ref}, which is not supported", "save it as F32"
                )
            if not is_shape(self._shape(leaf)):
                raise InputError(f"{self.path}: {name} has an impossible shape", "do not trust this file")
        check_sizes(self.path, len(leaves), sum(8 * math.prod(self._shape(leaf)) for leaf in leaves.values()))
        return {name: self._tensor(leaf) for name, leaf in leaves.items()}

    def _tensor(self, leaf: Leaf) -> NDArray[Any]:
        if leaf.ref == "BF16":
            _know_bfloat16()
            return widen_bfloat16(self._file.get_tensor(leaf.name).view(np.uint16))
        return to_float32(self._file.get_tensor(leaf.name))

    def _shape(self, leaf: Leaf) -> list[int]:
        shape: list[int] = self._slices[leaf.name].get_shape()
        return shape


def _know_bfloat16() -> None:
    """Give NumPy the type bfloat16, by which the library asks for it. TensorFlow brings the package."""
    try:
        import ml_dtypes  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("reading bfloat16 from a .safetensors file", "convert") from error


@contextmanager
def open_safetensors(path: Path) -> Iterator[SafetensorsFile]:
    """Open a file and close it after the block.

    Raises:
        InputError: The file is truncated or damaged.
        MissingExtraError: The library is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingExtraError("reading a .safetensors file", "convert") from error
    try:
        with open_regular(path) as file:
            header = int.from_bytes(file.read(8), "little")
        if header > MAX_HEADER_BYTES:
            raise InputError(f"{path} has a header of {header} bytes, more than any checkpoint", "do not trust it")
        with safe_open(path, framework="numpy") as opened:
            yield SafetensorsFile(path, opened)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({printable(str(error), 160)})", "download it again") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def _facts(metadata: Mapping[str, str]) -> dict[str, str | int | float]:
    """Return metadata, which are texts only, with numbers as numbers."""
    out: dict[str, str | int | float] = {}
    for key, text in metadata.items():
        if len(key) > 64 or len(text) > 200:
            continue
        number: str | int | float = printable(text, 200)
        if _INTEGER.fullmatch(text):
            number = int(text)
        elif _NUMBER.fullmatch(text):
            number = float(text)
        out[printable(key)] = number
    return out
