"""Access of the checks to the machine: files below a root, commands with a time limit, and the user's identity.

Checks read the machine only through a `Probe`, so that tests can show them any machine. Nothing here needs numpy or
another library, because the doctor must also run in a broken installation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from firmware_bridge.child import child_environment

COMMAND_S = 5.0
"""Time limit of a system command, s."""
TEXT_MAX = 1 << 16
"""Longest text taken from a file or a command, characters."""


class State(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as well or as long as it could."""
    WRONG = "wrong"
    """It keeps something from working."""
    SKIPPED = "not here"
    """It does not apply to this machine."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor.

    Attributes:
        check: Name of the check, one or two words.
        state: Result of the check.
        detail: The result in words, one line.
        fix: The command or step that fixes the problem; empty if there is none.
    """

    check: str
    state: State
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """The result of a command.

    Attributes:
        code: Exit code, negative for a signal; ``None`` if it could not be started or did not end in time.
        out: Standard output.
        err: Standard error.
        absent: The command does not exist.
        unstarted: Whether the system refused to start it; ``err`` has the reason.
    """

    code: int | None
    out: str = ""
    err: str = ""
    absent: bool = False
    unstarted: bool = False

    @property
    def started(self) -> bool:
        """Whether the command ran; otherwise its result says nothing about the check."""
        return not (self.absent or self.unstarted)

    @property
    def last_line(self) -> str:
        """The last line of the error output, or of the output."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1].strip() if lines else "no output"


Runner = Callable[[Sequence[str], float], Ran]


def run_command(words: Sequence[str], timeout_s: float) -> Ran:
    """Run a command without a shell, with empty input and in the C locale."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            list(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env=child_environment(LC_ALL="C", PYTHONWARNINGS="ignore"),
        )
    except FileNotFoundError:
        return Ran(None, absent=True)
    except subprocess.TimeoutExpired:
        return Ran(None, err=f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Ran(None, err=error.strerror or str(error), unstarted=True)
    return Ran(done.returncode, done.stdout[:TEXT_MAX], done.stderr[-TEXT_MAX:])


def _kernel_synced() -> bool:
    from edge.grid.wallclock import kernel_clock_synced

    return kernel_clock_synced()


def _accessible(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


@dataclass(frozen=True, slots=True)
class Probe:
    """The machine that the checks read.

    Attributes:
        root: Root of its file system.
        runner: Function that runs a command.
        python: Path of its Python interpreter.
        folder: Folder for results.
        pointer_bits: Width of a pointer, 32 or 64.
        accessible: Function that returns whether this user can read and write a path.
        free_bytes: Function that returns the free space in the file system of a path, bytes.
        kernel_synced: Function that returns whether the kernel reports a synchronised clock.
        env: Environment variables.
        groups: Group ids of this process.
        uid: User id; 0 is root.
    """

    root: Path = Path("/")
    runner: Runner = run_command
    python: str = sys.executable
    folder: Path = field(default_factory=Path.cwd)
    pointer_bits: int = 64 if sys.maxsize > 1 << 32 else 32
    accessible: Callable[[Path], bool] = _accessible
    free_bytes: Callable[[Path], int] = _free_bytes
    kernel_synced: Callable[[], bool] = _kernel_synced
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    groups: frozenset[int] = field(default_factory=lambda: frozenset((*os.getgroups(), os.getegid())))
    uid: int = field(default_factory=getattr(os, "getuid", int))

    def path(self, text: str) -> Path:
        """Return an absolute path of the machine, below the root."""
        return self.root / text.lstrip("/")

    def text(self, path: str) -> str:
        """Return the text of a file, stripped; empty if it cannot be read."""
        try:
            with self.path(path).open("r", encoding="utf-8", errors="replace") as file:
                return file.read(TEXT_MAX).strip().strip("\0")
        except OSError:
            return ""

    def names(self, path: str) -> list[str]:
        """Return the names in a folder, sorted; an empty list if it cannot be read."""
        try:
            return sorted(entry.name for entry in self.path(path).iterdir())
        except OSError:
            return []

    def run(self, *words: str, timeout_s: float = COMMAND_S) -> Ran:
        """Run a command."""
        return self.runner(words, timeout_s)

    def run_python(self, code: str, timeout_s: float) -> Ran:
        """Run a few lines of Python in a separate process, which may crash without harm."""
        return self.runner((self.python, "-c", code), timeout_s)

    def in_group(self, name: str) -> bool | None:
        """Return whether this process is in a group; ``None`` if the group does not exist."""
        number = self._group(name)[0]
        return None if number is None else number in self.groups

    def named_in_group(self, name: str, user: str) -> bool:
        """Return whether a user is listed in a group; membership takes effect at the next login."""
        return user in self._group(name)[1]

    def _group(self, name: str) -> tuple[int | None, list[str]]:
        for line in self.text("/etc/group").splitlines():
            fields = line.split(":")
            if len(fields) == 4 and fields[0] == name and fields[2].isdecimal():
                return int(fields[2]), fields[3].split(",")
        return None, []
