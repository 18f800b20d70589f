"""Writes the completion scripts of ``anyecg completion`` with shtab, from the parsers of all commands.

python packaging/completion.py     # a test compares the scripts with what this writes
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from calibration.cli.calibrate import ACTIONS as CALIBRATE  # noqa: E402  # from this checkout
from convert.cli.convert import ACTIONS as CONVERT  # noqa: E402  # from this checkout
from edge.cli.bundle.show import FURTHER as BUNDLE  # noqa: E402  # from this checkout
from edge.cli.completion import SHELLS  # noqa: E402  # from this checkout
from edge.cli.main import COMMANDS  # noqa: E402  # from this checkout
from edge.sources import SCHEMES  # noqa: E402  # from this checkout
from firmware_bridge import devices  # noqa: E402  # from this checkout
from firmware_bridge.cliargs import OneLineParser  # noqa: E402  # from this checkout

PLACE = ROOT / "edge" / "cli" / "data"
HEAD = "# Completion of anyecg for {shell}. Written by packaging/completion.py with shtab; do not edit.\n"

ACTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "bundle": {name: (target, summary) for name, (target, _extra, summary) in BUNDLE.items()},
    "calibrate": {name: (action.target, action.summary) for name, action in CALIBRATE.items()},
    "convert": {name: (action.target, action.summary) for name, action in CONVERT.items()},
}
"""``module:function`` and summary of the actions with parsers of their own, by command."""
DISPATCHERS = ("calibrate", "convert")
"""Commands that have no parser but those of their actions."""

BASH = """
_anyecg() {
  # A URL has colons, at which bash divides words.
  local before="${COMP_LINE:0:COMP_POINT}" token prefix="" candidate
  token="${before##*[[:space:]]}"
  before="${before%"$token"}"
  if [[ ! "$before" =~ --source[[:space:]]+$ ]]; then
    _shtab_anyecg "$@"
    return
  fi
  COMPREPLY=()
  compopt -o nospace 2>/dev/null
  [[ "$COMP_WORDBREAKS" == *:* && "$token" == *:* ]] && prefix="${token%"${token##*:}"}"
  if [[ "$token" == replay:* ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r candidate; do
      [[ -z "$prefix" ]] && candidate="replay:$candidate"
      COMPREPLY+=("$candidate")
    done < <(compgen -f -- "${token#replay:}")
    return
  fi
  for candidate in @SOURCES@; do
    [[ "$candidate" == "$token"* ]] && COMPREPLY+=("${candidate#"$prefix"}")
  done
}
complete -o bashdefault -F _anyecg anyecg
"""
ZSH = """_anyecg_source() {
  if [[ "$PREFIX" == replay:* ]]; then
    compset -P 'replay:'
    _files
  else
    compadd -S '' -- @SOURCES@
  fi
}
"""


@contextmanager
def _caught(found: list[argparse.ArgumentParser]) -> Iterator[None]:
    class Caught(Exception):  # noqa: N818  # no error: it ends the command after its parser is made
        pass

    def catch(parser: argparse.ArgumentParser, *_arguments: Any, **_more: Any) -> None:
        found.append(parser)
        raise Caught

    with mock.patch.object(OneLineParser, "parse_args", catch):
        try:
            yield
        except Caught:
            return


def parser_of(target: str) -> argparse.ArgumentParser:
    """Return the parser that a command makes: every command makes it first."""
    module, _, function = target.partition(":")
    run = cast("Callable[[list[str]], object]", getattr(importlib.import_module(module), function))
    found: list[argparse.ArgumentParser] = []
    with _caught(found):
        run([])
    return found[0]


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command and action, by its words without ``anyecg``."""
    out: dict[str, argparse.ArgumentParser] = {}
    for name, command in COMMANDS.items():
        if name not in DISPATCHERS:
            out[name] = parser_of(command.target)
        for action, (target, _summary) in ACTIONS.get(name, {}).items():
            out[f"{name} {action}"] = parser_of(target)
    return out


def sources() -> list[str]:
    """Return the beginnings of source URLs, with the names of devices where they come first."""
    named = [f"ble:{one.name}" for one in devices.known() if "ble" in one.transports]
    return [*(f"{scheme}:" for scheme in SCHEMES if scheme != "ble"), *named]


def script(shell: str) -> str:
    """Return the completion script for a shell."""
    import shtab

    preamble = ZSH.replace("@SOURCES@", " ".join(sources())) if shell == "zsh" else ""
    text = str(shtab.complete(_root(), shell, root_prefix="anyecg", preamble={shell: preamble} if preamble else ""))
    lines = [line for line in text.splitlines() if "AUTOMATICALLY" not in line]
    first = [lines.pop(0) + "\n"] if lines[0].startswith("#compdef") else []
    body = "\n".join(lines) + "\n"
    if shell == "bash":
        # Bound by _anyecg, which asks the generated function.
        body = body.replace("complete -o bashdefault -F _shtab_anyecg anyecg\n", "")
        body += BASH.replace("@SOURCES@", " ".join(sources()))
    return "".join([*first, HEAD.format(shell=shell), body])


def _root() -> argparse.ArgumentParser:
    parsers = commands()
    root = argparse.ArgumentParser(prog="anyecg")
    below = root.add_subparsers(dest="command")
    for name, command in COMMANDS.items():
        made = below.add_parser(name, help=command.summary, add_help=False)
        own = parsers.get(name)
        if own is not None:
            _copy(own, made, without="action" if name in ACTIONS else "")
        if name in ACTIONS:
            deeper = made.add_subparsers(dest="what")
            plain = own._actions if own is not None else []  # noqa: SLF001  # argparse has no public list of options
            shown = [choice for one in plain if one.dest == "action" for choice in one.choices or ()]
            for action in dict.fromkeys([*shown, *ACTIONS[name]]):
                summary = ACTIONS[name][action][1] if action in ACTIONS[name] else f"{action} a {name}"
                other = parsers.get(f"{name} {action}", own)
                assert other is not None
                _copy(other, deeper.add_parser(action, help=summary, add_help=False), without="action")
    return root


def _copy(parser: argparse.ArgumentParser, to: argparse.ArgumentParser, without: str) -> None:
    import shtab

    for one in parser._actions:  # noqa: SLF001  # argparse has no public list of options
        if one.dest == without or (without and not one.option_strings and parser.prog.count(" ") == 1):
            continue
        if one.dest == "source" and one.option_strings:
            one.complete = {"zsh": "_anyecg_source", "fish": " ".join(sources())}  # type: ignore[attr-defined]  # read by shtab
        elif one.choices is None and one.nargs != 0 and _is_path(one):
            folder = "DIR" in str(one.metavar) or one.metavar in {"SESSION", "FOLDER"}
            one.complete = shtab.DIRECTORY if folder else shtab.FILE  # type: ignore[attr-defined]  # read by shtab
        to._add_action(one)  # noqa: SLF001  # copies one option, which argparse does for whole parsers only


def _is_path(one: argparse.Action) -> bool:
    marks = ("FILE", "DIR", "BUNDLE", "MODEL", "CHECKPOINT", "SESSION", "FOLDER", "TEACHER")
    return one.type is Path or any(mark in str(one.metavar) for mark in marks)


if __name__ == "__main__":
    PLACE.mkdir(exist_ok=True)
    for shell in SHELLS:
        (PLACE / f"anyecg.{shell}").write_text(script(shell), encoding="utf-8")
        sys.stdout.write(f"{PLACE.relative_to(ROOT)}/anyecg.{shell}\n")
