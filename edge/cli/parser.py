"""The parser of every subcommand: an error is one line, and the help ends with the research notice."""

from __future__ import annotations

from edge.records import NOTICE
from firmware_bridge.cliargs import OneLineParser


class Parser(OneLineParser):
    """An argument parser for one subcommand.

    Args:
        prog: The command as the user types it, such as ``anyecg run``.
        description: What the command does, one sentence.
    """

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog, description, NOTICE)
