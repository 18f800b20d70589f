"""Read a checkpoint (``.pth``, ``.pt``, ``.ckpt``, ``.safetensors``) without PyTorch and without running its code.

``convert/checkpoint/forms.py`` recognises the file, ``unpickle.py`` reads the pickle that describes the tensors,
``leaves.py`` collects them, ``choose.py`` finds the network among them, and ``storages.py`` checks each tensor against
its storage before memory is allocated for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from convert.checkpoint.archive import open_archive
from convert.checkpoint.choose import Choice, choose
from convert.checkpoint.forms import SAVE, look_at
from convert.checkpoint.leaves import Tree, collect
from convert.checkpoint.legacy import open_legacy
from convert.checkpoint.pickles.builders import MAX_COUNT
from convert.checkpoint.pickles.unpickle import load_plain
from convert.checkpoint.pickles.values import Inert, Loaded, printable
from convert.checkpoint.safetensors_file import open_safetensors
from convert.checkpoint.storages import Storages, read_tensors
from convert.checkpoint.tensors import KERAS, Checkpoint
from edge.process.files import sha256_of
from firmware_bridge.errors import InputError, UsageError

_OLD = "the file has the format of PyTorch before 1.6"
_CODE = "the file is a TorchScript program; its code was not run"
_PLAIN = "save plain float tensors: torch.save(model.float().state_dict(), 'teacher.pth')"
_PROGRAM = "__torch__."
_EXPECTED = (_PROGRAM, "torch.jit._pickle.", "torch.nn.modules.")
"""Code that programs and pickled modules refer to; it is not listed."""
_HARMLESS = frozenset({"collections.OrderedDict", "numpy.dtype", "numpy scalar", "builtins.set", "__builtin__.set"})


def read_checkpoint(path: Path | str, *, key: str | None = None) -> Checkpoint:
    """Read a checkpoint, or the Net1D in a ``.keras`` file that ``anyecg finetune`` wrote.

    Args:
        path: Path of the file.
        key: Name of the network to read from a file with several; ``None`` for the only one.

    Raises:
        InputError: The file is missing, truncated, not a checkpoint, describes impossible tensors, or holds several
            networks; the message says what to do.
        UsageError: ``key`` is given for a ``.keras`` file.
        MissingExtraError: The library for the form of the file is not installed.
    """
    path = Path(path)
    if path.suffix == KERAS:
        if key is not None:
            raise UsageError("--key is for checkpoints with several networks", f"leave it out: {path.name} has one")
        from convert.checkpoint.keras_file import read_keras_teacher

        return read_keras_teacher(path)
    found = look_at(path)
    if found.form == "safetensors":
        return _safetensors(path, key)
    if found.form == "legacy":
        with open_legacy(path, found.size) as file:
            return _pickled(file, file.loaded, key, _OLD)
    with open_archive(path, found.size) as archive:
        loaded = load_plain(archive.pickle(), str(path))
        return _pickled(archive, loaded, key, _CODE if archive.is_program else "")


def _safetensors(path: Path, key: str | None) -> Checkpoint:
    with open_safetensors(path) as file:
        if not file.leaves:
            raise InputError(f"{path} holds no tensors", SAVE)
        choice = choose(file.leaves, key, path)
        tensors = file.read(choice.tensors)
        facts = file.facts
    dtypes = tuple(sorted({leaf.ref for leaf in choice.tensors.values()}))
    return Checkpoint(path, sha256_of(path), choice.layout, tensors, dtypes, facts, choice.notes)


def _pickled(file: Storages, loaded: Loaded, key: str | None, note: str) -> Checkpoint:
    path, top = file.path, loaded.value
    tree = collect(top, str(path))
    if not tree.leaves:
        _no_tensors(path, top, tree, note)
    choice = choose(tree.leaves, key, path)
    _check_read(path, tree, choice)
    refs = {name: leaf.ref for name, leaf in choice.tensors.items()}
    return Checkpoint(
        path=path,
        sha256=sha256_of(path),
        layout=choice.layout,
        tensors=read_tensors(file, refs),
        dtypes=tuple(sorted({ref.dtype for ref in refs.values()})),
        facts=_facts(top) if isinstance(top, dict) else {},
        oddities=(*choice.notes, *filter(None, [note]), *_code_notes(tree, loaded, choice)),
    )


def _no_tensors(path: Path, top: Any, tree: Tree, note: str) -> NoReturn:
    if tree.unread:
        name, kind = next(iter(tree.unread.items()))
        raise InputError(f"{path} holds no tensors that can be read: {name} is a {_kind(kind)}", _PLAIN)
    held = next(((k, v) for k, v in top.items() if isinstance(v, Inert)), None) if isinstance(top, dict) else None
    if note == _CODE:
        raise InputError(f"{path} is a frozen TorchScript program: its weights are constants of its code", SAVE)
    if isinstance(top, Inert):
        raise InputError(f"{path} holds a pickled {top.name} object, not tensors", SAVE)
    if held is not None:
        raise InputError(f"{path}: '{_key(held[0])}' is a pickled {held[1].name} object; it holds no tensors", SAVE)
    if not isinstance(top, dict):
        raise InputError(f"{path} holds a {type(top).__name__}, not a dictionary of tensors", SAVE)
    keys = ", ".join(_key(k) for k in list(top)[:6]) or "nothing"
    raise InputError(f"{path} holds no tensors (found: {keys})", SAVE)


def _key(key: Any) -> str:
    return printable(str(key), 40)


def _check_read(path: Path, tree: Tree, choice: Choice) -> None:
    """Refuse a network some of whose tensors are of a kind that is not read, such as quantized ones."""
    lost = [name for name in tree.unread if name.startswith(choice.full)]
    if lost:
        name = lost[0].removeprefix(choice.full)
        raise InputError(f"{path}: {name} is a {_kind(tree.unread[lost[0]])}, which cannot be read", _PLAIN)


def _kind(call: str) -> str:
    """Return what a call would have made: ``qtensor`` for ``torch._utils._rebuild_qtensor``."""
    return call.removeprefix("torch._utils._rebuild_").removeprefix("torch._utils.")


def _code_notes(tree: Tree, loaded: Loaded, choice: Choice) -> list[str]:
    notes = []
    objects = {tree.objects[leaf.container] for leaf in choice.tensors.values() if leaf.container in tree.objects}
    if any(not name.startswith(_PROGRAM) for name in objects):
        notes.append("the file holds a whole pickled module; its tensors were taken, its code was not run")
    named = [n for n in loaded.inert if n not in _HARMLESS and not n.startswith(_EXPECTED)]
    if named:
        listed = ", ".join(named[:4]) + (" ..." if len(named) > 4 else "")
        notes.append(f"the file refers to code ({listed}); none of it was run")
    return notes


def _facts(top: Mapping[Any, Any]) -> dict[str, str | int | float]:
    return {printable(k): v for k, v in top.items() if isinstance(k, str) and len(k) <= 64 and _is_fact(v)}


def _is_fact(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= 200 and value.isprintable()
    return isinstance(value, float) or (isinstance(value, int) and -MAX_COUNT <= value <= MAX_COUNT)
