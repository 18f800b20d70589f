"""Every change of the files below a folder, and every line on standard output, as a run made them: from strace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "open", "openat", "creat", "close", "write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek", "mmap",
    "ftruncate", "truncate", "fallocate", "fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync",
    "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "link", "linkat", "symlink",
    "symlinkat", "copy_file_range", "sendfile", "splice",
)  # fmt: skip
"""System calls that can change a file or make a change durable."""
LONGEST_BYTES = 1 << 24

_LINE = re.compile(r"^(\d+) +(\d+\.\d+) (.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+|\?)(.*)$", re.DOTALL)
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_FD = re.compile(r"^(-?\d+|AT_FDCWD)(?:<((?:\\x[0-9a-f]{2})*)>)?")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


class TraceError(Exception):
    """The trace holds something that the model of the disk does not know."""


@dataclass(frozen=True)
class Call:
    """One step of a system call that succeeded.

    Attributes:
        time_s: When it happened, Unix time, s.
        name: Name of the call.
        began: Whether it only began here; only calls that took long have this step.
        path: The file that it concerns, empty if none.
        other: The second file of a rename.
        data: Bytes written.
        number: A size, an offset or the flags as text.
        fd: The file descriptor that it concerns or returned.
        pid: The thread.
    """

    time_s: float
    name: str
    began: bool
    path: str
    other: str
    data: bytes
    number: str
    fd: int
    pid: int


def command(log: Path) -> list[str]:
    """What to write before a command so that its calls are traced."""
    return [
        "strace", "-D", "-f", "--seccomp-bpf", "-y", "-ttt", "-xx", "-s", str(LONGEST_BYTES), "-e", "signal=none",
        "-e", f"trace={','.join(CALLS)}", "-o", str(log), "--",
    ]  # fmt: skip


def calls(log: Path) -> Iterator[Call]:
    """Yield the calls of a trace, in order of their ends; long ones also where they began."""
    pending: dict[int, tuple[str, str]] = {}
    with log.open(encoding="ascii") as file:
        for line in file:
            found = _LINE.match(line.rstrip("\n"))
            if found is None:
                raise TraceError(f"not a line of strace: {line[:80]}")
            pid, time_s, text = int(found[1]), float(found[2]), found[3]
            if text.startswith(("+++", "---")):
                continue
            if text.endswith(_UNFINISHED):
                name, _bracket, start = text.removesuffix(_UNFINISHED).partition("(")
                pending[pid] = name, start
                yield _call(pid, time_s, name, start, "0", "", began=True)
                continue
            resumed = _RESUMED.match(text)
            if resumed is not None:
                name, start = pending.pop(pid)
                text = f"{name}({start}{resumed[2]}"
            whole = _CALL.match(text)
            if whole is None:
                raise TraceError(f"not a call: {text[:80]}")
            if whole[3] != "?" and int(whole[3]) >= 0:
                yield _call(pid, time_s, whole[1], whole[2], whole[3], whole[4], began=False)


def _call(pid: int, time_s: float, name: str, arguments: str, result: str, after: str, *, began: bool) -> Call:
    strings = [_bytes(text[1]) for text in _STRING.finditer(arguments)]
    if any(text[2] for text in _STRING.finditer(arguments)):
        raise TraceError(f"strace has cut the data of {name}")
    fd_text = _FD.match(arguments)
    fd, path, other, data, number = -1, "", "", b"", ""
    if name in {"open", "openat", "creat"}:
        # The result names the file with its whole path.
        found = _FD.match(f"{result}{after}")
        assert found is not None
        fd, path, number = int(found[1]), _text(found[2]), arguments.rpartition('"')[2]
    elif name in {"rename", "renameat", "renameat2", "link", "linkat"}:
        path, other = (_whole(name, arguments, text.decode()) for text in strings) if len(strings) == 2 else ("", "")
    elif name in {"unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "truncate", "symlink", "symlinkat"}:
        path = _whole(name, arguments, strings[-1].decode()) if strings else ""
        number = arguments.rpartition(", ")[2]
    elif name == "mmap":
        parts = arguments.split(", ")
        found = _FD.match(parts[4]) if len(parts) > 4 else None
        path, number = (_text(found[2]) if found is not None else ""), arguments
    elif fd_text is not None and fd_text[1] != "AT_FDCWD":
        fd, path = int(fd_text[1]), _text(fd_text[2])
        data = b"".join(strings)[: int(result)] if name.startswith(("write", "pwrite")) and not began else b""
        number = result if name == "lseek" else arguments.rpartition(", ")[2]
    return Call(time_s, name, began, path, other, data, number, fd, pid)


def _whole(name: str, arguments: str, path: str) -> str:
    """A path from the root of the file system; without the folder of its call, a relative one is unknown."""
    if path.startswith("/"):
        return path
    folder = _FD.match(arguments)
    if folder is None or folder[2] is None:
        raise TraceError(f"{name} of a relative path: {path}")
    return f"{_text(folder[2])}/{path}"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _text(text: str | None) -> str:
    return _bytes(text or "").decode("utf-8", "replace")
