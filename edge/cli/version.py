"""``anyecg version``."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from edge.cli.parser import Parser, add_json, write_json
from firmware_bridge.errors import EXIT_OK


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg version --help``."""
    p = Parser("anyecg version", "Show the version of anyecg-edge.")
    add_json(p)
    args = p.parse_args(argv)
    if args.json:
        write_json({"version": kit_version(), "python": platform.python_version(), "system": platform.platform()})
    else:
        sys.stdout.write(f"anyecg-edge {kit_version()}\n")
    return EXIT_OK


def kit_version() -> str:
    """Return the version of the installed package."""
    try:
        return version("anyecg-edge")
    except PackageNotFoundError:
        return "unknown (not installed)"
