"""What the doctor looks through: files below a root, commands with a time limit, and who is asking.

Checks see the machine through a `Probe` alone, so that tests can show them any machine. Nothing here needs numpy or any
other library: a broken installation is what the doctor is for.
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

COMMAND_S = 5.0
"""How long a command of the system may take."""
TEXT_MAX = 1 << 16
"""Characters that are taken from a file or a command."""


class State(StrEnum):
    """What came of a check."""

    OK = "ok"
    WARNING = "warning"
    """Works, but not as well or as long as it could."""
    WRONG = "wrong"
    """Keeps something from working."""
    SKIPPED = "not here"
    """Does not apply to this machine."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor.

    Attributes:
        check: What was looked at, one or two words.
        state: What came of it.
        detail: One line.
        fix: The command or the step that mends it; empty where nothing is to be mended.
    """

    check: str
    state: State
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that was tried.

    Attributes:
        code: Exit code, negative for a signal; ``None`` where it could not be started or did not end in time.
        out: Standard output.
        err: Standard error.
        absent: There is no such command.
        unstarted: The system refused to start it; ``err`` has the reason.
    """

    code: int | None
    out: str = ""
    err: str = ""
    absent: bool = False
    unstarted: bool = False

    @property
    def started(self) -> bool:
        """Whether it ran at all: if not, its result says nothing about what it was to check."""
        return not (self.absent or self.unstarted)

    @property
    def last_line(self) -> str:
        """The last line that it complained with, or said."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1].strip() if lines else "no output"


Runner = Callable[[Sequence[str], float], Ran]


def run_command(words: Sequence[str], timeout_s: float) -> Ran:
    """Runs a command without a shell, with nothing to read, in plain English."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            list(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env={**os.environ, "LC_ALL": "C", "PYTHONWARNINGS": "ignore"},
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
    """A machine.

    Attributes:
        root: Its file system.
        runner: Runs its commands.
        python: Its interpreter.
        folder: Where results would be written.
        pointer_bits: 32 or 64.
        accessible: Whether a path can be read and written by this user.
        free_bytes: Room in the file system of a path.
        kernel_synced: Whether the kernel calls its clock synchronised.
        env: Environment variables.
        groups: Numbers of this process's groups.
        uid: Of this user; 0 may everything.
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
    uid: int = field(default_factory=os.getuid)

    def path(self, text: str) -> Path:
        """An absolute path of the machine, below the root."""
        return self.root / text.lstrip("/")

    def text(self, path: str) -> str:
        """What a file holds, stripped; empty where it cannot be read."""
        try:
            with self.path(path).open("r", encoding="utf-8", errors="replace") as file:
                return file.read(TEXT_MAX).strip().strip("\0")
        except OSError:
            return ""

    def names(self, path: str) -> list[str]:
        """Names in a folder, sorted; none where it cannot be read."""
        try:
            return sorted(entry.name for entry in self.path(path).iterdir())
        except OSError:
            return []

    def run(self, *words: str, timeout_s: float = COMMAND_S) -> Ran:
        """Runs a command."""
        return self.runner(words, timeout_s)

    def run_python(self, code: str, timeout_s: float) -> Ran:
        """Runs a few lines of Python in a process of their own: what crashes there does no harm here."""
        return self.runner((self.python, "-c", code), timeout_s)

    def in_group(self, name: str) -> bool | None:
        """Whether this process is in a group; ``None`` where there is no such group."""
        number = self._group(name)[0]
        return None if number is None else number in self.groups

    def named_in_group(self, name: str, user: str) -> bool:
        """Whether a user is entered in a group; it holds from the next log-in on."""
        return user in self._group(name)[1]

    def _group(self, name: str) -> tuple[int | None, list[str]]:
        for line in self.text("/etc/group").splitlines():
            fields = line.split(":")
            if len(fields) == 4 and fields[0] == name and fields[2].isdecimal():
                return int(fields[2]), fields[3].split(",")
        return None, []
