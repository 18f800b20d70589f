"""Which column of a table is the ECG, which one the clock, and why.

A column is known by its name. Without one, its values decide what it cannot be: an index, a counter, a clock, a
constant or a state. If two columns are left, the user must choose.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import ReadOptions, UnstatedError, choose_lead, looks_like_ecg, plain_name
from edge.sources.replay.text.cells import tokens
from edge.sources.replay.text.timebase import count_modulus
from firmware_bridge.errors import InputError

_TIME = re.compile(
    r"^(time|t|timestamp|timestamps|elapsed|zeit|seconds|millis|microseconds|device_time|uptime|datetime|date|datum|"
    r"uhrzeit|temps|tiempo|epoch|clock|utc)(?![a-z])|(^|[\s_])(time|timestamp|zeit|uhrzeit)([\s_(\[]|$)"
)
_INDEX = re.compile(
    r"^(index|idx|sample|sample_?(no|number|index|nr|#|count)?|samples|n|nr|no|row|#|unnamed: 0|nseq|seq|sequence|"
    r"counter|count|package_num|packet|frame|id|)$"
)
_ARRIVAL = frozenset({"phone", "host", "pc", "local", "system", "received", "arrival", "formatted", "recorded"})
_DEVICE = frozenset({"sensor", "device", "ecg"})

MIN_ROWS = 64
"""Fewest rows from which values tell a state or a clock from a signal."""

_STATES = 4
"""Most different values of a state, such as a digital input."""

_RARELY = 0.02
"""A column that changes in a smaller share of its rows is a state or a rate, not an ECG."""

_MAX_LISTED = 16
_MAX_NAMED = 4
_PLURAL = {
    "without numbers": "without numbers",
    "constant": "constant",
    "an index": "indexes",
    "a clock": "clocks",
    "a counter": "counters",
    "a state": "states",
}


def is_time_name(name: str) -> bool:
    """Return whether a column is named as a clock."""
    return _TIME.search(name.strip().lower()) is not None


def is_index_name(name: str) -> bool:
    """Return whether a column is named as a counter of rows or samples. Such a column has often no name at all."""
    return _INDEX.match(name.strip().lower().replace(" ", "_")) is not None


def clock_rank(name: str) -> int:
    """Return how well a clock's name suits: the clock of a sensor before that of a phone that received the samples."""
    words = set(tokens(name))
    return 2 * bool(words & _DEVICE) - 2 * bool(words & _ARRIVAL)


def not_an_ecg(values: NDArray[np.float64]) -> str:
    """Return why a column cannot be an ECG, such as ``"constant"``; empty if it can.

    Args:
        values: Shape ``(n,)``, the beginning of the column; NaN where it holds no number.
    """
    known = values[np.isfinite(values)]
    if known.size == 0:
        return "without numbers"
    if known.size < 3:
        return ""
    steps = np.diff(known)
    if not steps.any():
        return "constant"
    if known.size >= MIN_ROWS and bool(np.all(steps >= 0)):
        return "an index" if np.all(steps == 1) else "a clock"
    if known.size >= MIN_ROWS and np.unique(known).size <= _STATES:
        return "a state"
    if known.size >= MIN_ROWS and _is_counter(known, steps):
        return "a counter"
    if known.size >= MIN_ROWS and np.count_nonzero(steps) < _RARELY * steps.size:
        return "a state"
    return ""


def rises(values: NDArray[np.float64]) -> bool:
    """Return whether a column increases from row to row, as a clock does."""
    known = values[np.isfinite(values)]
    if known.size < 3 or known.size < 0.9 * values.size:
        return False
    steps = np.diff(known)
    return bool(np.all(steps > 0)) if known.size < MIN_ROWS else bool(np.all(steps >= 0) and steps.any())


def choose_column(
    names: Sequence[str],
    others: Sequence[int],
    head: NDArray[np.float64],
    millivolts: Sequence[bool],
    options: ReadOptions,
    path: Path,
    *,
    named: bool,
) -> tuple[int, str]:
    """Return the column of the ECG, and why.

    Args:
        names: Names of all columns.
        others: Columns that are neither clock nor index by name.
        head: Shape ``(n, width)``, the beginning of the table.
        millivolts: Whether each of ``others`` is a voltage.
        options: ``lead`` and ``column`` decide if they are given.
        path: For messages.
        named: Whether the table has a header.

    Raises:
        UnstatedError: The column does not exist, or two could be the ECG.
        InputError: No column can be.
    """
    if options.column is not None and options.lead is None and options.column.strip().isdecimal():
        number = int(options.column) - 1 if len(options.column) < 9 else -1
        if number not in others:
            raise UnstatedError(
                f"no column {options.column[:20]} with samples in {path}", _listed(names, others), "lead"
            )
        return number, f"column={number + 1}"
    if options.lead is not None or options.column is not None:
        at = choose_lead([names[i] for i in others], options, millivolts, str(path))
        return others[at], f"lead={options.lead}" if options.lead is not None else f"column={options.column}"
    if len(others) == 1 and (len(names) == 1 or named):
        return others[0], _only(names[others[0]], head[:, others[0]], path, named=named)
    if named:
        known = _by_name([names[i] for i in others])
        if known is not None:
            return others[known[0]], known[1]
    return _by_values(names, others, head, millivolts, path)


def _by_name(names: Sequence[str]) -> tuple[int, str] | None:
    """Return the column with the name of an ECG, and why."""
    like = [looks_like_ecg(name) for name in names]
    if any(like):
        at = choose_lead(names, ReadOptions(), like, "")
        return at, "named as an ECG" if sum(like) == 1 else f"{_order(names[at])} of {sum(like)} named as an ECG"
    words = [_says_ecg(name) for name in names]
    if any(words):
        return words.index(True), "named as an ECG" if sum(words) == 1 else f"the first of {sum(words)} named as an ECG"
    return None


def _says_ecg(name: str) -> bool:
    return any(word.startswith(("ecg", "ekg")) for word in tokens(name))


def _order(name: str) -> str:
    return "preferred" if plain_name(name) in {"ii", "mlii", "i", "mli"} else "the first"


def _by_values(
    names: Sequence[str], others: Sequence[int], head: NDArray[np.float64], millivolts: Sequence[bool], path: Path
) -> tuple[int, str]:
    why = {i: not_an_ecg(head[:, i]) for i in others}
    left = [i for i in others if not why[i]]
    volts = [i for i, volt in zip(others, millivolts, strict=True) if volt and not why[i]]
    if len(volts) == 1 < len(others) and sum(millivolts) == 1:
        return volts[0], f"a guess: the only voltage among {len(others)} columns"
    left = volts or left
    if len(left) == 1:
        excluded = {i: not_an_ecg(head[:, i]) or "a clock" for i in range(len(names)) if i not in others} | why
        return left[0], f"a guess: {_reasons(names, excluded)}"
    if not left:
        raise UnstatedError(f"no column of {path} looks like an ECG: {_reasons(names, why)}", _choose(others), "lead")
    listed = _columns(names, left)
    raise UnstatedError(f"{path} has {len(left)} columns that could be the ECG: {listed}", _choose(left), "lead")


def _reasons(names: Sequence[str], excluded: Mapping[int, str]) -> str:
    """Return why columns are no ECG, as one short text."""
    groups: dict[str, list[str]] = {}
    for at in sorted(excluded):
        if excluded[at]:
            groups.setdefault(excluded[at], []).append(names[at][:30] or f"column {at + 1}")
    parts = []
    for why, columns in groups.items():
        more = f" and {len(columns) - 3} more" if len(columns) > _MAX_NAMED else ""
        shown = ", ".join(columns[:3] if more else columns) + more
        parts.append(f"{shown} {'is' if len(columns) == 1 else 'are'} {why if len(columns) == 1 else _PLURAL[why]}")
    return "; ".join(parts)


def _only(name: str, values: NDArray[np.float64], path: Path, *, named: bool) -> str:
    """Return why the only column is taken.

    Raises:
        UnstatedError: It has no name, and counts rows or time.
    """
    why = "" if named else not_an_ecg(values)
    if why in {"an index", "a clock", "a counter"}:
        raise UnstatedError(
            f"the only column of {path} is {why}", "choose another file, or take it with column=1", "lead"
        )
    if not named or looks_like_ecg(name) or _says_ecg(name):
        return "the only column with samples"
    return "a guess: the only column besides clock and index"


def _choose(columns: Sequence[int]) -> str:
    return f"choose one with column=, such as column={columns[0] + 1}"


def _listed(names: Sequence[str], others: Sequence[int]) -> str:
    return f"it has: {_columns(names, others)}"


def _columns(names: Sequence[str], columns: Sequence[int]) -> str:
    """Return numbers and names of columns; a column without a name is its number."""
    shown = (f"{i + 1}" if names[i] == f"column {i + 1}" else f"{i + 1} ({names[i][:30]})" for i in columns)
    more = f" and {len(columns) - _MAX_LISTED} more" if len(columns) > _MAX_LISTED else ""
    return ", ".join(itertools.islice(shown, _MAX_LISTED)) + more


def _is_counter(known: NDArray[np.float64], steps: NDArray[np.float64]) -> bool:
    if count_modulus(known) is not None:
        return True
    moving = steps[steps != 0]  # of a counter that several samples share
    if np.any(known != np.rint(known)) or moving.size < 3:
        return False
    up, down = moving[moving > 0], moving[moving < 0]
    return bool(
        up.size
        and down.size <= 0.4 * moving.size
        and np.all(up == up[0])
        and (not down.size or np.all(down == down[0]))
    )


def need_column(others: Sequence[int], names: Sequence[str], path: Path) -> None:
    """Check that a table has a column besides its clock.

    Raises:
        InputError: It has none.
    """
    if not others:
        raise InputError(f"{path} has only a time column: {', '.join(names)[:80]}", "add a column with samples")
