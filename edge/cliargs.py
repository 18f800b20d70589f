"""Argument parsing whose complaints are one line, as every other error's."""

from __future__ import annotations

import argparse
from typing import NoReturn

from edge.records import NOTICE
from firmware_bridge.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser for one subcommand: no abbreviations, the research notice at the end of its help.

    Args:
        prog: As the user types it, such as ``anyecg run``.
        description: What it does, one sentence.
    """

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, epilog=NOTICE, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raises the complaint instead of printing usage and leaving.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{self.prog}: {message}", f"{self.prog} --help lists the options")
