"""Groups of patients: which there are, what is found in them, and that a null head is rarely worse in one."""

from __future__ import annotations

import numpy as np

from calibration.validate.labelled import Person
from calibration.validate.subgroups import groups, subgroups
from edge.stats import sigmoid
from helpers.judged import LIMITS, made_up


def test_groups_by_rhythm_and_by_renal_codes() -> None:
    """The output is chance in the last third: paced, with chronic kidney disease. Both groups are clearly worse."""
    rng = np.random.default_rng(0)
    n = 360
    y = np.arange(n) % 2 == 0
    part = np.arange(n) * 3 // n
    score = rng.standard_normal(n) + np.where(part < 2, 2.5, 0.0) * y
    rhythm = np.array(["sinus", "af_or_flutter", "paced"])[part]
    names = np.array(["no renal code", "acute kidney injury", "chronic kidney disease"])[part]
    persons = tuple(Person(renal=str(name)) for name in names)
    j = made_up(sigmoid(score)[:, None], y[:, None].astype(float), persons=persons, rhythm=rhythm)
    members = {(by, name): rows for by, name, rows in groups(j)}
    assert (members["rhythm", "paced"] == (part == 2)).all()
    assert (members["renal codes", "acute kidney injury"] == (part == 1)).all()
    rows = {(r["by"], r["group"]): r for r in subgroups(j, LIMITS)["rows"]}
    assert set(rows) == {("rhythm", x) for x in rhythm} | {("renal codes", x) for x in names}
    worse = {key for key, r in rows.items() if r["clearly_worse"]}
    assert worse == {("rhythm", "paced"), ("renal codes", "chronic kidney disease")}
    assert rows["rhythm", "sinus"]["n"] == 120
