"""The emulated ARM computers of the tests: where each lives in the cache, and how to run its Python.

``build_roots.py`` makes them. A machine is a Debian userland in a folder, the libraries of the device install in
another folder, and a script that runs its Python in user-mode QEMU: no root, no chroot, no binfmt.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
GUEST = Path(__file__).resolve().parent / "guest"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "anyecg-edge" / "arm"
QEMU = CACHE / "qemu"
CPU_ENV = "ANYECG_ARM_CPU"


@dataclass(frozen=True, slots=True)
class Machine:
    """An emulated computer.

    Attributes:
        name: Its folder in the cache.
        suite: Debian release of the userland.
        arch: Debian's name of its architecture.
        emulator: The QEMU program that runs it.
        python: Version of Debian's Python there, such as ``3.11``.
        cpus: Processor models, as QEMU names them; the first is the default.
        packages: Debian packages of the userland.
        platforms: Wheel platforms that pip may install, newest first.
    """

    name: str
    suite: str
    arch: str
    emulator: str
    python: str
    cpus: tuple[str, ...]
    packages: tuple[str, ...]
    platforms: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Everything of this machine."""
        return CACHE / self.name

    @property
    def root(self) -> Path:
        """The Debian userland."""
        return self.folder / "root"

    @property
    def site(self) -> Path:
        """The Python libraries of the device install."""
        return self.folder / "site"

    @property
    def launcher(self) -> Path:
        """The script that stands for its Python; takes the processor model from the environment."""
        return self.folder / "python"

    @property
    def stamp(self) -> Path:
        """Written last: how the machine was made."""
        return self.folder / "made.json"

    def missing(self) -> str:
        """Why the machine cannot be used, in one line; empty where it can."""
        if self.stamp.is_file() and self.launcher.is_file() and (QEMU / self.emulator).is_file():
            return ""
        tools = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
        if tools:
            return f"no emulated {self.name}: {' and '.join(tools)} not installed, which download it from Debian"
        return f"no emulated {self.name} in {CACHE}: make arm-roots downloads it from Debian"

    def environment(self, cpu: str | None = None) -> dict[str, str]:
        """Environment variables for its Python."""
        # Bytecode has a place of its own: the userland stays as Debian made it, the repository without __pycache__.
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (REPO, GUEST, self.site))),
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "ANYECG_ARM_PYTHON": str(self.launcher),
            CPU_ENV: cpu or self.cpus[0],
            "OPENBLAS_NUM_THREADS": "1",
        }


_AARCH64 = ("manylinux_2_36_aarch64", "manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64")
_PYTHON = ("python3", "libstdc++6")
_CORTEX_A = ("cortex-a53", "cortex-a72", "cortex-a76")
"""Raspberry Pi 3 and Zero 2 W, Pi 4, Pi 5."""

AARCH64_311 = Machine("aarch64-3.11", "bookworm", "arm64", "qemu-aarch64", "3.11", _CORTEX_A, _PYTHON, _AARCH64)
AARCH64_313 = Machine("aarch64-3.13", "trixie", "arm64", "qemu-aarch64", "3.13", _CORTEX_A, _PYTHON, _AARCH64)
ARMHF_311 = Machine(
    "armhf-3.11",
    "bookworm",
    "armhf",
    "qemu-arm",
    "3.11",
    ("cortex-a7",),
    (*_PYTHON, "python3-numpy"),
    ("manylinux_2_34_armv7l", "manylinux_2_31_armv7l", "manylinux_2_17_armv7l"),
)
"""32-bit Raspberry Pi OS: Debian's numpy 1.24 and tflite-runtime, whose only 32-bit wheel is for Python 3.11."""

MACHINES = (AARCH64_311, AARCH64_313, ARMHF_311)
