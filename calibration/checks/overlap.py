"""Refuses to judge a network on patients that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping

from convert.teacher.patients import Aliases, listed, names_training
from firmware_bridge.errors import InputError


def known_patients(name: str, parts: Mapping[str, frozenset[bytes]] | None, ours: Aliases) -> list[str]:
    """Check the judged patients against those that a network was made from.

    Args:
        name: Name of the bundle or teacher.
        parts: Its list of patients by part, see :mod:`convert.teacher.patients`; ``None`` without a list.
        ours: The judged patients.

    Returns:
        Remarks for the report, one sentence each.

    Raises:
        InputError: It was trained or calibrated on some of the judged patients.
    """
    if parts is None:
        return [f"{name} does not list its patients, so overlap with them could not be checked"]
    for part, theirs in parts.items():
        both = len(listed(ours, theirs))
        if both and part != "test":
            raise InputError(
                f"{both} of {len(ours)} patients are in the part '{part}' of the patients of {name}",
                "judge it on held-out patients",
            )
    again = len(listed(ours, parts.get("test", frozenset())))
    said = [f"{again} of {len(ours)} patients were already test patients when {name} was made"] if again else []
    if not names_training(parts):
        said.append(f"{name} does not list its training patients, so overlap with them could not be checked")
    return said
