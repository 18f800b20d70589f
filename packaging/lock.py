"""Writes constraints/locked.txt: one version of every dependency for Python 3.11 to 3.14, x86_64 and aarch64.

    python3 packaging/lock.py          # or: make lock

Needs the package index and nothing else: `uv`, which resolves for all Pythons and machines at once, goes into a
temporary environment. 32-bit ARM has lines of its own, because tflite-runtime, its interpreter, needs numpy 1.
"""

from __future__ import annotations

import subprocess
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKED = ROOT / "constraints" / "locked.txt"
UV = "uv==0.13.9"

EXTRAS_64 = ("foundation", "replay", "convert", "radio", "cluster", "micro", "bench", "sign", "test", "lint", "mutants")
"""All extras but ``tflite``: its numpy 1 rules out the others."""
MACHINES_64 = [
    f"sys_platform == 'linux' and platform_machine == '{machine}' and python_full_version < '3.15'"
    for machine in ("x86_64", "aarch64")
]
EXTRAS_32 = ("tflite", "sign")
MACHINES_32 = ["sys_platform == 'linux' and platform_machine == 'armv7l' and python_full_version < '3.12'"]

# Not installed by name: `pip install -e .` asks hatchling for it.
BUILD_ONLY = ["editables"]
# uv does not read the upper end of Requires-Python; these releases end before Python 3.11.
CAPS = ["backports.strenum<1.3"]

HEADER = """\
# One version of every dependency, used by `make demo`, `make test`, `make lint` and .ci/run.
# Written by `make lock` (packaging/lock.py); do not edit. See constraints/README.md.
"""


def resolve(uv: Path, folder: Path, extras: tuple[str, ...], machines: list[str]) -> str:
    """Returns the lines of one resolution, markers included.

    Args:
        uv: The program.
        folder: An empty folder for its input.
        extras: Of this project.
        machines: Environment markers; uv reads them only from a pyproject.toml in the working folder.
    """
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "lock"\nversion = "0"\nrequires-python = ">=3.11"\n[tool.uv]\nenvironments = {machines!r}\n'
    )
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    (folder / "build.in").write_text("\n".join([*build, *BUILD_ONLY]))
    (folder / "caps.txt").write_text("\n".join(CAPS))
    command = [uv, "pip", "compile", "--universal", "--python-version=3.11", "--fork-strategy=fewest"]
    command += ["--quiet", "--no-annotate", "--no-header", "--constraints=caps.txt"]
    command += [f"--extra={extra}" for extra in extras]
    command += [ROOT / "pyproject.toml", "build.in"]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Resolves both sets and writes the file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        bin_dir = folder / "venv" / "bin"
        subprocess.run([bin_dir / "python", "-m", "pip", "install", "--quiet", UV], check=True)
        wide = resolve(bin_dir / "uv", folder / "64", EXTRAS_64, MACHINES_64)
        narrow = resolve(bin_dir / "uv", folder / "32", EXTRAS_32, MACHINES_32)
    LOCKED.parent.mkdir(exist_ok=True)
    LOCKED.write_text(f"{HEADER}{wide}\n# 32-bit ARM\n{narrow}")
    lines = len(wide.splitlines()), len(narrow.splitlines())
    print(f"{LOCKED.relative_to(ROOT)}: {lines[0]} packages, {lines[1]} for 32-bit ARM")


if __name__ == "__main__":
    main()
