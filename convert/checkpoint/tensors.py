"""A checkpoint in memory: named tensors and the facts stored with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

KERAS = ".keras"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        path: Path of the file.
        sha256: SHA-256 of the file, hexadecimal.
        layout: Key under which the file holds the tensors, such as ``state_dict`` or ``checkpoint.model``; ``bare``
            for the top of the file, or ``keras``.
        tensors: Tensors by name without prefixes. Floating types as float32, integers as stored.
        dtypes: Types of the tensors as the file names them: PyTorch's storage types, or those of safetensors.
        facts: Numbers and texts stored with the tensors, such as the epoch or a validation score.
        oddities: Unusual properties of the file that a user should know, one sentence each.
    """

    path: Path
    sha256: str
    layout: str
    tensors: Mapping[str, NDArray[Any]]
    dtypes: tuple[str, ...]
    facts: Mapping[str, str | int | float]
    oddities: tuple[str, ...]
