"""Command-line parsing that reports a wrong argument in one line, like every other error."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from firmware_bridge.errors import UsageError
from firmware_bridge.suggest import did_you_mean


class OneLineParser(argparse.ArgumentParser):
    """An argument parser without abbreviations that raises `UsageError` instead of exiting."""

    def __init__(self, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise the error instead of printing the usage and exiting.

        Raises:
            UsageError: Always.
        """
        raise UsageError(message, f"{self._suggestion(message)}see '{self.prog} --help'")

    def _suggestion(self, message: str) -> str:
        """Return the option that the user probably meant by an unknown one."""
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        return did_you_mean(unknown[1], self._option_string_actions) if unknown else ""
