#!/usr/bin/env python3
"""Makes the emulated ARM computers of ``tests/arm``, once, into the cache: about 550 MB, less than two minutes.

Downloads from Debian (its own apt-get, with package lists of its own: nothing of this machine's packages changes) and
from the package index. Run again, it makes only what is missing or out of date. Run it with the Python whose library
versions the emulated machines shall have: ``.venv/bin/python tests/arm/build_roots.py``.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from machines import CACHE, CPU_ENV, MACHINES, QEMU, Machine

MIRROR = "http://deb.debian.org/debian"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
QEMU_SUITE = "trixie"
"""QEMU 7 of Debian 12 computes wrongly for some processor models and crashes on /proc/cpuinfo; 10 does neither."""
DEVICE_INSTALL = ("numpy", "ai-edge-litert", "bleak", "dbus-fast", "pyserial")
"""In the versions of the Python that runs this, so that both sides of a comparison use the same ones."""
TFLITE_RUNTIME = "2.14.0"
RECIPE = 1
"""Raise it to have everything made anew."""
USELESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian")
COMMAND_S = 900.0


class BuildError(Exception):
    """The set-up cannot be made; the message is one line for the user."""


def main() -> int:
    """Makes whatever is missing; exit code 1 with one line where that is not possible."""
    try:
        check_tools()
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            make_qemu()
            for machine in MACHINES:
                make_machine(machine)
    except (BuildError, OSError) as error:
        print(f"no emulated ARM computers: {error}", file=sys.stderr)
        return 1
    return 0


def check_tools() -> None:
    """Raises where something is missing that cannot be downloaded."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise BuildError(f"{tool} is not installed; this needs Debian or a system made from it")
    if not KEYS.is_file():
        raise BuildError(f"{KEYS} is missing: apt-get install debian-archive-keyring")
    run([sys.executable, "-m", "pip", "--version"], "pip does not run")


def make_qemu() -> None:
    """Takes the two emulators out of Debian's static ``qemu-user``."""
    recipe = {"recipe": RECIPE, "suite": QEMU_SUITE}
    if is_made(QEMU / "made.json", recipe):
        return
    began = time.monotonic()
    arch = run(["dpkg", "--print-architecture"], "dpkg does not run").strip()
    with workshop(QEMU) as work:
        debian(QEMU_SUITE, arch, ("qemu-user",), work / "all")
        for machine in MACHINES:
            shutil.copy2(work / "all" / "usr" / "bin" / machine.emulator, work / machine.emulator)
        shutil.rmtree(work / "all")
        finish(work, QEMU, recipe)
    say("qemu", "made", began)


def make_machine(machine: Machine) -> None:
    """Makes userland, libraries and launcher of one machine."""
    wheels = wanted_wheels(machine)
    recipe = {"recipe": RECIPE, "suite": machine.suite, "packages": list(machine.packages), "wheels": wheels}
    if is_made(machine.stamp, recipe):
        return
    with workshop(machine.folder) as work:
        began = time.monotonic()
        debian(machine.suite, machine.arch, machine.packages, work / "root")
        complete(work / "root")
        say(machine.name, f"Debian {machine.suite}: {', '.join(machine.packages)}", began)
        began = time.monotonic()
        install_wheels(machine, wheels, work / "site")
        say(machine.name, ", ".join(wheels), began)
        launcher = work / "python"
        launcher.write_text(
            f'#!/bin/sh\nexec "{QEMU / machine.emulator}" -L "{machine.root}" -cpu "${{{CPU_ENV}:-{machine.cpus[0]}}}" '
            f'"{machine.root}/usr/bin/python{machine.python}" "$@"\n'
        )
        launcher.chmod(0o755)
        finish(work, machine.folder, recipe)


def wanted_wheels(machine: Machine) -> list[str]:
    """Requirements of the libraries that pip installs for a machine."""
    if machine.emulator == "qemu-arm":
        return [f"tflite-runtime=={TFLITE_RUNTIME}", *pinned(("bleak", "pyserial"))]
    return pinned(DEVICE_INSTALL)


def pinned(names: Sequence[str]) -> list[str]:
    """Each name with the version that this Python has of it."""
    out = []
    for name in names:
        try:
            out.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            out.append(name)
    return out


def debian(suite: str, arch: str, packages: Sequence[str], target: Path) -> None:
    """Downloads packages with all that they depend on, and unpacks them.

    Args:
        suite: Debian release.
        arch: Debian architecture.
        packages: What is wanted.
        target: Folder to unpack into.
    """
    with tempfile.TemporaryDirectory(prefix="anyecg-apt-") as folder:
        apt = Path(folder)
        for sub in ("lists/partial", "archives/partial"):
            (apt / sub).mkdir(parents=True)
        (apt / "status").touch()  # nothing is installed there: every dependency is downloaded
        (apt / "sources").write_text(f"deb [arch={arch} signed-by={KEYS}] {MIRROR} {suite} main\n")
        options = {
            "Dir::Etc::sourcelist": apt / "sources",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": apt / "lists",
            "Dir::State::status": apt / "status",
            "Dir::Cache::archives": apt / "archives",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "APT::Architecture": arch,
            "APT::Architectures::": arch,
            "APT::Sandbox::User": "root",
            "Acquire::Retries": "3",
            "APT::Update::Error-Mode": "any",  # else a list that cannot be had is a warning
        }
        command = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
        run([*command, "update"], f"Debian's package list of {suite} for {arch} cannot be downloaded")
        what = f"{' '.join(packages)} of {suite} for {arch} cannot be downloaded"
        run([*command, "install", "--yes", "--download-only", "--no-install-recommends", *packages], what)
        target.mkdir(parents=True, exist_ok=True)
        for package in sorted((apt / "archives").glob("*.deb")):
            run(["dpkg-deb", "--extract", str(package), str(target)], f"{package.name} cannot be unpacked")
    for folder_name in USELESS:
        shutil.rmtree(target / folder_name, ignore_errors=True)


def complete(root: Path) -> None:
    """Makes the links that the packages' own scripts would make."""
    for name in ("bin", "lib", "sbin"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for library in (*root.glob("usr/lib/*/blas/libblas.so.3"), *root.glob("usr/lib/*/lapack/liblapack.so.3")):
        link = library.parent.parent / library.name
        if not link.exists():
            link.symlink_to(f"{library.parent.name}/{library.name}")


def install_wheels(machine: Machine, wheels: Sequence[str], target: Path) -> None:
    """Installs wheels of another processor and Python; without pins where a pinned version is not made for it."""
    # pip reads markers as of the Python that runs it, so what only an older Python needs is named here.
    needs_numpy = machine.emulator == "qemu-arm"  # it comes from Debian there
    options = ["--quiet", "--no-compile", "--only-binary=:all:", "--implementation=cp", "--no-warn-conflicts"]
    options += [f"--python-version={machine.python}", *(f"--platform={name}" for name in machine.platforms)]
    options += ["--no-deps"] if needs_numpy else []
    command = [sys.executable, "-m", "pip", "install", *options, f"--target={target}", "typing-extensions"]
    try:
        run([*command, *wheels], "")
    except BuildError:
        loose = [wheel if wheel.startswith("tflite") else re.split("==", wheel)[0] for wheel in wheels]
        shutil.rmtree(target, ignore_errors=True)
        run([*command, *loose], f"the libraries of {machine.name} cannot be installed")
        print(f"{machine.name}: not in the versions of {sys.executable}, but the newest", flush=True)


class workshop:  # noqa: N801  # used like a function
    """A folder beside the one to make; removed if anything fails."""

    def __init__(self, target: Path) -> None:
        self._folder = target.with_name(f"{target.name}.part")

    def __enter__(self) -> Path:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        return self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def finish(work: Path, target: Path, recipe: object) -> None:
    """Puts a made folder in its place."""
    (work / "made.json").write_text(json.dumps(recipe, indent=1) + "\n")
    shutil.rmtree(target, ignore_errors=True)
    work.rename(target)


def is_made(stamp: Path, recipe: object) -> bool:
    """Whether a folder was made in this way."""
    try:
        return bool(json.loads(stamp.read_text()) == recipe)
    except (OSError, ValueError):
        return False


def run(command: Sequence[str], what: str) -> str:
    """Runs a command; its output.

    Raises:
        BuildError: It failed; ``what`` and the last line that it wrote.
    """
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{what}: {error}") from None
    if done.returncode:
        lines = [*done.stdout.splitlines(), *done.stderr.splitlines()] or ["no reason given"]
        raise BuildError(f"{what}: {lines[-1]}")
    return done.stdout


def say(name: str, what: str, began: float) -> None:
    """Reports progress."""
    print(f"{name}: {what} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
