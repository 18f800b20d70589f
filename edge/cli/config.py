"""Options from a TOML file with the same names as the flags. Flags on the command line win.

A parser with a default for ``patches`` also takes ``[[patch]]`` tables; they are returned as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from firmware_bridge.errors import UsageError
from firmware_bridge.reading import parse_toml, read_limited

MAX_BYTES = 1 << 20


def parse_with_config(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse arguments; ``--config FILE`` supplies the options that the command line does not set.

    Args:
        parser: The parser of the command; must define ``--config``.
        argv: The arguments of the command line.

    Raises:
        UsageError: The file cannot be read, is not TOML, names an unknown option or gives a value of the wrong type.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config")
    known, _ = finder.parse_known_args(list(argv))
    if known.config is None:
        return parser.parse_args(argv)
    given = {text.partition("=")[0] for text in argv if text.startswith("--")}
    values = _load(Path(known.config))
    patches = values.pop("patch", None) if parser.get_default("patches") is not None else None
    from_file = _arguments(parser, Path(known.config), values)
    # An option that may be repeated must not join both: the command line wins.
    args = parser.parse_args([*(text for text in from_file if text.partition("=")[0] not in given), *argv])
    if patches is not None:
        if not isinstance(patches, list) or not patches or not all(isinstance(one, dict) for one in patches):
            raise UsageError(f"{known.config}: 'patch' is not a table", "write [[patch]] above the lines of each patch")
        args.patches = patches
    return args


def _arguments(parser: argparse.ArgumentParser, path: Path, values: Mapping[str, object]) -> list[str]:
    """Return the options of the file as command-line arguments, so that the same code checks both."""
    flags: dict[str, argparse.Action] = {}
    for action in parser._actions:  # noqa: SLF001  # argparse has no public list of its options
        for flag in action.option_strings:
            if flag.startswith("--") and flag not in {"--config", "--help"}:
                flags[flag[2:].replace("-", "_")] = action
    out: list[str] = []
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in flags:
            raise UsageError(f"{path}: unknown option '{key}'", f"one of: {', '.join(sorted(flags))}")
        flag = flags[name].option_strings[-1]
        if flags[name].nargs == 0:
            if not isinstance(value, bool):
                raise UsageError(f"{path}: '{key}' must be true or false")
            out += [flag] if value else []
        elif isinstance(value, list) and flags[name].nargs == "+":
            if not value or not all(isinstance(one, str) for one in value):
                raise UsageError(f"{path}: '{key}' must be a string or a list of strings")
            out += [f"{flag}={one}" for one in value]
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UsageError(f"{path}: '{key}' must be a string or a number")
        else:
            out.append(f"{flag}={value}")
    return out


def _load(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(
                f"{path} is too large for a configuration file", "name a TOML file with options of this command"
            )
        return parse_toml(read_limited(path, MAX_BYTES))
    except OSError as e:
        raise UsageError(
            f"cannot read the configuration {path}: {e.strerror}", "check the path and its permissions"
        ) from None
    except ValueError as e:
        raise UsageError(f"{path} is not valid TOML: {e}", "correct the file") from None
