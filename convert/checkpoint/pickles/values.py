"""The plain values that ``convert/checkpoint/pickles/unpickle.py`` makes of a pickle. None of them has behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name in the pickle. It is never looked up."""

    name: str


@dataclass(slots=True, eq=False)
class Inert:
    """A placeholder for the result of a call that was not made.

    Attributes:
        name: Name of the function or class in the pickle.
        state: State that the pickle sets on the object, such as the attributes of a module.
        items: Items that the pickle sets on the object, as on a subclass of ``dict``.
    """

    name: str
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class StorageRef:
    """A reference to a storage.

    Attributes:
        dtype: PyTorch's name of the type, such as ``FloatStorage``.
        key: Name of the storage in the file.
        numel: Number of elements that the pickle claims for it; bytes of an ``UntypedStorage``.
        start: First element, in files from before PyTorch 0.4, where a storage can be a part of another one.
    """

    dtype: str
    key: str
    numel: int
    start: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TensorRef:
    """The description of a tensor, not yet checked against its storage.

    Attributes:
        storage: Storage of the values.
        offset: First element in the storage.
        shape: Sizes of the dimensions.
        stride: Elements between neighbours, by dimension.
        dtype: PyTorch's name of the storage type of the values.
    """

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str


@dataclass(slots=True)
class Loaded:
    """The content of a pickle.

    Attributes:
        value: The top object: plain containers, numbers, texts, tensors, symbols and inert objects.
        inert: Names that the pickle wanted to call and that were not called.
        storages: References to storages by name.
    """

    value: Any
    inert: list[str] = field(default_factory=list)
    storages: dict[str, StorageRef] = field(default_factory=dict)


def printable(text: str, width: int = 80) -> str:
    """Return text of a file for a message: one line without control characters, at most ``width`` characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:width])
