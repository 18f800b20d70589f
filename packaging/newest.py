"""Tests this project with the newest versions of its dependencies instead of the locked ones.

    python3 packaging/newest.py          # or: make newest
    python3 packaging/newest.py tests    # the whole fast tier

Installs them in .venv-newest, prints every version that differs from constraints/locked.txt, runs the tests of the
device tier and of the front ends, and lists the tests that failed. Exit status 0: all passed. 1: something broke; see
constraints/README.md. Needs the package index.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKED = ROOT / "constraints" / "locked.txt"
VENV = ROOT / ".venv-newest"
PYTHON = VENV / "bin" / "python"
TESTS = ("tests/unit/edge", "tests/unit/firmware_bridge", "tests/golden", "tests/property")
INSTALL_LIMIT_S = 600
TEST_LIMIT_S = 900
TAIL_LINES = 60
"""Lines of pytest's output that a failure prints."""


def locked_versions(text: str) -> dict[str, str]:
    """Returns the locked version of each package that this Python and machine use, by normalized name."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    found = (Requirement(line) for line in lines)
    return {
        canonicalize_name(r.name): str(r.specifier).removeprefix("==")
        for r in found
        if r.marker is None or r.marker.evaluate()
    }


def installed_versions() -> dict[str, str]:
    """Returns the version of each package in the running environment, by normalized name."""
    from importlib.metadata import distributions

    from packaging.utils import canonicalize_name

    return {canonicalize_name(d.metadata["Name"]): d.version for d in distributions()}


def differences(locked: dict[str, str], installed: dict[str, str]) -> list[tuple[str, str, str]]:
    """Returns name, locked and installed version of each installed package whose two versions differ.

    The locked version of a package that is not locked is ``-``. Packages that are not installed are left out: they
    belong to extras that this environment does not have.
    """
    names = sorted(set(installed) - {"anyecg-edge", "pip", "setuptools"})
    rows = [(name, locked.get(name, "-"), installed[name]) for name in names]
    return [row for row in rows if row[1] != row[2]]


def install() -> bool:
    """Makes the environment anew; returns whether pip succeeded."""
    venv.create(VENV, clear=True, with_pip=True)
    env = {name: value for name, value in os.environ.items() if name not in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")}
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", ".[test]"]
    try:
        return subprocess.run(command, cwd=ROOT, env=env, timeout=INSTALL_LIMIT_S, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"pip did not finish within {INSTALL_LIMIT_S} s")
        return False


def print_differences() -> bool:
    """Prints the table of versions; returns whether any differs."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import newest; newest.dump_differences()"
    dumped = subprocess.run([PYTHON, "-c", code], check=True, stdout=subprocess.PIPE, text=True, cwd=VENV).stdout
    rows = json.loads(dumped)
    print(f"{len(rows)} packages differ from constraints/locked.txt")
    for name, locked, installed in [("package", "locked", "newest"), *rows] if rows else []:
        print(f"  {name:<28} {locked:<20} {installed}")
    return bool(rows)


def dump_differences() -> None:
    """Prints the rows of :func:`differences` as JSON, for the environment that runs this."""
    print(json.dumps(differences(locked_versions(LOCKED.read_text()), installed_versions())))


def run_tests(tests: list[str]) -> bool:
    """Runs pytest, prints what failed, and returns whether everything passed.

    Args:
        tests: Files or folders, relative to the root.
    """
    command = [PYTHON, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", *tests]
    log = VENV / "pytest.log"
    started = time.monotonic()
    with log.open("w") as out:
        try:
            status = subprocess.run(
                command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, timeout=TEST_LIMIT_S, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            status = -1
            print(f"the tests did not finish within {TEST_LIMIT_S} s")
    lines = log.read_text(errors="replace").splitlines()
    # Indented: a reader of CI's output must not take these lines for those of the locked tests.
    for line in lines[-TAIL_LINES:] if status else lines[-1:]:
        print(f"  | {line}")
    print(f"tests took {time.monotonic() - started:.0f} s; full output: {log.relative_to(ROOT)}")
    return status == 0


def main() -> int:
    """Installs, compares, tests; returns the exit status."""
    if not install():
        print("NEWEST VERSIONS: NOT INSTALLED. pip found no set of newest versions that fits; its messages are above.")
        return 1
    differ = print_differences()
    if run_tests(sys.argv[1:] or list(TESTS)):
        print("NEWEST VERSIONS: all tests passed.")
        return 0
    cause = (
        "One of the versions above broke them, or they fail with the locked versions too: run `make test` to tell."
        if differ
        else "No version differs from the locked ones: the fault is in this project, or in this machine."
    )
    print(f"NEWEST VERSIONS: TESTS FAILED. {cause} What to do: constraints/README.md.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
