"""Command-line parsing that reports a wrong argument in one line, like every other error."""

from __future__ import annotations

import argparse
from typing import NoReturn

from firmware_bridge.errors import UsageError


class OneLineParser(argparse.ArgumentParser):
    """An argument parser without abbreviations that raises `UsageError` instead of exiting."""

    def __init__(self, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise the error instead of printing the usage and exiting.

        Raises:
            UsageError: Always.
        """
        raise UsageError(message, f"see '{self.prog} --help'")
