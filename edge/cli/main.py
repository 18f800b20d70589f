"""The ``anyecg`` command: runs the subcommand and turns every error into one line and a documented exit code.

Subcommands are loaded only when they are called: the table names the host side (``convert``, ``calibration``) as text,
so the device side never imports it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

from edge.cli.extras import needs_extra
from edge.process.interpreter import keep_interpreter_light
from edge.process.no_openssl import load_hashlib
from edge.process.no_tls import load_asyncio
from edge.process.streams import discard_output, is_medium_fault, prepare_streams
from edge.records import NOTICE
from firmware_bridge.errors import EXIT_INTERNAL, EXIT_OK, EXIT_SIGINT, AnyEcgError
from firmware_bridge.posix import need_posix
from firmware_bridge.suggest import did_you_mean

__all__ = ["COMMANDS", "main"]


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        target: ``module:function``, called with the remaining arguments.
        extra: The extra that it needs, for the message when a library is missing; empty on the device.
        summary: One line for the overview.
    """

    target: str
    extra: str
    summary: str


COMMANDS: dict[str, Command] = {
    "run": Command("edge.cli.run:main", "", "read a patch or recording and emit lab estimates"),
    "demo": Command("edge.cli.demo:main", "", "run the whole chain on a virtual patch"),
    "bundle": Command("edge.cli.bundle:main", "", "show, verify, compare, pack, sign, install or make a bundle"),
    "estimates": Command("edge.store.command:main", "", "write the estimates of a session or file as JSON Lines"),
    "sessions": Command("edge.sessions.command:main", "", "list sessions: when, device, length, estimates, loss, size"),
    "report": Command("edge.sessions.report:main", "", "write a session as one page, with the ECG at any moment"),
    "baseline": Command("edge.cli.baseline:main", "", "write a person's quiet hour, to show changes against it"),
    "mark": Command("edge.cli.mark:main", "", "note the posture of the wearer in a session"),
    "explain": Command("edge.cli.explain:main", "", "show what the estimates of a recording rest on"),
    "export": Command("edge.sessions.export:main", "", "write a session as CSV, WFDB, EDF, Parquet or FHIR"),
    "collect": Command(
        "edge.collect.command:main", "collect", "store the estimates of many patches, from a broker, in a database"
    ),
    "bench": Command("edge.cli.bench:main", "", "measure the budgets on this machine; exit 1 if one is exceeded"),
    "doctor": Command("edge.cli.doctor:main", "", "check this machine and show how to fix problems"),
    "devices": Command("edge.cli.devices:main", "", "list the supported patches, with the limits of each"),
    "scan": Command("edge.cli.scan:main", "", "list patches on Bluetooth and serial ports, and the URL of each"),
    "service": Command("edge.cli.service:main", "", "install, show or remove the systemd service of a patch"),
    "completion": Command("edge.cli.completion:main", "", "write the completion script of bash, zsh or fish"),
    "version": Command("edge.cli.version:main", "", "show the version of anyecg-edge"),
    "virtual-patch": Command(
        "firmware_bridge.virtual.command:run", "", "simulate a patch on a pseudo-terminal, with faults on demand"
    ),
    "firmware": Command(
        "firmware_bridge.virtual.c_library:run", "", "copy the C library for your own patch into a folder"
    ),
    "simulate": Command("convert.cli.simulate:main", "convert", "write a cohort of simulated patients (MC-MED layout)"),
    "prepare": Command("convert.cli.prepare:main", "convert", "cut and label ten-second segments of a data set"),
    "finetune": Command("convert.cli.finetune:main", "convert", "train a teacher on a prepared data set"),
    "convert": Command("convert.cli.convert:main", "convert", "turn a checkpoint into a bundle and compare the two"),
    "calibrate": Command(
        "calibration.cli.calibrate:main", "convert", "fit a device, a bundle's probabilities, or a person's values"
    ),
    "train-demo": Command(
        "convert.cli.train_demo:main", "convert", "train the demonstration bundle on simulated patients"
    ),
    "validate": Command(
        "calibration.cli.validate:main", "convert", "judge a bundle on labelled recordings; exit 1 if the gate fails"
    ),
    "evaluate": Command(
        "calibration.cli.evaluate:main", "convert", "evaluate a teacher on prepared segments, head by head"
    ),
    "lint": Command("convert.cli.lint:main", "convert", "show which targets a model does not fit, and why"),
    "micro-package": Command("convert.cli.micro_package:main", "convert", "write a bundle as C for a microcontroller"),
}

ON_DEVICE = ("run", "demo")
"""Commands that run on a device, under its memory budget."""

RESUMED = (("prepare",), ("finetune",), ("convert", "micro"), ("train-demo",), ("validate",), ("evaluate",))
"""Commands that keep the parts that are complete and resume when they are started again."""

NEED_POSIX = (*ON_DEVICE, "bench", "doctor", "scan", "service", "virtual-patch")
"""Commands that the kit does not support on Windows."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; by default those of the process.

    Returns:
        The exit code; see ``docs/exit-codes.md``.
    """
    prepare_streams()
    args = list(sys.argv[1:] if argv is None else argv)
    resumed = any(tuple(args[: len(names)]) == names for names in RESUMED)
    try:
        code = _guarded(lambda: _dispatch(args), "; the same command resumes" if resumed else "")
    except SystemExit:  # argparse has printed a help
        if (failed := _guarded(_flush)) != EXIT_OK:
            return failed
        raise
    # What the streams still hold is part of the result: a full disk shows only here.
    return code or _guarded(_flush)


def _guarded(step: Callable[[], int], interrupted: str = "") -> int:
    """Call a step and turn every error into one line and an exit code; the line of Ctrl-C ends with ``interrupted``."""
    try:
        return step()
    except AnyEcgError as e:
        _complain(f"anyecg: {_one_line(str(e))}")
        return e.exit_code
    except KeyboardInterrupt:
        _complain(f"anyecg: interrupted{interrupted}")
        return EXIT_SIGINT
    except BrokenPipeError:
        # The reader of the output has closed it.
        discard_output()
        return EXIT_OK
    except Exception as e:  # noqa: BLE001  # no traceback may reach a user
        if isinstance(e, OSError) and is_medium_fault(e):
            from edge.process.files import output_error

            discard_output()
            failure = output_error(e.filename or "the output", e)
            _complain(f"anyecg: {_one_line(str(failure))}")
            return failure.exit_code
        _complain(f"anyecg: internal error ({type(e).__name__}); please report it with {_crash_report()}")
        return EXIT_INTERNAL


def _flush() -> int:
    sys.stdout.flush()
    return EXIT_OK


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in {"-h", "--help", "help"}:
        sys.stdout.write(_overview())
        return EXIT_OK
    if args[0] in {"-V", "--version"}:
        args = ["version"]
    command = COMMANDS.get(args[0])
    if command is None:
        hint = f"{did_you_mean(args[0], COMMANDS)}one of: {', '.join(COMMANDS)}"
        _complain(_one_line(f"anyecg: unknown command '{args[0]}' ({hint})"))
        return 2
    if args[0] in NEED_POSIX:
        need_posix(f"'anyecg {args[0]}'")
    if args[0] in ON_DEVICE and {"-h", "--help"}.isdisjoint(args):
        load_asyncio()
        load_hashlib()
        keep_interpreter_light()
    module, _, function = command.target.partition(":")
    with needs_extra(f"'anyecg {args[0]}'", command.extra):
        run = cast("Callable[[list[str]], int | None]", getattr(importlib.import_module(module), function))
        return run(args[1:]) or EXIT_OK


def _overview() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    hint = "'anyecg COMMAND --help' shows the options of a command."
    return f"usage: anyecg COMMAND [options]\n\n{lines}\n\n{hint}\n{NOTICE}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _complain(line: str) -> None:
    with suppress(OSError, ValueError):  # the exit code still reports the error
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def _crash_report() -> str:
    import tempfile
    import traceback

    from edge.api.version import __version__

    try:
        with tempfile.NamedTemporaryFile("w", prefix="anyecg-crash-", suffix=".txt", delete=False) as f:
            f.write(f"anyecg-edge {__version__}, Python {sys.version}\n{traceback.format_exc()}")
            return str(Path(f.name))
    except OSError:
        return "the command line (the crash report could not be written)"
