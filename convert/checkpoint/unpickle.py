"""Read a pickle without Python's ``pickle``: a small interpreter that produces plain data only.

A pickle is a program. This interpreter runs it on its own stack, where a name such as ``os.system`` is only a
:class:`Symbol`. The functions in :data:`_BUILDERS` answer the few calls that build tensors. Every other call, whatever
it names, produces an :class:`Inert`. Nothing is imported, looked up or called.
"""

from __future__ import annotations

import pickletools
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from firmware_bridge.errors import InputError

MAX_PICKLE_BYTES = 32 << 20
"""Largest pickle that is read, bytes. ECGFounder's, with the optimizer, has 0.3 MB."""

MAX_OPCODES = 1_000_000
"""Largest number of opcodes. It bounds time and memory, because no opcode creates more than one small object."""

MAX_MEMO = 1 << 20
"""Largest index into the memo. Python's own unpickler allocates that many entries."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name in the pickle. It is never looked up."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Inert:
    """A placeholder for the result of a call that was not made.

    Attributes:
        name: Name of the function or class in the pickle.
    """

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class StorageRef:
    """A reference to a storage.

    Attributes:
        dtype: PyTorch's name of the type, such as ``FloatStorage``.
        key: Name of the storage in the archive.
        numel: Number of elements that the pickle claims for it.
    """

    dtype: str
    key: str
    numel: int


@dataclass(frozen=True, slots=True, eq=False)
class TensorRef:
    """The description of a tensor, not yet checked against its storage."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(slots=True)
class Loaded:
    """The content of a pickle.

    Attributes:
        value: The top object: plain containers, numbers, texts, tensors, symbols and inert objects.
        inert: Names that the pickle wanted to call and that were not called.
    """

    value: Any
    inert: list[str] = field(default_factory=list)


def load_plain(data: bytes, where: str) -> Loaded:
    """Read a pickle as plain data.

    Args:
        data: The pickle.
        where: Name of the file, for error messages.

    Raises:
        InputError: The pickle is damaged, too large, or uses opcodes that no checkpoint needs.
    """
    if len(data) > MAX_PICKLE_BYTES:
        raise InputError(
            f"{where}: its pickle has {len(data)} bytes, more than any checkpoint needs", "do not trust this file"
        )
    machine = _Machine(where)
    try:
        with warnings.catch_warnings():
            # Damaged texts make the decoder warn about escape sequences; the error below is enough.
            warnings.simplefilter("ignore")
            return machine.run(data)
    except InputError:
        raise
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, UnicodeError, struct.error) as error:
        raise InputError(f"{where}: its pickle is damaged ({error})", "download it again") from None


class _Machine:
    def __init__(self, where: str) -> None:
        self._where = where
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._inert: list[str] = []
        self._seen: set[str] = set()

    def run(self, data: bytes) -> Loaded:
        for count, (op, argument, _position) in enumerate(pickletools.genops(data)):
            if count > MAX_OPCODES:
                raise InputError(
                    f"{self._where}: its pickle has more than {MAX_OPCODES} steps", "do not trust this file"
                )
            if op.name == "STOP":
                break
            if op.name in _LITERALS:
                self._stack.append(_LITERALS[op.name]() if op.name in _CONSTANTS else argument)
            else:
                handler = _HANDLERS.get(op.name)
                if handler is None:
                    raise InputError(f"{self._where}: its pickle uses {op.name}, which no checkpoint needs")
                handler(self, argument)
        return Loaded(self._pop(), self._inert)

    def _pop(self) -> Any:
        if not self._stack or (self._marks and len(self._stack) <= self._marks[-1]):
            raise ValueError("its stack runs empty")
        return self._stack.pop()

    def _to_mark(self) -> list[Any]:
        if not self._marks:
            raise ValueError("a mark is missing")
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _call(self, function: Any, arguments: Any) -> Any:
        name = function.name if isinstance(function, Symbol) else type(function).__name__
        builder = _BUILDERS.get(name) if isinstance(function, Symbol) else None
        if builder is not None and isinstance(arguments, tuple):
            return builder(arguments)
        if name not in self._seen:
            self._seen.add(name)
            self._inert.append(name)
        return Inert(name)

    def mark(self, _argument: Any) -> None:
        self._marks.append(len(self._stack))

    def pop(self, _argument: Any) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def pop_mark(self, _argument: Any) -> None:
        self._to_mark()

    def dup(self, _argument: Any) -> None:
        self._stack.append(self._stack[-1])

    def put(self, argument: Any) -> None:
        index = len(self._memo) if argument is None else int(argument)
        if not 0 <= index <= MAX_MEMO:
            raise InputError(f"{self._where}: its pickle uses the memo index {index}, which no checkpoint needs")
        self._memo[index] = self._stack[-1]

    def get(self, argument: Any) -> None:
        self._stack.append(self._memo[int(argument)])

    def tuple_of(self, count: int) -> None:
        items = [self._pop() for _ in range(count)][::-1]
        self._stack.append(tuple(items))

    def tuple_mark(self, _argument: Any) -> None:
        self._stack.append(tuple(self._to_mark()))

    def list_mark(self, _argument: Any) -> None:
        self._stack.append(self._to_mark())

    def dict_mark(self, _argument: Any) -> None:
        items = self._to_mark()
        self._stack.append({})
        self._set(self._stack[-1], items)

    def append(self, _argument: Any) -> None:
        self._extend([self._pop()])

    def appends(self, _argument: Any) -> None:
        self._extend(self._to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Inert):
            raise TypeError("it appends to an object that is not a list")

    def set_item(self, _argument: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set(self._stack[-1], [key, value])

    def set_items(self, _argument: Any) -> None:
        items = self._to_mark()
        self._set(self._stack[-1], items)

    def _set(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Inert):
            return
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError("it sets items of an object that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a deeply nested tuple overflows the C stack, so only plain keys are kept.
            if isinstance(key, str | int | float | bytes | None):
                target[key] = value

    def add_items(self, _argument: Any) -> None:
        self._to_mark()

    def symbol(self, argument: Any) -> None:
        self._stack.append(Symbol(".".join(str(argument).split(" ", 1))))

    def stack_symbol(self, _argument: Any) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(Symbol(f"{module}.{name}" if isinstance(name, str) and isinstance(module, str) else "?"))

    def reduce(self, _argument: Any) -> None:
        arguments, function = self._pop(), self._pop()
        self._stack.append(self._call(function, arguments))

    def new_ex(self, _argument: Any) -> None:
        self._pop()
        self.new(None)

    def new(self, _argument: Any) -> None:
        self._pop()
        self._stack.append(self._call(self._pop(), None))

    def inst(self, argument: Any) -> None:
        self._to_mark()
        self._stack.append(self._call(Symbol(".".join(str(argument).split(" ", 1))), None))

    def obj(self, _argument: Any) -> None:
        items = self._to_mark()
        self._stack.append(self._call(items[0] if items else Symbol("?"), None))

    def build(self, _argument: Any) -> None:
        # The state of an object (such as the `_metadata` of a state dict) is dropped: nothing here has behaviour.
        self._pop()
        if not self._stack:
            raise ValueError("its stack runs empty")

    def persistent(self, _argument: Any) -> None:
        self._stack.append(_storage(self._pop()))

    def nothing(self, _argument: Any) -> None:
        """Ignore PROTO and FRAME: they describe the encoding, not the content."""


def _storage(key: Any) -> StorageRef | Inert:
    if (
        not isinstance(key, tuple)
        or len(key) != 5
        or key[0] != "storage"
        or not isinstance(key[1], Symbol)
        or not isinstance(key[2], str)
        or not _is_count(key[4])
    ):
        return Inert("storage")
    return StorageRef(key[1].name.rpartition(".")[2], key[2], key[4])


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _tensor(arguments: tuple[Any, ...]) -> TensorRef | Inert:
    if len(arguments) < 4:
        return Inert("torch tensor without a shape")
    storage, offset, shape, stride = arguments[:4]
    sizes = isinstance(shape, tuple) and isinstance(stride, tuple) and all(_is_count(n) for n in (*shape, *stride))
    if not isinstance(storage, StorageRef) or not _is_count(offset) or not sizes:
        return Inert("torch tensor of an impossible shape")
    return TensorRef(storage, offset, shape, stride)


def _first(arguments: tuple[Any, ...]) -> Any:
    return arguments[0] if arguments else Inert("torch parameter without a value")


def _ordered_dict(arguments: tuple[Any, ...]) -> dict[Any, Any] | Inert:
    out: dict[Any, Any] = {}
    pairs = arguments[0] if arguments else []
    if not isinstance(pairs, list | tuple):
        return Inert("collections.OrderedDict of something else")
    for pair in pairs:
        if isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str):
            out[pair[0]] = pair[1]
    return out


def _size(arguments: tuple[Any, ...]) -> Any:
    return arguments[0] if arguments and isinstance(arguments[0], tuple) else Inert("torch.Size")


def _latin1(arguments: tuple[Any, ...]) -> bytes | Inert:
    if len(arguments) == 2 and isinstance(arguments[0], str) and arguments[1] == "latin1":
        return arguments[0].encode("latin1", "replace")
    return Inert("_codecs.encode")


def _numpy_dtype(arguments: tuple[Any, ...]) -> Symbol | Inert:
    ok = arguments and isinstance(arguments[0], str) and arguments[0] in _SCALARS
    return Symbol(f"dtype:{arguments[0]}") if ok else Inert("numpy.dtype")


def _numpy_scalar(arguments: tuple[Any, ...]) -> Any:
    if len(arguments) == 2 and isinstance(arguments[0], Symbol) and isinstance(arguments[1], bytes):
        code = _SCALARS.get(arguments[0].name.removeprefix("dtype:"))
        if code is not None and struct.calcsize(code) == len(arguments[1]):
            return struct.unpack(code, arguments[1])[0]
    return Inert("numpy scalar")


_SCALARS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i", "b1": "<?"}

_BUILDERS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": _size,
    "_codecs.encode": _latin1,
    "numpy.dtype": _numpy_dtype,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
}

_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": lambda: Inert("set"),
}

_ARGUMENTS = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
)  # fmt: skip

_LITERALS: dict[str, Callable[[], Any]] = {**_CONSTANTS, **dict.fromkeys(_ARGUMENTS, lambda: None)}

_HANDLERS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.nothing,
    "FRAME": _Machine.nothing,
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.dup,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "TUPLE": _Machine.tuple_mark,
    "LIST": _Machine.list_mark,
    "DICT": _Machine.dict_mark,
    "FROZENSET": _Machine.list_mark,
    "ADDITEMS": _Machine.add_items,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.symbol,
    "STACK_GLOBAL": _Machine.stack_symbol,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new,
    "NEWOBJ_EX": _Machine.new_ex,
    "INST": _Machine.inst,
    "OBJ": _Machine.obj,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}
