"""Ranges of results that are neither a typing error nor in another unit."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol

from firmware_bridge.errors import InputError

if TYPE_CHECKING:
    from convert.datasets.labcatalogue import Lab

WIDEST = 1000.0
"""Highest accepted result without an entry in ``plausible.toml``, times the upper limit of the reference range."""

AROUND = 2.0
"""Factor by which the reference range is widened at both ends. A median outside of it that would be inside in another
unit of ``units.toml`` is taken for a value in that unit."""


class Measured(Protocol):
    """What the check needs to know about an output."""

    @property
    def key(self) -> str:
        """Key of the output."""

    @property
    def loinc(self) -> str | None:
        """LOINC code of the lab."""

    @property
    def unit(self) -> str:
        """Unit of its values."""


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    text = (resources.files("calibration") / "data" / "plausible.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _lab_of(head: Measured) -> Lab | None:
    from convert.datasets.labcatalogue import catalogue  # only here: 'calibrate person' runs without host libraries

    return next((lab for lab in catalogue().values() if (lab.loinc, lab.unit) == (head.loinc, head.unit)), None)


def plausible_range(head: Measured) -> tuple[float, float]:
    """Return the lowest and the highest plausible result of an output, in its unit."""
    unit, low, high = _table().get(head.loinc or "", ("", 0.0, math.inf))
    if unit == head.unit:
        return float(low), float(high)
    lab = _lab_of(head)
    return (0.0, math.inf) if lab is None or lab.ref_high is None else (0.0, WIDEST * lab.ref_high)


def refuse_other_unit(head: Measured, values: Sequence[float], where: str) -> list[str]:
    """Refuse measured values that are in another unit.

    Args:
        head: The output with its unit.
        values: Measured values.
        where: Name of the file for messages.

    Returns:
        A remark if single values are implausible, which may be typing errors.

    Raises:
        InputError: Most values are implausible, or their median fits another unit of the lab.
    """
    if not values:
        return []
    low, high = plausible_range(head)
    wrong = [x for x in values if not low <= x <= high]
    middle = sorted(values)[len(values) // 2]
    fix = f"give the values in {head.unit}, or correct them"
    other = _other_unit(head, middle)
    if 2 * len(wrong) > len(values) or other:
        looks = f", which looks like {other}" if other else ""
        raise InputError(
            f"{where}: the values of {head.key} cannot be in {head.unit}: their median is {middle:g}{looks}; plausible "
            f"are {low:g} to {high:g} {head.unit}",
            fix,
        )
    if not wrong:
        return []
    return [f"{len(wrong)} of {len(values)} values of {head.key} are implausible, such as {wrong[0]:g} {head.unit}"]


def _other_unit(head: Measured, middle: float) -> str:
    """Return the unit in which a median would lie near the reference range, if it does not in the unit of the head."""
    lab = _lab_of(head)
    if lab is None or lab.ref_low is None or lab.ref_high is None or lab.ref_low <= 0.0:
        return ""
    from convert.datasets.units import factors_of

    low, high = lab.ref_low / AROUND, lab.ref_high * AROUND
    if low <= middle <= high:
        return ""
    return next((unit for unit, factor in factors_of(lab).items() if low <= middle * factor <= high), "")
