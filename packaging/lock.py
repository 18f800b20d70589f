"""Writes constraints/locked.txt: one version of every dependency for Python 3.11 to 3.14, x86_64 and aarch64.

Then, with the SHA-256 of every file: device.txt (the device install) and build.txt (the build backend) in the same
versions, and audit.txt (the tools of `make audit`). Last, from device.txt, the list of parts that the wheel carries
(packaging/sbom.py).

    python3 packaging/lock.py          # or: make lock

Needs the package index and nothing else: `uv`, which resolves for all Pythons and machines at once, goes into a
temporary environment. 32-bit ARM has lines of its own, because tflite-runtime, its interpreter, needs numpy 1.
"""

from __future__ import annotations

import runpy
import subprocess
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKED = ROOT / "constraints" / "locked.txt"
DEVICE = LOCKED.with_name("device.txt")
BUILD = LOCKED.with_name("build.txt")
AUDIT = LOCKED.with_name("audit.txt")
UV = "uv==0.13.9"

EXTRAS_64 = (
    "foundation",
    "replay",
    "parquet",
    "convert",
    "radio",
    "cluster",
    "micro",
    "bench",
    "sign",
    "mqtt",
    "lsl",
    "collect",
    "notebooks",
    "test",
    "docs",
    "lint",
    "mutants",
    "fuzz",
)
"""All extras but ``tflite``: its numpy 1 rules out the others."""
MACHINES_64 = [
    f"sys_platform == 'linux' and platform_machine == '{machine}' and python_full_version < '3.15'"
    for machine in ("x86_64", "aarch64")
]
EXTRAS_32 = ("tflite", "sign", "mqtt")
MACHINES_32 = ["sys_platform == 'linux' and platform_machine == 'armv7l' and python_full_version < '3.12'"]

# Not installed by name: `pip install -e .` asks hatchling for it.
BUILD_ONLY = ["editables"]
# uv does not read the upper end of Requires-Python; these releases end before Python 3.11.
CAPS = ["backports.strenum<1.3"]

HEADER = """\
# One version of every dependency, used by `make demo`, `make test`, `make lint` and .ci/run.
# Written by `make lock` (packaging/lock.py); do not edit. See constraints/README.md.
"""
HASHED_HEADER = """\
# {what}, with the SHA-256 of every file that the index offers for it: `pip install --require-hashes -r FILE`.
# Written by `make lock` (packaging/lock.py); do not edit. See constraints/README.md.
"""


def resolve(uv: Path, folder: Path, machines: list[str], inputs: list[str], options: list[str]) -> str:
    """Returns the lines of one resolution, markers included.

    Args:
        uv: The program.
        folder: A folder to make for its input.
        machines: Environment markers; uv reads them only from a pyproject.toml in the working folder.
        inputs: Files of requirements: ``build.in`` (the build backend) and the path of pyproject.toml.
        options: More options of ``uv pip compile``.
    """
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "lock"\nversion = "0"\nrequires-python = ">=3.11"\n[tool.uv]\nenvironments = {machines!r}\n'
    )
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    (folder / "build.in").write_text("\n".join([*build, *BUILD_ONLY]))
    (folder / "caps.txt").write_text("\n".join(CAPS))
    command = [str(uv), "pip", "compile", "--universal", "--python-version=3.11", "--fork-strategy=fewest"]
    command += ["--quiet", "--no-annotate", "--no-header", "--constraints=caps.txt"]
    command += [*options, *inputs]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def hashed(uv: Path, folder: Path) -> None:
    """Writes device.txt and build.txt in the versions of locked.txt, and audit.txt."""
    project, linux = str(ROOT / "pyproject.toml"), ["sys_platform == 'linux'"]
    same = ["--generate-hashes", f"--constraints={LOCKED}"]
    # 32-bit ARM: PyPI has no wheel of numpy for it; Debian's python3-numpy takes its place.
    narrow = [*same, "--extra=tflite", "--no-emit-package=numpy"]
    device = resolve(uv, folder / "device64", MACHINES_64, [project], same)
    device += "\n# 32-bit ARM\n" + resolve(uv, folder / "device32", MACHINES_32, [project], narrow)
    DEVICE.write_text(HASHED_HEADER.format(what="The device install") + device)
    build = resolve(uv, folder / "build", linux, ["build.in"], same)
    BUILD.write_text(HASHED_HEADER.format(what="The build backend") + build)
    audit = resolve(uv, folder / "audit", linux, [str(AUDIT.with_suffix(".in"))], ["--generate-hashes"])
    AUDIT.write_text(HASHED_HEADER.format(what="The tools of `make audit`") + audit)


def main() -> None:
    """Resolves all sets and writes the files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        bin_dir = folder / "venv" / "bin"
        subprocess.run([bin_dir / "python", "-m", "pip", "install", "--quiet", UV], check=True)
        inputs = [str(ROOT / "pyproject.toml"), "build.in"]
        uv = bin_dir / "uv"
        wide = resolve(uv, folder / "64", MACHINES_64, inputs, [f"--extra={extra}" for extra in EXTRAS_64])
        narrow = resolve(uv, folder / "32", MACHINES_32, inputs, [f"--extra={extra}" for extra in EXTRAS_32])
        LOCKED.parent.mkdir(exist_ok=True)
        LOCKED.write_text(f"{HEADER}{wide}\n# 32-bit ARM\n{narrow}")
        hashed(uv, folder)
    sbom = runpy.run_path(str(ROOT / "packaging" / "sbom.py"))
    sbom["SBOM"].write_text(sbom["text"]())
    lines = len(wide.splitlines()), len(narrow.splitlines())
    print(f"{LOCKED.relative_to(ROOT)}: {lines[0]} packages, {lines[1]} for 32-bit ARM")


if __name__ == "__main__":
    main()
