"""Loaded by every Python of an emulated machine: makes two answers true that user-mode emulation gives wrongly.

Child processes are started through the launcher, and ``/proc/self/status`` gives the memory of the program without the
emulator's.
"""

from __future__ import annotations

import os
import pathlib
import sys

sys.executable = os.environ["ANYECG_ARM_PYTHON"]

_read_text = pathlib.Path.read_text
_peak_kib = 0


def _honest_read_text(self: pathlib.Path, *arguments: object, **options: object) -> str:
    text = _read_text(self, *arguments, **options)
    return _without_emulator(text) if str(self) == "/proc/self/status" else text


def _without_emulator(status: str) -> str:
    global _peak_kib  # noqa: PLW0603
    from guest_memory import resident_kib

    now_kib = resident_kib()
    _peak_kib = max(_peak_kib, now_kib)
    lines = []
    for line in status.splitlines():
        name = line.partition(":")[0]
        kib = {"VmRSS": now_kib, "VmHWM": _peak_kib}.get(name)
        lines.append(line if kib is None else f"{name}:\t{kib:8d} kB")
    return "\n".join(lines) + "\n"


pathlib.Path.read_text = _honest_read_text
