"""The parser of every subcommand: complaints are one line, the research notice ends the help."""

from __future__ import annotations

from edge.records import NOTICE
from firmware_bridge.cliargs import OneLineParser


class Parser(OneLineParser):
    """An argument parser for one subcommand.

    Args:
        prog: As the user types it, such as ``anyecg run``.
        description: What it does, one sentence.
    """

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog, description, NOTICE)
