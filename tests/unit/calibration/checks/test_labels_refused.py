"""Labelled data that could not be trusted are refused before a recording is processed, with their lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.checks.duplicates import digest_of
from calibration.checks.labels import check_labelled
from calibration.checks.plausible import plausible_range, refuse_other_unit
from calibration.validate.labelled import heads_of, open_labelled
from convert.datasets.heads import TeacherHead
from convert.datasets.pairs import find_recordings
from convert.datasets.wfdb16 import write_record
from convert.simulate.patient import simulate_patient
from convert.simulate.write import CohortPlan, write_cohort
from edge.bundle.reader import load_bundle
from firmware_bridge.errors import InputError

ECGS = [simulate_patient(3, i, 14.0, noise=True).ecg_mv for i in range(4)]
HEADS = heads_of(load_bundle("demo"))


def folder(path: Path, rows: list[str], head: str = "record,patient,potassium_high,potassium", n: int = 4) -> Path:
    from datetime import UTC, datetime

    for i, ecg in enumerate(ECGS[:n]):
        write_record(path, f"r{i}", "II", ecg, 500.0, 1000.0, datetime(2150, 1, 1, tzinfo=UTC))
    (path / "labels.csv").write_text("\n".join([head, *rows]) + "\n")
    return path


def check(path: Path) -> list[str]:
    return check_labelled(open_labelled(path, "all"), HEADS)


GOOD = ["r0,p0,1,6.1", "r1,p1,0,4.0", "r2,p2,0,", "r3,p3,,4.4"]


def test_good_labels_pass_and_equal_rows_do_not_contradict(tmp_path):
    assert check(folder(tmp_path, [*GOOD, "r0,p0,1,6.1", "r2,p2,,3.9"])) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([*GOOD, "r0,p0,0,6.1"], r"lines 2 and 6 contradict each other: potassium_high of 'r0' is 1 and 0"),
        ([*GOOD, "r1,p1,0,4.1"], r"lines 3 and 6 contradict each other: potassium of 'r1' is 4 and 4.1"),
        ([*GOOD, "r0,q0,1,6.1"], r"lines 2 and 6 give the recording 'r0' to two patients, 'p0' and 'q0'"),
        ([*GOOD[:3], "r3,P0,,4.4"], r"lines 2 and 5 write a patient in two ways, 'p0' and 'P0'"),
        ([*GOOD[:3], "r3.hea,p3,,4.4"], r"names no patient for recording 'r3' \(write r3, not r3.hea\)"),
    ],
)
def test_rows_that_disagree_are_refused_with_their_lines(tmp_path, rows, words):
    with pytest.raises(InputError, match=words):
        check(folder(tmp_path, rows))


def test_labels_of_a_patient_contradict_each_other_too(tmp_path):
    path = folder(tmp_path, ["r0,1", "r0,0", "r1,0", "r2,0", "r3,0"], "patient,potassium_high")
    with pytest.raises(InputError, match="lines 2 and 3 contradict"):
        check(path)


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_is_named(tmp_path, mark, name):
    path = folder(
        tmp_path, [row.replace(",", mark) for row in GOOD], "record,patient,potassium_high".replace(",", mark)
    )
    with pytest.raises(InputError, match=f"separated by {name}"):
        check(path)


@pytest.mark.parametrize("gain", [1000.0, 400.0])
def test_a_copy_under_another_name_is_refused_whatever_its_gain(tmp_path, gain):
    from datetime import UTC, datetime

    path = folder(tmp_path, [*GOOD, "x,p9,0,4.2"])
    write_record(path, "x", "I", np.round(ECGS[1] * 1000) / 1000, 500.0, gain, datetime(2151, 1, 1, tzinfo=UTC))
    if gain == 1000.0:
        with pytest.raises(InputError, match=r"r1 \(line 3 of labels.csv\) and x \(line 6 of labels.csv\) of patients"):
            check(path)
    else:  # coarser steps are other samples
        assert check(path) == []


def test_equal_beginnings_are_no_copies_and_flat_recordings_are_not_compared(tmp_path):
    from datetime import UTC, datetime

    path = folder(tmp_path, [*GOOD, "x,p9,0,", "y,p10,0,", "z,p11,0,"])
    start = datetime(2151, 1, 1, tzinfo=UTC)
    longer = np.concatenate((ECGS[0][:6000], ECGS[2][6000:]))
    write_record(path, "x", "II", longer, 500.0, 1000.0, start)
    for name in "yz":
        write_record(path, name, "II", np.zeros(7000, np.float32), 500.0, 1000.0, start)
    assert check(path) == []
    found = {r.name: r for r in find_recordings(path) if r.name != "labels"}
    assert digest_of(found["x"], 10.0) == digest_of(found["r0"], 10.0)
    assert digest_of(found["x"], None) != digest_of(found["r0"], None)
    assert digest_of(found["y"], None) is None


def head(lab: str, loinc: str, unit: str) -> TeacherHead:
    return TeacherHead(lab, lab, loinc, unit, "value", None)


@pytest.mark.parametrize(
    ("lab", "loinc", "unit", "values", "words"),
    [
        ("potassium", "2823-3", "mmol/L", [15.6, 16.0, 17.2], "median is 16; plausible are 1 to 15"),
        ("calcium", "17861-6", "mg/dL", [2.2, 2.3, 2.5], "looks like mmol/l"),
        ("glucose", "2345-7", "mg/dL", [5.0, 6.1, 9.0], "looks like mmol/l"),
        ("creatinine", "2160-0", "mg/dL", [60.0, 78.0, 90.0], "looks like umol/l"),
        ("hemoglobin", "718-7", "g/dL", [130.0, 144.0], "looks like g/l"),
    ],
)
def test_values_in_another_unit_are_refused(lab, loinc, unit, values, words):
    with pytest.raises(InputError, match=words):
        refuse_other_unit(head(lab, loinc, unit), values, "labels.csv")


def test_ill_patients_are_no_other_unit_and_a_typing_error_is_a_remark():
    potassium = head("potassium", "2823-3", "mmol/L")
    assert refuse_other_unit(potassium, [2.1, 2.4, 2.6], "x") == []
    assert refuse_other_unit(head("glucose", "2345-7", "mg/dL"), [180.0, 190.0, 700.0], "x") == []
    assert refuse_other_unit(head("creatinine", "2160-0", "mg/dL"), [1.9, 2.2, 9.0], "x") == []
    assert refuse_other_unit(potassium, [], "x") == []
    remark = refuse_other_unit(potassium, [4.1, 4.2, 43.0], "x")
    assert remark == ["1 of 3 values of potassium are implausible, such as 43 mmol/L"]
    assert plausible_range(head("unknown", "0-0", "mmol/L")) == (0.0, float("inf"))


def test_a_visit_of_two_patients_or_two_parts_is_refused(tmp_path):
    write_cohort(CohortPlan(12, 4, 10.0), tmp_path / "cohort")
    visits = tmp_path / "cohort" / "visits.csv"
    text = visits.read_text()
    lines = text.splitlines()
    columns = lines[0].split(",")
    row = lines[1].split(",")
    row[columns.index("MRN")] = "99123456"
    visits.write_text(text + ",".join(row) + "\n")
    with pytest.raises(InputError, match=f"lines 2 and {len(lines) + 1} give the visit"):
        open_labelled(tmp_path / "cohort", "all")
    visits.write_text(text)
    train = tmp_path / "cohort" / "split_random_train.csv"
    test = tmp_path / "cohort" / "split_random_test.csv"
    train.write_text(train.read_text() + test.read_text())
    with pytest.raises(InputError, match="visits are in both 'test' and 'train'"):
        open_labelled(tmp_path / "cohort", "test")
