"""The parser of every subcommand, and its answer as JSON: an error is one line, the help ends with the notice."""

from __future__ import annotations

import json
import math
import sys
from argparse import ArgumentParser
from collections.abc import Mapping

from edge.records import NOTICE
from firmware_bridge.cliargs import OneLineParser

JSON_HELP = "write JSON to standard output instead of text"


class Parser(OneLineParser):
    """An argument parser for one subcommand.

    Args:
        prog: The command as the user types it, such as ``anyecg run``.
        description: What the command does, one sentence.
    """

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog, description, NOTICE)


def add_json(parser: ArgumentParser) -> None:
    """Add ``--json``, which every command that prints a table has."""
    parser.add_argument("--json", action="store_true", help=JSON_HELP)


def write_json(found: object) -> None:
    """Write the answer of a command to standard output: one object or list; ``null`` for a number that is none.

    Args:
        found: The answer: mappings, lists, tuples, texts, numbers, booleans and ``None``.
    """
    sys.stdout.write(json.dumps(_plain(found), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _plain(found: object) -> object:
    if isinstance(found, Mapping):
        return {str(key): _plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found
