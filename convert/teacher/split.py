"""Who of a data set trains, calibrates and judges what is made of a teacher: never one who trained the teacher itself.

Where the data have most of those who trained the teacher, who are a quarter of them or more, its own split is
followed: those who chose its weights calibrate, those whom it never met judge. Else parts are drawn, and whoever
trained it trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.datasets.pairs import Recording
from convert.teacher.patients import hash_of_each
from convert.teacher.place import TRAINED
from firmware_bridge.errors import InputError

OWN_SHARE, OF_THE_TEACHER = 0.25, 0.25
"""Share of the data's patients who trained the teacher, and share of its patients whom the data have, from which the
data are its own."""

GIVE_OTHERS = "add recordings of patients whom the teacher never met"

Names = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Met:
    """Patients of a data set whom a teacher has met.

    Attributes:
        trained: They trained it.
        chose: They chose its weights or calibrated it, and did not train it.
        teachers: How many trained it, here or elsewhere.
    """

    trained: frozenset[str] = frozenset()
    chose: frozenset[str] = frozenset()
    teachers: int = 0

    def __bool__(self) -> bool:
        return bool(self.trained or self.chose)

    def own(self, known: Names) -> bool:
        """Whether data with these patients are those that the teacher was made of."""
        here = len(self.trained & set(known.tolist()))
        return here >= OWN_SHARE * len(known) and here >= OF_THE_TEACHER * self.teachers


def met_among(recordings: Sequence[Recording], patients: Mapping[str, frozenset[bytes]]) -> Met:
    """Which patients of the recordings a teacher has met.

    Args:
        recordings: The data.
        patients: Whom the teacher has met, as :class:`convert.teacher.place.Brought` has it.
    """
    if not patients:
        return Met()
    trained = patients.get(TRAINED, frozenset())
    others = frozenset[bytes]().union(*patients.values()) - trained
    of = list(zip(recordings, hash_of_each(recordings), strict=True))
    first = frozenset(r.patient for r, found in of if found in trained)
    return Met(first, frozenset(r.patient for r, found in of if found in others) - first, len(trained))


def parts_of(known: Names, met: Met, shares: Mapping[str, float], seed: int) -> dict[str, Names]:
    """Patients of ``test``, ``calibration`` and ``validation``; everybody else trains.

    Args:
        known: Patients who may judge, sorted.
        met: Whom the teacher has met.
        shares: Of the patients, by part, in this order.
        seed: Of the draw.

    Raises:
        InputError: Too few of them are new to the teacher.
    """
    order = known[np.random.default_rng([seed, 3]).permutation(len(known))]
    counts = {name: max(1, round(len(known) * share)) for name, share in shares.items()}
    if met and met.own(known):
        return _followed(order, met, counts)
    found: dict[str, Names] = {}
    # Whoever the teacher has met cannot judge it, and whoever trained it cannot calibrate it.
    barred = {"test": met.trained | met.chose, "calibration": met.trained}
    for name, count in counts.items():
        taken = [p for p in order.tolist() if p not in barred.get(name, frozenset())][:count]
        if len(taken) < count:
            raise InputError(f"{len(taken)} patients are left for the part {name}, {count} are needed", GIVE_OTHERS)
        found[name] = np.array(taken, dtype=order.dtype)
        order = order[~np.isin(order, found[name])]
    return found


def _followed(order: Names, met: Met, counts: Mapping[str, int]) -> dict[str, Names]:
    trained, chose, new = by_meeting(order, met)
    if not len(new):
        raise InputError("every patient of the data trained the teacher or chose its weights", GIVE_OTHERS)
    if not len(chose):
        if len(new) == 1:
            raise InputError("a single patient of the data is new to the teacher", GIVE_OTHERS)
        chose, new = np.split(new, [min(counts["calibration"], len(new) // 2)])
    # The student's own choice of weights may rest on whom its teacher knows: it judges nothing.
    return {"test": new, "calibration": chose, "validation": trained[: counts["validation"]]}


def by_meeting(order: Names, met: Met) -> tuple[Names, Names, Names]:
    """Patients who trained the teacher, who chose its weights, and whom it never met, each in the given order."""
    trained, chose = np.isin(order, sorted(met.trained)), np.isin(order, sorted(met.chose))
    return order[trained], order[chose], order[~(trained | chose)]
