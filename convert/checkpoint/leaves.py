"""Collect the tensors in a pickle under their full names, whatever dictionaries, lists and objects hold them.

An object, such as a module that was pickled whole, is only a placeholder with the attributes that the file gives it.
The tensors in these attributes have the names that ``state_dict()`` would give them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from convert.checkpoint.pickles.builders import IMPOSSIBLE, MAX_KEY
from convert.checkpoint.pickles.values import Inert, TensorRef, printable
from firmware_bridge.errors import InputError

MAX_LEAVES = 60_000
"""Largest number of tensors in a file: a network of 20,000 with the state of its optimizer."""
MAX_NODES = 1_000_000
"""Largest number of values that are looked at."""
MAX_DEPTH = 24
"""Largest depth at which tensors are looked for; each module within a module takes two levels."""

_MODULE_PARTS = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor in a file.

    Attributes:
        name: Full name: the keys on the way to it, joined by dots.
        container: Keys on the way to the dictionary or object that holds it, joined by dots; empty for the top.
        ref: Description of the tensor.
        same: Equal for two leaves that are the same values in the file.
    """

    name: str
    container: str
    ref: Any
    same: object


@dataclass(slots=True)
class Tree:
    """The tensors of a file.

    Attributes:
        leaves: Tensors in the order of the file, those near the top first.
        unread: Full names of tensors of a kind that is not read, with the call that would make them.
        objects: Class name of each object that holds tensors, by its name.
    """

    leaves: list[Leaf] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Node:
    value: Any
    name: str
    module: str | None
    depth: int


def collect(top: Any, where: str) -> Tree:
    """Collect the tensors of a pickle.

    Args:
        top: The top object, plain data.
        where: Name of the file, for error messages.

    Raises:
        InputError: The file holds more values than any checkpoint, or a tensor with an impossible name.
    """
    tree = Tree()
    # A container is opened once, so a file that refers to one a million times takes no time.
    seen = {id(top)}
    first = _Node(None, "", None, 0)
    queue, count = deque([_Node(top, "", _module(first, top, "", tree), 0)]), 0
    while queue:
        node = queue.popleft()
        for key, value in _children(node.value):
            count += 1
            if count > MAX_NODES or len(tree.leaves) > MAX_LEAVES:
                raise InputError(f"{where} holds more values than any checkpoint", "do not trust this file")
            name = f"{node.name}.{key}" if node.name and key else node.name or key
            if isinstance(value, TensorRef):
                tree.leaves.append(_leaf(name, node, value, where))
            elif isinstance(value, Inert) and (value.name.startswith("torch._utils.") or value.name == IMPOSSIBLE):
                tree.unread[printable(name)] = value.name
            elif _opens(value, name, node) and id(value) not in seen:
                seen.add(id(value))
                queue.append(_Node(value, name, _module(node, value, name, tree), node.depth + 1))
    return tree


def _opens(value: Any, name: str, node: _Node) -> bool:
    return isinstance(value, dict | list | tuple | Inert) and node.depth < MAX_DEPTH and len(name) <= MAX_KEY


def _leaf(name: str, node: _Node, ref: TensorRef, where: str) -> Leaf:
    if len(name) > MAX_KEY or not name.isprintable():
        raise InputError(f"{where} holds a tensor with an impossible name: {printable(name)!r}", "do not trust it")
    same = (ref.storage.key, ref.offset, ref.shape, ref.stride, ref.dtype)
    return Leaf(name, node.name if node.module is None else node.module, ref, same)


def _module(node: _Node, value: Any, name: str, tree: Tree) -> str | None:
    """Return the name of the outermost object around a value, and remember its class."""
    if node.module is None and isinstance(value, Inert):
        tree.objects[name] = value.name
        return name
    return node.module


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((k if isinstance(k, str) else str(k), v) for k, v in value.items())
    elif isinstance(value, list | tuple):
        yield from ((str(i), v) for i, v in enumerate(value))
    elif isinstance(value, Inert):
        yield from ((str(k), v) for k, v in value.items.items())
        state = value.state
        if isinstance(state, dict) and all(part in state for part in _MODULE_PARTS):
            # The key is empty: state_dict() leaves these names out.
            yield from (("", state[part]) for part in _MODULE_PARTS)
        elif isinstance(state, dict):
            yield from ((str(k), v) for k, v in state.items())
        elif isinstance(state, tuple):
            # The state of an object with slots: (attributes, slots).
            yield from (("", part) for part in state[:2] if isinstance(part, dict))
