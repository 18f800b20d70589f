"""Find the network among the tensors of a file: under any key and any prefix, and alone or beside other tensors.

The names of a Net1D are the same in every file. What stands before them, such as ``state_dict.module._orig_mod.``, is
where the network lies; two such places are two copies of a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.checkpoint.forms import SAVE
from convert.checkpoint.leaves import Leaf
from firmware_bridge.errors import InputError

LAYOUTS = ("state_dict", "model", "model_state_dict")
"""Keys under which training code stores the tensors, in order of preference for a file without a Net1D."""

BARE = "bare"
"""Layout of a file that holds the tensors at its top."""

WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that data-parallel training and ``torch.compile`` add to every name."""

PARTS = frozenset({"first_conv", "first_bn", "stage_list", "dense"})
"""First part of every name of a Net1D."""

_ANCHORS = ("first_conv.conv.weight", "stage_list.0.block_list.0.conv1.conv.weight")
_NEEDED = (*_ANCHORS, "dense.weight")
"""Tensors that every complete Net1D has."""

_USUAL = frozenset({
    "optimizer", "optimizers", "optimizer_states", "optimizer_state_dict", "optim", "opt", "scheduler", "schedulers",
    "lr_scheduler", "lr_schedulers", "scaler", "grad_scaler", "amp", "callbacks", "loops",
})  # fmt: skip
"""Keys at the top of a file whose tensors are the state of a training, named by key and not one by one."""

MAX_COPIES = 16
"""Largest number of copies of a network in a file."""
MAX_LISTED = 4
"""Names that a message lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The tensors that were chosen.

    Attributes:
        tensors: Tensors by their name in the network.
        layout: Key under which the file holds them, or ``bare``.
        prefix: What stands between the key and each name.
        full: What stands before each name: key and prefix.
        notes: Remarks for the user, one sentence each.
    """

    tensors: Mapping[str, Leaf]
    layout: str
    prefix: str
    full: str
    notes: tuple[str, ...]


def choose(leaves: Sequence[Leaf], key: str | None, path: Path) -> Choice:
    """Choose the tensors of the network.

    Args:
        leaves: All tensors of the file, at least one.
        key: Name of the copy to take, as the message about several copies lists it; ``None`` for the only one.
        path: Path of the file, for error messages.

    Raises:
        InputError: The file holds several networks, or none under ``key``.
    """
    copies = _copies(leaves, path)
    if not copies:
        return _another_network(leaves, key, path)
    prefix = _only(copies, key, path)
    chosen = copies[prefix]
    anchor = next(iter(chosen.values()))
    layout = anchor.container if _dotted(prefix).startswith(_dotted(anchor.container)) else prefix.removesuffix(".")
    short = prefix.removeprefix(_dotted(layout))
    notes = [f"the prefix '{short}' was removed from every name"] if short else []
    taken = {id(leaf) for leaf in chosen.values()}
    notes += _left_out([leaf for leaf in leaves if id(leaf) not in taken], copies)
    return Choice(chosen, layout or BARE, short, prefix, tuple(notes))


def _copies(leaves: Iterable[Leaf], path: Path) -> dict[str, dict[str, Leaf]]:
    """Return the tensors of each copy of a Net1D by name, by what stands before the names."""
    leaves = list(leaves)
    copies: dict[str, dict[str, Leaf]] = {}
    for leaf in leaves:
        for anchor in _ANCHORS:
            if leaf.name == anchor or leaf.name.endswith(f".{anchor}"):
                copies.setdefault(leaf.name.removesuffix(anchor), {})
    if len(copies) > MAX_COPIES:
        raise InputError(f"{path} holds {len(copies)} networks", SAVE)
    for leaf in leaves if copies else ():
        prefix = next((p for p in _prefixes(leaf.name) if p in copies), None)
        if prefix is None:
            continue
        name = leaf.name.removeprefix(prefix)
        other = copies[prefix].setdefault(name, leaf)
        if other.same != leaf.same:
            raise InputError(f"{path} holds two tensors with the name {leaf.name}", "save model.state_dict() again")
    return _distinct(copies)


def _prefixes(name: str) -> Iterator[str]:
    """Return what may stand before a name of a Net1D in a full name, the longest first."""
    end = len(name)
    while end > 0:
        start = name.rfind(".", 0, end) + 1
        if name[start:end] in PARTS:
            yield name[:start]
        end = start - 1


def _distinct(copies: dict[str, dict[str, Leaf]]) -> dict[str, dict[str, Leaf]]:
    """Drop copies that are the same values as an earlier one, as when a file stores one dictionary under two keys."""
    found: dict[frozenset[tuple[str, object]], str] = {}
    for prefix, copy in copies.items():
        found.setdefault(frozenset((name, leaf.same) for name, leaf in copy.items()), prefix)
    return {prefix: copies[prefix] for prefix in found.values()}


def _only(copies: Mapping[str, Mapping[str, Leaf]], key: str | None, path: Path) -> str:
    complete = [prefix for prefix, copy in copies.items() if all(name in copy for name in _NEEDED)]
    if key is not None:
        return _named({_label(p): p for p in copies}, key, path)
    if len(complete) > 1:
        labels = [_label(prefix) for prefix in complete]
        raise InputError(
            f"{path} holds {len(labels)} complete networks: {_listed(labels)}",
            f"save one in a file of its own; a command with --key can choose one, such as --key {labels[0]}",
        )
    return complete[0] if complete else max(copies, key=lambda prefix: len(copies[prefix]))


def _named(labels: Mapping[str, str], key: str, path: Path) -> str:
    """Return the place that a key names: the whole name of a place, or its beginning if no other begins so."""
    begins = [label for label in labels if label == key] or [n for n in labels if n.startswith(f"{key}.")]
    if len(begins) != 1:
        what = "no network" if not begins else f"{len(begins)} networks"
        raise InputError(f"{path} holds {what} under {key[:80]!r}", f"--key can be {_listed(list(labels))}")
    return labels[begins[0]]


def _label(prefix: str) -> str:
    return prefix.removesuffix(".") or BARE


def _dotted(name: str) -> str:
    return f"{name.removesuffix('.')}." if name else ""


def _left_out(rest: Sequence[Leaf], copies: Mapping[str, Mapping[str, Leaf]]) -> list[str]:
    """Return the notes about tensors that were left out."""
    groups: dict[str, int] = {}
    training: dict[str, None] = {}
    total = 0
    for leaf in rest:
        first = leaf.name.split(".", 1)[0]
        if first in _USUAL:
            training[first] = None
            continue
        total += 1
        prefix = next((p for p in _prefixes(leaf.name) if p in copies), None)
        name = leaf.name if prefix is None else f"a network in {_label(prefix)}"
        groups[name] = groups.get(name, 0) + 1
    notes = [f"the state of the training was left out: {_listed(list(training))}"] if training else []
    if groups:
        count = "1 tensor beside the network was" if total == 1 else f"{total} tensors beside the network were"
        notes.append(f"{count} left out: {_listed(list(groups))}")
    return notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


def _another_network(leaves: Sequence[Leaf], key: str | None, path: Path) -> Choice:
    """Choose the tensors of a file that holds no Net1D: under a usual key, at the top, or where there are most."""
    places: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        places.setdefault(leaf.container, []).append(leaf)
    if key is not None:
        place = _named({place or BARE: place for place in places}, key, path)
    else:
        usual = [place for place in (*LAYOUTS, "") if place in places]
        place = usual[0] if usual else max(places, key=lambda name: len(places[name]))
    names = {leaf.name.removeprefix(_dotted(place)): leaf for leaf in places[place]}
    prefix = ""
    while wrapper := next((w for w in WRAPPERS if all(name.startswith(w) for name in names)), ""):
        names = {name.removeprefix(wrapper): leaf for name, leaf in names.items()}
        prefix += wrapper
    notes = (f"the prefix '{prefix}' was removed from every name",) if prefix else ()
    return Choice(names, place or BARE, prefix, _dotted(place) + prefix, notes)
