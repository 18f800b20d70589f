"""``anyecg firmware FOLDER``: copies the C library out of the package, ready for Arduino, PlatformIO or make."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from firmware_bridge.cliargs import OneLineParser
from firmware_bridge.errors import OutputError
from firmware_bridge.virtual.c_patch import C_SIDE


def run(arguments: list[str] | None = None) -> int:
    """Run the command.

    Raises:
        OutputError: The folder exists or cannot be created.
    """
    parser = OneLineParser("anyecg firmware", "copies the C library, its examples and test vectors into a new folder")
    parser.add_argument("folder", type=Path, help="folder to create, such as ~/Arduino/libraries/AnyECG")
    out: Path = parser.parse_args(arguments).folder
    if out.exists():
        raise OutputError(f"{out} exists", "name a folder that does not exist")
    copied = False
    try:
        shutil.copytree(C_SIDE, out, ignore=shutil.ignore_patterns("build", "__pycache__"))
        copied = True
    except shutil.Error as error:
        # One entry per file; the first explains enough.
        reason = str(error.args[0][0][2]).partition("] ")[2].partition(":")[0]
        raise OutputError(f"{out} cannot be written: {reason}", "free some space or name another folder") from None
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        if not copied:  # also after Ctrl-C; this call created the folder
            shutil.rmtree(out, ignore_errors=True)
    sys.stdout.write(f"{out}: library, examples and vectors; `make -C {out} check` tests them here\n")
    return 0
