"""Limits of conversions: ``convert/data/gates.toml``, and files that override it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from firmware_bridge.errors import InputError
from firmware_bridge.reading import parse_toml, read_limited

MAX_BYTES = 1 << 20
"""Largest file of limits, bytes."""
GATES = Path(__file__).parents[1] / "data" / "gates.toml"


@cache
def default_limits() -> Mapping[str, Any]:
    """Return the limits in ``convert/data/gates.toml``."""
    return load_limits(GATES)


def load_limits(path: Path) -> Mapping[str, Any]:
    """Read limits from a TOML file with the tables of ``convert/data/gates.toml``, which gives the omitted ones.

    Raises:
        InputError: The file cannot be read, or names an unknown limit.
    """
    try:
        found = parse_toml(read_limited(path, MAX_BYTES))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None
    if path == GATES:
        return found
    merged = {table: dict(values) for table, values in default_limits().items()}
    for table, values in found.items():
        for key, value in values.items() if isinstance(values, dict) else ():
            if key not in merged.get(table, {}) or not isinstance(value, type(merged[table][key]) | int | float):
                raise InputError(f"{path}: {table}.{key} is not a limit", f"use the limits of {GATES.name}")
            merged[table][key] = value
    return merged
