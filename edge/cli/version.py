"""``anyecg version``."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence

from edge.api.version import __version__
from edge.cli.parser import Parser, add_json, write_json
from firmware_bridge.errors import EXIT_OK


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg version --help``."""
    p = Parser("anyecg version", "Show the version of anyecg-edge.")
    add_json(p)
    args = p.parse_args(argv)
    if args.json:
        write_json({"version": __version__, "python": platform.python_version(), "system": platform.platform()})
    else:
        sys.stdout.write(f"anyecg-edge {__version__}\n")
    return EXIT_OK
