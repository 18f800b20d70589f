"""``anyecg calibrate device|probability|fuse|rhythm|person``: fit estimates to a board, a population or a person."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from firmware_bridge.errors import EXIT_OK, UsageError

PROG = "anyecg calibrate"


class Action(NamedTuple):
    """One kind of calibration: its ``module:function`` and a line for the overview."""

    target: str
    summary: str


ACTIONS: dict[str, Action] = {
    "device": Action("calibration.cli.device:main", "a board: counts to millivolts, polarity, rate, noise, band"),
    "probability": Action("calibration.cli.probability:main", "a bundle: probabilities, thresholds, abstention"),
    "fuse": Action("calibration.cli.fuse:main", "a bundle: estimates that also read the waves of the ECG"),
    "rhythm": Action("calibration.cli.rhythm:main", "a bundle: rhythms in which outputs answer"),
    "person": Action("calibration.cli.person:main", "a person: later values, anchored at a measured result"),
}


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg calibrate --help``."""
    if not argv or argv[0] in {"-h", "--help"}:
        width = max(map(len, ACTIONS))
        lines = "\n".join(f"  {name:<{width}}  {action.summary}" for name, action in ACTIONS.items())
        sys.stdout.write(f"usage: {PROG} ACTION [options]\n\n{lines}\n\n'{PROG} ACTION --help' lists its options.\n")
        return EXIT_OK if argv else UsageError.exit_code
    if argv[0] not in ACTIONS:
        raise UsageError(f"unknown calibration {argv[0]!r}", f"use one of: {', '.join(ACTIONS)}")
    module, _, function = ACTIONS[argv[0]].target.partition(":")
    run = cast("Callable[[Sequence[str]], int]", getattr(importlib.import_module(module), function))
    return run(argv[1:])
