"""What a disk may hold after a power cut: everything that was synced, and anything of what was not.

The model is the weakest that POSIX allows. ``fsync`` of a file makes its content durable, and nothing else; ``fsync``
of a folder makes the names in it durable. Of everything else, each name and each file may be old, new or half-way, on
its own: no order between files is assumed. A real file system does better.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from traced import Call, TraceError

State = Literal["synced", "newest", "torn", "zeros", "sectors"]
"""What became of the content that was not synced: all lost; all there; there up to any byte; of full length, but
zero; or some sectors old, some new, in any order."""
STATES: tuple[State, ...] = get_args(State)
SECTOR_BYTES = 512
_READS = {"lseek", "close", "mmap", "msync"}


@dataclass
class Inode:
    """A file, with every content that it had: (offset, data) for a write, (size, None) for a truncation."""

    changes: list[tuple[int, bytes | None]] = field(default_factory=list)
    durable: int = 0
    """Changes that are certain to be on the disk."""
    folder: bool = False
    times_s: list[float] = field(default_factory=list)
    """When each change was made, Unix time, s."""

    def change(self, at: int, piece: bytes | None, time_s: float) -> None:
        """Write, or truncate if ``piece`` is ``None``."""
        self.changes.append((at, piece))
        self.times_s.append(time_s)

    def content(self, changes: int) -> bytes:
        """The content after so many changes."""
        data = bytearray()
        for at, piece in self.changes[:changes]:
            if piece is None:
                del data[at:]
                data.extend(bytes(at - len(data)))
            else:
                data.extend(bytes(max(0, at - len(data))))
                data[at : at + len(piece)] = piece
        return bytes(data)


@dataclass
class Name:
    """A name in a folder, with everything that it stood for; ``None`` for no file."""

    values: list[Inode | None] = field(default_factory=lambda: [None])
    durable: int = 0


@dataclass
class _Open:
    inode: Inode
    at: int
    append: bool


class Disk:
    """The files below a folder while a run changes them.

    Args:
        root: The folder; it exists and is durable.
        start: Files that are on the disk before, by path; they are durable.
    """

    def __init__(self, root: Path, start: dict[str, bytes] | None = None) -> None:
        self.root = str(root)
        self.names: dict[str, Name] = {}
        self.longest_s: dict[str, float] = {}
        """Longest time from a change of a file until it was durable, s, by path."""
        # Never removed: a child process closes its own copies under the same numbers.
        self._open: dict[int, _Open] = {}
        self._began: dict[tuple[int, str], int | dict[str, int]] = {}
        for path, data in (start or {}).items():
            parts = Path(path).relative_to(root).parents
            for parent in [root / part for part in parts if str(part) != "."]:
                self.names.setdefault(str(parent), Name([Inode(folder=True)]))
            self.names[path] = Name([Inode([(0, data)], 1, times_s=[0.0])])

    def apply(self, call: Call) -> None:
        """Take one call of a run.

        Raises:
            TraceError: The call changes the files in a way that the model does not know.
        """
        if not self._inside(call.path) and not self._inside(call.other):
            return
        if call.began:
            if call.name in {"fsync", "fdatasync"}:
                self._began[call.pid, call.path] = self._snapshot(call.path)
            return
        self._done(call)

    def inode(self, path: str) -> Inode:
        """The file of that name now.

        Raises:
            TraceError: There is none.
        """
        found = self.names[path].values[-1] if path in self.names else None
        if found is None:
            raise TraceError(f"{path} does not exist in the model")
        return found

    def rebuild(self, into: Path, state: State, chance: random.Random) -> None:
        """Write one of the possible contents of the disk into an empty folder.

        Args:
            into: Stands for the root.
            state: What became of contents that were not synced.
            chance: Decides what the state leaves open.
        """
        chosen = {}
        for path in sorted(self.names):
            name = self.names[path]
            # Old, new or anything between, for each name on its own; the extremes are the most likely faults.
            first, last = name.durable, len(name.values) - 1
            at = {"synced": first, "newest": last}.get(state, chance.randint(first, last))
            chosen[path] = name.values[at]
        for path, inode in chosen.items():
            target = into / Path(path).relative_to(self.root)
            if inode is None or not target.parent.is_dir():
                continue  # a file in a folder that is not there
            if inode.folder:
                target.mkdir()
            else:
                target.write_bytes(_content(inode, state, chance))

    def _done(self, call: Call) -> None:
        match call.name:
            case "open" | "openat" | "creat":
                self._opened(call)
            case "write":
                self._written(call)
            case "ftruncate":
                self.inode(call.path).change(int(call.number), None, call.time_s)
            case "fsync" | "fdatasync":
                self._synced(call)
            case "rename" | "renameat" | "renameat2":
                moved = self.inode(call.path)
                self._set(call.path, None)
                self._set(call.other, moved)
            case "unlink" | "unlinkat" | "rmdir":
                self._set(call.path, None)
            case "mkdir" | "mkdirat":
                self._set(call.path, Inode(folder=True))
            case "mmap" if "MAP_SHARED" in call.number and "PROT_WRITE" in call.number:
                raise TraceError(f"{call.path} is changed through memory")
            case name if name not in _READS:
                raise TraceError(f"the model of the disk does not know {name} ({call.path})")
            case "lseek" if call.fd in self._open:
                self._open[call.fd].at = int(call.number)

    def _opened(self, call: Call) -> None:
        if call.path == self.root or (call.path in self.names and self._folder(call.path)):
            return
        if "O_CREAT" in call.number and (call.path not in self.names or self.names[call.path].values[-1] is None):
            self._set(call.path, Inode())
        inode = self.inode(call.path)
        if "O_TRUNC" in call.number and inode.content(len(inode.changes)):
            inode.change(0, None, call.time_s)
        self._open[call.fd] = _Open(inode, 0, "O_APPEND" in call.number)

    def _written(self, call: Call) -> None:
        file = self._open[call.fd]
        if file.append:
            file.at = len(file.inode.content(len(file.inode.changes)))
        file.inode.change(file.at, call.data, call.time_s)
        file.at += len(call.data)

    def _synced(self, call: Call) -> None:
        # Only what was there when the call began is certain.
        reached = self._began.pop((call.pid, call.path), None)
        reached = self._snapshot(call.path) if reached is None else reached
        if isinstance(reached, dict):
            for path, value in reached.items():
                self.names[path].durable = max(self.names[path].durable, value)
        elif call.fd in self._open:
            inode = self._open[call.fd].inode
            if reached > inode.durable:
                waited_s = call.time_s - inode.times_s[inode.durable]
                self.longest_s[call.path] = max(self.longest_s.get(call.path, 0.0), waited_s)
                inode.durable = reached

    def _snapshot(self, path: str) -> int | dict[str, int]:
        if path == self.root or self._folder(path):
            return {p: len(name.values) - 1 for p, name in self.names.items() if os.path.dirname(p) == path}
        return len(self.inode(path).changes)

    def _folder(self, path: str) -> bool:
        found = self.names[path].values[-1] if path in self.names else None
        return found is not None and found.folder

    def _set(self, path: str, inode: Inode | None) -> None:
        if not self._inside(path):
            raise TraceError(f"{path} lies outside {self.root}")
        self.names.setdefault(path, Name()).values.append(inode)

    def _inside(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + os.sep)


def _content(inode: Inode, state: State, chance: random.Random) -> bytes:
    old, new = inode.content(inode.durable), inode.content(len(inode.changes))
    match state:
        case "synced":
            return old
        case "newest":
            return new
        case "torn":
            upto = chance.randint(inode.durable, len(inode.changes))
            whole, before = inode.content(upto), inode.content(max(upto - 1, inode.durable))
            return whole[: chance.randint(len(before), len(whole))] if len(whole) > len(before) else whole
        case "zeros":
            return old + bytes(max(0, len(new) - len(old))) if new.startswith(old) else new
        case "sectors":
            size = chance.choice((len(old), len(new)))
            pieces: Iterable[bytes] = (
                chance.choice((old, new))[at : at + SECTOR_BYTES].ljust(SECTOR_BYTES, b"\0")
                for at in range(0, size, SECTOR_BYTES)
            )
            return b"".join(pieces)[:size]
