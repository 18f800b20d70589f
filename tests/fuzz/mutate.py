"""Changes of an input: of any bytes, and of the values in JSON. They follow from a seed, so they can be repeated."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

PIECES = (
    b"", b"0", b"-1", b"9" * 8, b"9" * 400, b"9" * 5000, b"1e400", b"nan", b"Infinity", b".", b" ", b"\n", b"\0",
    b"\xff", b"\xed\xa0\x80", b"\x1b[2J",
    b"\xe2\x80\xae", b"{", b"[", b"[" * 2000, b'"', b",", b";", b"/", b"..", b"=", b"(",
)  # fmt: skip
"""Bytes that readers of text stumble over: long numbers, half a surrogate pair, control characters, nesting."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**18, 2**63, -(2**63), 10**400, 10**5000, 1e308, -1e308, 5e-324, float("nan"),
    float("inf"), "", "x" * 5000, "\ud800", "\x1b]0;owned\x07", "a\u202eb", "../../x", [], {}, [[[[]]]], [0] * 100, 0.5,
)  # fmt: skip
"""Values that readers of JSON stumble over."""


def bytes_changed(data: bytes, random_: random.Random, words: tuple[bytes, ...] = ()) -> bytes:
    """Return the bytes with one to four changes."""
    changed = bytearray(data)
    for _ in range(random_.choice([1, 1, 2, 4])):
        at = random_.randrange(len(changed) + 1)
        kind = random_.random()
        if kind < 0.4:
            changed[at : at + random_.choice([0, 1, 4, 8])] = random_.choice(PIECES + words)
        elif kind < 0.6:
            changed[at : at + 1] = bytes([random_.randrange(256)])
        elif kind < 0.7:
            size = random_.choice([1, 2, 4, 8])
            changed[at : at + size] = random_.choice([0, 1, 1 << 8 * size - 1, (1 << 8 * size) - 1]).to_bytes(
                size, "little"
            )
        elif kind < 0.8:
            del changed[at:]
        else:
            begin = random_.randrange(len(changed) + 1)
            changed[at:at] = changed[begin : begin + random_.randrange(1, 300)]
    return bytes(changed)


def json_changed(data: bytes, random_: random.Random, tag_bytes: int = 0) -> bytes | None:
    """Return JSON with one to three values or keys changed; ``None`` if it cannot be parsed or written.

    Args:
        data: The JSON, after the tag.
        random_: Source of the choices.
        tag_bytes: Number of bytes before the JSON, which are kept.
    """
    try:
        tree = json.loads(data[tag_bytes:])
        for _ in range(random_.choice([1, 1, 2, 3])):
            tree = _changed(tree, random_)
        return data[:tag_bytes] + json.dumps(tree).encode()
    except (ValueError, RecursionError):
        return None


def each_value_changed(tree: Any, values: Sequence[Any]) -> Iterator[str]:
    """Yield a document as JSON with one value replaced: every value by each of ``values``.

    Of an array, only the first two items are changed: the others are like them.
    """
    for holder, key in list(_places(tree, 0, items=2)):
        before = holder[key]
        for value in values:
            holder[key] = value
            yield json.dumps(tree)
        holder[key] = before


def _changed(tree: Any, random_: random.Random) -> Any:
    places = list(_places(tree, 0))
    if not places:
        return copy.deepcopy(random_.choice(VALUES))
    holder, key = random_.choice(places)
    kind = random_.random()
    if kind < 0.7:
        holder[key] = copy.deepcopy(random_.choice(VALUES))
    elif kind < 0.8:
        other, name = random_.choice(places)
        holder[key] = json.loads(json.dumps(other[name]))
    elif kind < 0.9:
        del holder[key]
    elif isinstance(holder, dict):
        holder[str(random_.choice(VALUES))[:300]] = holder.pop(key)
    else:
        holder.append(holder[key])
    return tree


def _places(tree: Any, depth: int, items: int | None = None) -> Any:
    """Yield every object or array with each of its keys; of an array the first ``items``."""
    if depth > 40:
        return
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))[:items] if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key], depth + 1, items)
