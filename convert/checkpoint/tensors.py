"""A checkpoint that has been read: named tensors and the facts stored with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from firmware_bridge.errors import InputError

KERAS = ".keras"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        path: Where from.
        sha256: Of the whole file.
        layout: Where the tensors stood: one of :data:`LAYOUTS`, or ``bare``.
        tensors: By name without prefixes. Floating types as float32 (float64 where stored so), integers as stored.
        dtypes: torch's storage types that occurred.
        facts: Numbers and texts beside the tensors (epoch, validation score ...).
        oddities: What a person should know; one sentence each.
    """

    path: Path
    sha256: str
    layout: str
    tensors: Mapping[str, NDArray[Any]]
    dtypes: tuple[str, ...]
    facts: Mapping[str, str | int | float]
    oddities: tuple[str, ...]


def sha256_of(path: Path) -> str:
    """Hash of a file, read in pieces.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
