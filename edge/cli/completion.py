"""``anyecg completion``: the completion script of a shell, which is part of the package."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.resources import files

from edge.cli.parser import Parser
from firmware_bridge.errors import EXIT_OK

SHELLS = ("bash", "zsh", "fish")


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg completion --help``."""
    p = Parser("anyecg completion", "Write the completion script of a shell; docs/running.md says where to put it.")
    p.add_argument("shell", choices=SHELLS, help="the shell")
    args = p.parse_args(argv)
    sys.stdout.write((files("edge.cli") / "data" / f"anyecg.{args.shell}").read_text(encoding="utf-8"))
    return EXIT_OK
