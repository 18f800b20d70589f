"""Groups of patients by renal codes: ICD-9 and ICD-10, MC-MED and MIMIC-IV, and data without codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calibration.validate.labelled import open_labelled
from convert.datasets.mcmed import McMedDataset
from convert.datasets.mimic.dataset import MimicDataset
from convert.datasets.mimic.layout import place_of
from convert.labels.renal import renal_group, renal_groups
from convert.simulate.mimic import MimicPlan, write_mimic
from convert.simulate.write import CohortPlan, write_cohort
from firmware_bridge.errors import InputError

CHRONIC, ACUTE, NONE = "chronic kidney disease", "acute kidney injury", "no renal code"


@pytest.mark.parametrize(
    ("version", "code", "group"),
    [
        (9, "5853", CHRONIC), (9, "585.9", CHRONIC), (9, "585", CHRONIC), (9, "584.9", ACUTE), (9, "5849", ACUTE),
        (10, "N18.6", CHRONIC), (10, "n183 ", CHRONIC), (10, "N179", ACUTE), (10, "N19", None), (10, "I129", None),
        (9, "N183", None), (10, "5853", None), (9, "586", None), (10, "", None),
    ],
)  # fmt: skip
def test_a_code_has_the_group_of_its_first_three_characters(version: int, code: str, group: str | None) -> None:
    assert renal_group(version, code) == group


def test_chronic_disease_is_stronger_than_an_acute_injury() -> None:
    rows = [(1, 10, "N179"), (1, 9, "5859"), (2, 9, "5859"), (2, 10, "N179"), (3, 10, "N170"), (4, 10, "I10")]
    assert renal_groups(rows, [1, 2, 3, 4, 5]) == {1: CHRONIC, 2: CHRONIC, 3: ACUTE, 4: NONE, 5: NONE}
    assert renal_groups([(4, 10, "I10")], [4, 5]) == {}


def test_the_planted_codes_of_mimic_are_found(tmp_path: Path) -> None:
    write_mimic(MimicPlan(120, 5, 130), tmp_path)
    planted = json.loads((tmp_path / "PLANTED.json").read_text())["renal"]
    data = MimicDataset(place_of(tmp_path))
    found = renal_groups(data.diagnoses(), {v.mrn for v in data.visits()})
    assert {name: list(found.values()).count(name) for name in planted} == planted
    assert set(planted) == {CHRONIC, ACUTE, NONE}
    assert {version for _, version, _ in data.diagnoses()} == {9, 10}
    opened = open_labelled(tmp_path, "all")
    assert [p.renal for p in opened.persons] == [found[int(r.patient)] for r in opened.recordings]


def test_mimic_without_the_table_has_no_groups(tmp_path: Path) -> None:
    write_mimic(MimicPlan(10, 5, 12), tmp_path)
    (tmp_path / "clinical/hosp/diagnoses_icd.csv.gz").unlink()
    assert list(MimicDataset(place_of(tmp_path)).diagnoses()) == []
    assert {p.renal for p in open_labelled(tmp_path, "all").persons} == {""}


def test_codes_of_mc_med_are_those_of_visits_and_of_earlier_years(tmp_path: Path) -> None:
    write_cohort(CohortPlan(4, 3, 20.0), tmp_path / "data")
    folder = McMedDataset(tmp_path / "data").root
    assert {p.renal for p in open_labelled(tmp_path / "data", "all").persons} == {""}
    patients = sorted({v.mrn for v in McMedDataset(folder).visits()})
    (folder / "pmh.csv").write_text(
        f"MRN,Noted_date,CodeType,Code\n{patients[0]},2200-01-01,Dx9,585.4\n{patients[1]},2200-01-01,Dx10,I10\n"
    )
    header, *lines = (folder / "visits.csv").read_text().splitlines()
    columns = header.split(",")
    rows = [line.split(",") for line in lines]
    for row in rows:
        if int(row[columns.index("MRN")]) == patients[2]:
            row[columns.index("Dx_ICD10")] = "N17.9"
    (folder / "visits.csv").write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    found = renal_groups(McMedDataset(folder).diagnoses(), patients)
    assert found == {patients[0]: CHRONIC, patients[1]: NONE, patients[2]: ACUTE, patients[3]: NONE}
    (folder / "pmh.csv").write_text("MRN,CodeType,Code\nx,Dx9,585\n")
    with pytest.raises(InputError, match="line 2: MRN is 'x'"):
        list(McMedDataset(folder).diagnoses())
