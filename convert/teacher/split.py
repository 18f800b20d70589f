"""Split of a data set for a student or a converted teacher, which respects the patients that the teacher has seen.

If the data set is the teacher's own (see ``SeenPatients.own``), its split is kept: the patients used to select its
weights calibrate, and the patients it has not seen judge. Otherwise the parts are drawn at random, but the teacher's
training patients neither calibrate nor judge, and the patients used to select its weights do not judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.datasets.pairs import Recording
from convert.teacher.patients import hash_of, tokens
from convert.teacher.place import TRAINED
from firmware_bridge.errors import InputError

OWN_SHARE, OF_THE_TEACHER = 0.25, 0.25
"""The data set is the teacher's own if the teacher was trained on at least the first share of its patients, and if it
has at least the second share of the teacher's training patients."""

GIVE_OTHERS = "add recordings of patients that the teacher has not seen"

Names = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class SeenPatients:
    """Patients of a data set that a teacher has seen.

    Attributes:
        trained: Patients used to train the teacher.
        chose: Other patients, used to select its weights or to calibrate its outputs.
        teachers: Number of the teacher's training patients, in this data set or not.
    """

    trained: frozenset[str] = frozenset()
    chose: frozenset[str] = frozenset()
    teachers: int = 0

    def __bool__(self) -> bool:
        return bool(self.trained or self.chose)

    def own(self, known: Names) -> bool:
        """Whether the data set with these patients is the one that the teacher was trained on."""
        here = len(self.trained & set(known.tolist()))
        return here >= OWN_SHARE * len(known) and here >= OF_THE_TEACHER * self.teachers


def seen_patients(recordings: Sequence[Recording], patients: Mapping[str, frozenset[bytes]]) -> SeenPatients:
    """Return the patients of recordings that a teacher has seen.

    Args:
        recordings: Recordings of the data set.
        patients: Hashes of the patients that the teacher has seen, by part; see
            :class:`convert.teacher.place.Provenance`.
    """
    if not patients:
        return SeenPatients()
    trained = patients.get(TRAINED, frozenset())
    others = frozenset[bytes]().union(*patients.values()) - trained
    of = [(r.patient, frozenset(map(hash_of, found))) for r, found in zip(recordings, tokens(recordings), strict=True)]
    first = frozenset(patient for patient, every in of if every & trained)
    return SeenPatients(first, frozenset(patient for patient, every in of if every & others) - first, len(trained))


def parts_of(known: Names, seen: SeenPatients, shares: Mapping[str, float], seed: int) -> dict[str, Names]:
    """Return the patients of ``test``, ``calibration`` and ``validation``; all others are for training.

    Args:
        known: Patients with usable signal, sorted.
        seen: Patients that the teacher has seen.
        shares: Share of the patients in each part, 0 to 1; the parts are filled in this order.
        seed: Seed of the random split.

    Raises:
        InputError: The teacher has seen too many of the patients.
    """
    order = known[np.random.default_rng([seed, 3]).permutation(len(known))]
    counts = {name: max(1, round(len(known) * share)) for name, share in shares.items()}
    if seen and seen.own(known):
        return _followed(order, seen, counts)
    found: dict[str, Names] = {}
    # A patient that the teacher has seen cannot judge it, and one of its training patients cannot calibrate it.
    barred = {"test": seen.trained | seen.chose, "calibration": seen.trained}
    for name, count in counts.items():
        taken = [p for p in order.tolist() if p not in barred.get(name, frozenset())][:count]
        if len(taken) < count:
            raise InputError(f"the part {name} needs {count} patients, but only {len(taken)} are left", GIVE_OTHERS)
        found[name] = np.array(taken, dtype=order.dtype)
        order = order[~np.isin(order, found[name])]
    return found


def _followed(order: Names, seen: SeenPatients, counts: Mapping[str, int]) -> dict[str, Names]:
    trained, chose, new = split_by_seen(order, seen)
    if not len(new):
        raise InputError("the teacher has seen every patient of the data", GIVE_OTHERS)
    if not len(chose):
        if len(new) == 1:
            raise InputError("the teacher has seen all patients of the data except one", GIVE_OTHERS)
        chose, new = np.split(new, [min(counts["calibration"], len(new) // 2)])
    # The validation part only selects the student's weights, so the teacher may have seen its patients.
    return {"test": new, "calibration": chose, "validation": trained[: counts["validation"]]}


def split_by_seen(order: Names, seen: SeenPatients) -> tuple[Names, Names, Names]:
    """Return the teacher's training patients, its selection patients, and unseen patients."""
    trained, chose = np.isin(order, sorted(seen.trained)), np.isin(order, sorted(seen.chose))
    return order[trained], order[chose], order[~(trained | chose)]
