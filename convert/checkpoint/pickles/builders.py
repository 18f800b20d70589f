"""The few calls in a pickle that are answered: those that build tensors, dictionaries and numbers.

Each builder makes plain data from plain data. Arguments come from an untrusted file and may be shared between a million
calls, so every builder looks at a bounded part of them or pays for it from the :class:`Budget`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from convert.checkpoint.pickles.values import Inert, StorageRef, Symbol, TensorRef
from firmware_bridge.errors import InputError

MAX_COPIED = 1 << 18
"""Largest number of items that all calls together may copy. ECGFounder's pickle copies none."""

MAX_ENCODED = 32 << 20
"""Largest number of bytes that all calls together may produce."""

MAX_COUNT = 1 << 47
"""Largest size, offset or stride; eight bytes of each of so many values are still a valid address."""

MAX_DIMENSIONS = 8
"""Largest number of dimensions of a tensor."""

MAX_KEY = 512
"""Largest length of a key of a dictionary. Comparing long keys takes time, so longer ones are dropped."""

MAX_STORAGE_NAME = 64
"""Largest length of the name of a storage."""

IMPOSSIBLE = "tensor of an impossible shape"


class Budget:
    """Bounds the work of all builders over one pickle.

    Args:
        where: Name of the file, for error messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._items = 0
        self._bytes = 0

    def copy(self, items: int) -> None:
        """Pay for copying items.

        Raises:
            InputError: The pickle copies more than any checkpoint does.
        """
        self._items += items
        if self._items > MAX_COPIED:
            raise InputError(f"{self._where}: its pickle copies more than {MAX_COPIED} items", "do not trust this file")

    def encode(self, size: int) -> None:
        """Pay for producing bytes.

        Raises:
            InputError: The pickle produces more than any checkpoint does.
        """
        self._bytes += size
        if self._bytes > MAX_ENCODED:
            raise InputError(
                f"{self._where}: its pickle produces more than {MAX_ENCODED >> 20} MB", "do not trust this file"
            )


Builder = Callable[[tuple[Any, ...], Budget], Any]


def is_key(value: Any) -> bool:
    """Return whether a value may be a key: hashing a nested tuple or a long number takes unbounded time."""
    if isinstance(value, str | bytes):
        return len(value) <= MAX_KEY
    if isinstance(value, int):
        return -MAX_COUNT <= value <= MAX_COUNT
    return value is None or isinstance(value, float)


def storage_of(key: Any) -> StorageRef | Symbol | Inert:
    """Return what a persistent id refers to: a storage, or the class of a module in the format before PyTorch 1.6."""
    if not isinstance(key, tuple) or len(key) < 4 or not isinstance(key[1], Symbol):
        return Inert("storage")
    if key[0] == "module" and len(key) == 4:
        return key[1]
    if key[0] != "storage" or len(key) not in {5, 6} or not is_count(key[4]):
        return Inert("storage")
    if not isinstance(key[2], str) or len(key[2]) > MAX_STORAGE_NAME:
        return Inert("storage")
    view = key[5] if len(key) == 6 else None
    start = 0
    if view is not None:
        if not isinstance(view, tuple) or len(view) != 3 or not is_count(view[1]):
            return Inert("storage")
        start = view[1]
    return StorageRef(key[1].name.rpartition(".")[2], key[2], key[4], start)


def is_count(value: Any) -> bool:
    """Return whether a value is a plausible size, offset or stride."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _tensor(arguments: tuple[Any, ...], _budget: Budget) -> TensorRef | Inert:
    return _tensor_of(arguments, None)


def _tensor_v3(arguments: tuple[Any, ...], _budget: Budget) -> TensorRef | Inert:
    """Return a tensor on an untyped storage: the seventh argument names its type."""
    dtype = arguments[6] if len(arguments) > 6 else None
    return _tensor_of(arguments, dtype.name if isinstance(dtype, Symbol) else "?")


def _tensor_of(arguments: tuple[Any, ...], dtype: str | None) -> TensorRef | Inert:
    if len(arguments) < 4:
        return Inert(IMPOSSIBLE)
    storage, offset, shape, stride = arguments[:4]
    if not isinstance(storage, StorageRef) or not is_count(offset) or not _is_shape(shape) or not _is_shape(stride):
        return Inert(IMPOSSIBLE)
    kind = storage.dtype if dtype is None else UNTYPED.get(dtype, dtype.removeprefix("torch."))
    return TensorRef(storage, storage.start + offset, shape, stride, kind)


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= MAX_DIMENSIONS and all(is_count(n) for n in value)


def _from_type(arguments: tuple[Any, ...], budget: Budget) -> Any:
    """Answer ``_rebuild_from_type_v2(function, type, arguments, state)``: a tensor that has attributes."""
    if len(arguments) >= 3 and isinstance(arguments[0], Symbol) and isinstance(arguments[2], tuple):
        builder = _TENSORS.get(arguments[0].name)
        if builder is not None:
            return builder(arguments[2], budget)
    return Inert("torch._utils._rebuild_tensor of another type")


def _first(arguments: tuple[Any, ...], _budget: Budget) -> Any:
    return arguments[0] if arguments else Inert("torch parameter without a value")


def _ordered_dict(arguments: tuple[Any, ...], budget: Budget) -> dict[Any, Any] | Inert:
    out: dict[Any, Any] = {}
    pairs = arguments[0] if arguments else []
    if not isinstance(pairs, list | tuple):
        return Inert("collections.OrderedDict of something else")
    budget.copy(len(pairs))
    for pair in pairs:
        if isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) and is_key(pair[0]):
            out[pair[0]] = pair[1]
    return out


def _default_dict(_arguments: tuple[Any, ...], _budget: Budget) -> dict[Any, Any]:
    return {}


def _size(arguments: tuple[Any, ...], _budget: Budget) -> Any:
    return arguments[0] if arguments and isinstance(arguments[0], tuple) else Inert("torch.Size")


def _latin1(arguments: tuple[Any, ...], budget: Budget) -> bytes | Inert:
    if len(arguments) == 2 and isinstance(arguments[0], str) and arguments[1] == "latin1":
        budget.encode(len(arguments[0]))
        return arguments[0].encode("latin1", "replace")
    return Inert("_codecs.encode")


def _numpy_dtype(arguments: tuple[Any, ...], _budget: Budget) -> Symbol | Inert:
    ok = arguments and isinstance(arguments[0], str) and arguments[0] in _SCALARS
    return Symbol(f"dtype:{arguments[0]}") if ok else Inert("numpy.dtype")


def _numpy_scalar(arguments: tuple[Any, ...], _budget: Budget) -> Any:
    if len(arguments) == 2 and isinstance(arguments[0], Symbol) and isinstance(arguments[1], bytes):
        code = _SCALARS.get(arguments[0].name.removeprefix("dtype:"))
        if code is not None and struct.calcsize(code) == len(arguments[1]):
            return struct.unpack(code, arguments[1])[0]
    return Inert("numpy scalar")


_SCALARS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i", "b1": "<?"}

UNTYPED: Mapping[str, str] = {
    "torch.float32": "FloatStorage", "torch.float64": "DoubleStorage", "torch.float16": "HalfStorage",
    "torch.bfloat16": "BFloat16Storage", "torch.int64": "LongStorage", "torch.int32": "IntStorage",
    "torch.int16": "ShortStorage", "torch.int8": "CharStorage", "torch.uint8": "ByteStorage",
    "torch.bool": "BoolStorage",
}  # fmt: skip
"""Storage type of each type of a tensor on an untyped storage."""

_TENSORS: dict[str, Builder] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.nn.parameter.Parameter": _first,
    "torch.nn.parameter.Buffer": _first,
}

BUILDERS: Mapping[str, Builder] = {
    **_TENSORS,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "torch.Size": _size,
    "_codecs.encode": _latin1,
    "numpy.dtype": _numpy_dtype,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
}
"""Every call that is answered, by name."""
