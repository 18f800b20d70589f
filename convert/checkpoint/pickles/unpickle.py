"""Read a pickle without Python's ``pickle``: a small interpreter that produces plain data only.

A pickle is a program. This interpreter runs it on its own stack, where a name such as ``os.system`` is only a
:class:`~convert.checkpoint.pickles.values.Symbol`. The functions in ``builders.py`` beside this file answer the few
calls that build tensors. Every other call, whatever it names, produces an
:class:`~convert.checkpoint.pickles.values.Inert`. Nothing is imported, looked up or called.
"""

from __future__ import annotations

import io
import pickletools
import struct
import warnings
from collections.abc import Callable
from typing import IO, Any

from convert.checkpoint.pickles.builders import BUILDERS, Budget, is_key, storage_of
from convert.checkpoint.pickles.values import Inert, Loaded, StorageRef, Symbol, printable
from firmware_bridge.errors import InputError

MAX_PICKLE_BYTES = 32 << 20
"""Largest pickle that is read, bytes. ECGFounder's, with the optimizer, has 0.3 MB."""

MAX_OPCODES = 1_000_000
"""Largest number of opcodes. It bounds time and memory, because no opcode creates more than one small object."""

MAX_MEMO = 1 << 20
"""Largest index into the memo. Python's own unpickler allocates that many entries."""

MAX_NAME = 256
"""Largest length of the name of a class or function."""


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
    return load_next(io.BytesIO(data), where)


def load_next(stream: IO[bytes], where: str) -> Loaded:
    """Read the pickle at the position of a stream, and leave the position at its end.

    Args:
        stream: Stream with at most :data:`MAX_PICKLE_BYTES` bytes.
        where: Name of the file, for error messages.

    Raises:
        InputError: The pickle is damaged, or uses opcodes that no checkpoint needs.
    """
    machine = _Machine(where)
    try:
        with warnings.catch_warnings():
            # Damaged texts make the decoder warn about escape sequences; the error below is enough.
            warnings.simplefilter("ignore")
            return machine.run(stream)
    except InputError:
        raise
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, UnicodeError, struct.error) as error:
        raise InputError(
            f"{where}: its pickle is damaged ({printable(str(error), 160)})", "download it again"
        ) from None


class _Machine:
    def __init__(self, where: str) -> None:
        self._where = where
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._inert: list[str] = []
        self._seen: set[str] = set()
        self._storages: dict[str, StorageRef] = {}
        self._budget = Budget(where)

    def run(self, stream: IO[bytes]) -> Loaded:
        for count, (op, argument, _position) in enumerate(pickletools.genops(stream)):
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
        return Loaded(self._pop(), self._inert, self._storages)

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
        builder = BUILDERS.get(name) if isinstance(function, Symbol) else None
        if builder is not None and isinstance(arguments, tuple):
            return builder(arguments, self._budget)
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
        into = target.items if isinstance(target, Inert) else target
        if not isinstance(into, dict) or len(items) % 2:
            raise TypeError("it sets items of an object that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a deeply nested tuple overflows the C stack, so only plain keys are kept.
            if is_key(key):
                into[key] = value

    def add_items(self, _argument: Any) -> None:
        self._to_mark()

    def symbol(self, argument: Any) -> None:
        self._stack.append(_symbol(*str(argument).split(" ", 1)))

    def stack_symbol(self, _argument: Any) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(_symbol(module, name))

    def reduce(self, _argument: Any) -> None:
        arguments, function = self._pop(), self._pop()
        self._stack.append(self._call(function, arguments))

    def new_ex(self, _argument: Any) -> None:
        self._pop()
        self.new(None)

    def new(self, _argument: Any) -> None:
        arguments, function = self._pop(), self._pop()
        self._stack.append(self._call(function, arguments))

    def inst(self, argument: Any) -> None:
        self._to_mark()
        self._stack.append(self._call(_symbol(*str(argument).split(" ", 1)), None))

    def obj(self, _argument: Any) -> None:
        items = self._to_mark()
        self._stack.append(self._call(items[0] if items else Symbol("?"), None))

    def build(self, _argument: Any) -> None:
        # The state of a plain value (such as the `_metadata` of a state dict) is dropped: nothing here has behaviour.
        state = self._pop()
        if not self._stack:
            raise ValueError("its stack runs empty")
        if isinstance(self._stack[-1], Inert):
            self._stack[-1].state = state

    def persistent(self, _argument: Any) -> None:
        found = storage_of(self._pop())
        if isinstance(found, StorageRef):
            self._storages.setdefault(found.key, found)
        self._stack.append(found)

    def nothing(self, _argument: Any) -> None:
        """Ignore PROTO and FRAME: they describe the encoding, not the content."""


def _symbol(module: Any, name: Any = "") -> Symbol:
    """Return a symbol. What cannot be a name becomes ``?``: copying a long text a million times takes minutes."""
    if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > MAX_NAME:
        return Symbol("?")
    full = f"{module}.{name}"
    return Symbol(full if full.isprintable() else "?")


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
