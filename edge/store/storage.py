"""What a run could not write or has removed: said once, and counted."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from firmware_bridge.text import printable


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Storage:
    """The account of a run's files; the `firmware_bridge.full_disk.Watch` of all its writers.

    Args:
        say: Takes a line for the user.
    """

    def __init__(self, say: Callable[[str], None] = _to_stderr) -> None:
        self.lost: Counter[str] = Counter()
        """Results that could not be kept, by kind."""
        self.full_times = 0
        """How often the disk became full."""
        self.removed_files = self.removed_bytes = 0
        """Files of old sessions that were removed to make room, and their size."""
        self._say = say
        self._waiting: set[str] = set()
        self._full_s = 0.0
        self._since_s = 0.0
        self._lost_before: Counter[str] = Counter()
        self._part_ended = False

    @property
    def full_s(self) -> float:
        """Time for which the disk was full, s."""
        return self._full_s + (time.monotonic() - self._since_s if self._waiting else 0.0)

    def full(self, what: str, path: Path) -> None:
        """Note that ``what`` now waits in memory, because ``path`` cannot grow."""
        if not self._waiting:
            self.full_times += 1
            self._since_s, self._lost_before = time.monotonic(), Counter(self.lost)
            where = printable(str(path))
            self._say(f"the disk is full: cannot write {where}; the newest results wait in memory (free some space)")
        self._waiting.add(what)

    def room(self, what: str) -> None:
        """Note that all of ``what`` that waited is written."""
        if what not in self._waiting:
            return
        self._waiting.discard(what)
        if not self._waiting:
            took_s = time.monotonic() - self._since_s
            self._full_s += took_s
            lost = self.lost - self._lost_before
            said = f"lost meanwhile: {_counts(lost)}" if lost else "nothing was lost"
            self._say(f"the disk has room again after {took_s:.0f} s; what waited is written; {said}")

    def lost_more(self, what: str, count: int) -> None:
        """Note that ``count`` more of ``what`` are lost."""
        self.lost[what] += count

    def removed(self, path: str, size: int) -> None:
        """Note that a file was removed to stay within the limits of ``--keep``."""
        if self.removed_files == 0:
            self._say(f"removing the oldest files of sessions, as --keep says; the first is {printable(path)}")
        self.removed_files += 1
        self.removed_bytes += size

    def part_ended(self) -> None:
        """Note that a part of a file was closed: the limits of ``--keep`` may be reached."""
        self._part_ended = True

    def take_part_ended(self) -> bool:
        """Return whether a part was closed since the last call."""
        ended, self._part_ended = self._part_ended, False
        return ended

    def as_dict(self) -> dict[str, object]:
        """Return the account as a JSON object."""
        return {
            "lost": dict(sorted(self.lost.items())),
            "disk_full_times": self.full_times,
            "disk_full_s": round(self.full_s, 1),
            "removed_files": self.removed_files,
            "removed_bytes": self.removed_bytes,
        }

    def text(self) -> str:
        """Return the account as lines for the summary; empty if there is nothing to say."""
        said = []
        if self.full_times:
            lost = f"lost: {_counts(self.lost)}" if self.lost else "nothing was lost"
            said.append(f"full {self.full_times} x, {self.full_s:.0f} s in all; {lost}")
        if self.removed_files:
            said.append(f"{self.removed_files} old files removed ({self.removed_bytes / 1e6:.1f} MB)")
        return "".join(f"disk        {line}\n" for line in said)


def _counts(lost: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(lost.items()))
