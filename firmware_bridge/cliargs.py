"""Argument parsing whose complaints are one line, as every other error's."""

from __future__ import annotations

import argparse
from typing import NoReturn

from firmware_bridge.errors import UsageError


class OneLineParser(argparse.ArgumentParser):
    """An argument parser without abbreviations that raises what it complains of."""

    def __init__(self, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raises the complaint instead of printing usage and leaving.

        Raises:
            UsageError: Always.
        """
        raise UsageError(message, f"see '{self.prog} --help'")
