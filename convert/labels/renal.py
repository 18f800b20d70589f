"""Groups of patients by the diagnosis codes of kidney disease, which changes what an ECG says of potassium."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

RenalGroup = Literal["chronic kidney disease", "acute kidney injury", "no renal code"]
"""Group of a patient. A patient with codes of both is in the first one."""

RENAL_GROUPS: tuple[RenalGroup, ...] = get_args(RenalGroup)

CODES: dict[tuple[int, str], RenalGroup] = {
    (9, "585"): "chronic kidney disease",
    (9, "584"): "acute kidney injury",
    (10, "N18"): "chronic kidney disease",
    (10, "N17"): "acute kidney injury",
}
"""Group by version of the ICD and first three characters of the code."""


def renal_group(version: int, code: str) -> RenalGroup | None:
    """Return the group of a diagnosis code, with or without its dot; ``None`` for other diagnoses."""
    return CODES.get((version, code.strip().upper().replace(".", "")[:3]))


def renal_groups(diagnoses: Iterable[tuple[int, int, str]], patients: Iterable[int]) -> dict[int, RenalGroup]:
    """Return the group of each patient.

    Args:
        diagnoses: Patient, version of the ICD and code of each diagnosis, of any visit or admission.
        patients: All patients of the data.

    Returns:
        The group of each patient; empty where no patient has a renal code, because such data do not tell patients
        without kidney disease from patients without codes.
    """
    found: dict[int, RenalGroup] = {}
    for patient, version, code in diagnoses:
        group = renal_group(version, code)
        if group is not None and found.get(patient) != RENAL_GROUPS[0]:
            found[patient] = group
    return {patient: found.get(patient, RENAL_GROUPS[2]) for patient in patients} if found else {}
