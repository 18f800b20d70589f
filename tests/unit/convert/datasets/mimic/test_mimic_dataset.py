"""MIMIC-IV and its ECGs as they are downloaded: both depths, plain and compressed tables, oddities of the rows."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from convert.datasets.csvrows import lines_of
from convert.datasets.mimic.dataset import MimicDataset, part_of_subject
from convert.datasets.mimic.items import read_items
from convert.datasets.mimic.layout import header_of, is_mimic, place_of
from convert.datasets.mimic.records import Ecg, read_ecgs, visits_of
from convert.datasets.pairs import find_recordings, start_of
from convert.simulate.mimic import MimicPlan, subject_of, write_mimic
from firmware_bridge.errors import InputError, UsageError

ECG_LINES = "subject_id,study_id,file_name,ecg_time,path\n"
LAB_LINES = (
    "labevent_id,subject_id,hadm_id,specimen_id,itemid,order_provider_id,charttime,storetime,value,valuenum,valueuom,"
    "ref_range_lower,ref_range_upper,flag,priority,comments\n"
)


def small(root: Path, labs: str = "", records: str | None = None) -> Path:
    """Write a data set of one patient with two ECGs, three hours apart."""
    ecg, hosp = root / "ecg", root / "clinical" / "hosp"
    ecg.mkdir(parents=True)
    hosp.mkdir(parents=True)
    lines = records or (
        "10000032,7,7,2180-05-06 10:00:00,files/p10000032/s7/7\n10000032,8,8,2180-05-06 13:00:00,files/p10000032/s8/8\n"
    )
    (ecg / "record_list.csv").write_text(ECG_LINES + lines)
    (hosp / "patients.csv").write_text("subject_id,gender,anchor_age,anchor_year\n10000032,F,52,2178\n")
    items = ["itemid,label,fluid,category", "50971,Potassium,Blood,Chemistry", "51097,Potassium,Urine,Chemistry"]
    items.append('50822,"Potassium, Whole Blood",Blood,Blood Gas')
    (hosp / "d_labitems.csv").write_text("\n".join(items) + "\n")
    (hosp / "labevents.csv").write_text(LAB_LINES + labs)
    return root


def lab(
    item: int = 50971, subject: int = 10000032, chart: str = "2180-05-06 10:20:00", value: str = "4.1",
    number: str = "4.1", unit: str = "mEq/L",
) -> str:  # fmt: skip
    return f"1,{subject},,,{item},,{chart},2180-05-06 11:00:00,{value},{number},{unit},3.3,5.1,,STAT,\n"


def rows(root: Path) -> list:
    return list(MimicDataset(place_of(root)).labs())


def test_a_row_carries_value_range_unit_and_times(tmp_path):
    (found,) = rows(small(tmp_path, lab()))
    assert (found.csn, found.lab.key, found.value.number, found.units, found.low, found.high, found.left_out) == (
        7, "potassium", 4.1, "mEq/L", 3.3, 5.1, "",
    )  # fmt: skip
    assert found.order_time == datetime(2180, 5, 6, 10, 20, tzinfo=UTC)
    assert found.result_time == datetime(2180, 5, 6, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "number", "expected", "reason"),
    [
        ("4.1", "", (4.1, ""), ""),
        (">10.0", "10", (10.0, ">"), ""),
        (">10.0", "", (10.0, ">"), ""),
        ("HEMOLYZED", "", None, ""),
        ("___", "", None, "hidden"),
        ("", "4.4", (4.4, ""), ""),
        ("___", "4.4", (4.4, ""), ""),
        ("LESS THAN 2", "", None, ""),
    ],
)
def test_values_are_numbers_signs_text_or_hidden(tmp_path, value, number, expected, reason):
    (found,) = rows(small(tmp_path, lab(value=value, number=number)))
    assert found.left_out == reason
    assert (None if found.value is None else (found.value.number, found.value.censored)) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (lab(subject=10000033), "patient_without_ecg"),
        (lab(chart=""), "no_time"),
        (lab(chart="2180-05-07 01:00:01"), "no_ecg_near"),
        (lab(chart="2180-05-07 01:00:00"), ""),
        (lab(chart="2180-05-05 21:59:59"), "no_ecg_near"),
    ],
)
def test_rows_of_no_visit_have_a_reason(tmp_path, row, reason):
    assert [r.left_out for r in rows(small(tmp_path, row))] == [reason]


def test_items_are_taken_by_label_fluid_and_category(tmp_path):
    found = rows(small(tmp_path, lab() + lab(item=51097) + lab(item=50822) + lab(item=1)))
    assert [r.lab.key if r.lab else None for r in found] == ["potassium", None, None, None]
    assert [r.component for r in found[1:]] == [
        "Potassium (Urine, Chemistry)", "Potassium, Whole Blood (Blood, Blood Gas)",
        "an item that d_labitems does not list",
    ]  # fmt: skip


def test_every_mapped_item_is_a_lab_of_the_catalogue_once():
    import csv
    from importlib import resources

    from convert.datasets.labcatalogue import catalogue, spelling

    text = (resources.files("convert") / "data" / "mimic_items.csv").read_text(encoding="utf-8")
    table = list(csv.DictReader(text.splitlines()))
    assert {row["key"] for row in table} <= set(catalogue())
    assert all(catalogue().find(spelling(catalogue()[row["key"]])).key == row["key"] for row in table)
    assert {row["fluid"] for row in table} == {"Blood"}
    names = [(row["label"], row["category"]) for row in table]
    assert len(set(names)) == len(names)


def test_ages_come_from_the_anchor_and_ecgs_of_a_day_are_one_visit(tmp_path):
    later = "10000032,9,9,2181-05-06 13:00:00,files/p10000032/s9/9\n"
    two = (
        "10000032,7,7,2180-05-06 10:00:00,files/p10000032/s7/7\n10000032,8,8,2180-05-07 09:59:00,files/p10000032/s8/8\n"
    )
    data = MimicDataset(place_of(small(tmp_path, records=two + later)))
    assert [(v.csn, v.mrn, v.age, v.sex) for v in data.visits()] == [(7, 10000032, 54.0, "F"), (9, 10000032, 55.0, "F")]
    assert [e.study for e in data.ecgs(7)] == [7, 8]
    assert data.waveform_summary() == {7: (2, 20.0), 9: (1, 10.0)}
    at = datetime(2180, 1, 1, tzinfo=UTC)
    assert len(visits_of([Ecg(1, 1, at, "a"), Ecg(2, 2, at, "b")])) == 2


def test_a_split_is_by_patient_and_never_by_time(tmp_path):
    data = MimicDataset(place_of(small(tmp_path)))
    parts = {part: data.split(part) for part in ("train", "val", "test")}
    assert sum(map(len, parts.values())) == 1
    assert parts[part_of_subject(10000032)] == [7]
    shares = np.mean([part_of_subject(10_000_000 + i) == "train" for i in range(4000)])
    assert 0.78 < shares < 0.82
    with pytest.raises(InputError, match="dates of each patient are shifted"):
        data.split("test", "chrono")


def test_an_ecg_of_two_patients_is_refused_with_its_lines(tmp_path):
    path = tmp_path / "record_list.csv"
    path.write_text(f"{ECG_LINES}1,5,5,2180-01-01 10:00:00,a\n2,5,5,2180-01-01 10:00:00,b\n")
    with pytest.raises(InputError, match="lines 2 and 3 give the ECG 5 to two patients, 1 and 2"):
        read_ecgs(path)
    path.write_text(f"{ECG_LINES}1,5,5,2180-01-01 10:00:00,a\n1,5,5,2180-01-01 10:00:00,a\n1,6,6,,b\n")
    ecgs, left_out = read_ecgs(path)
    assert [e.study for e in ecgs] == [5]
    assert dict(left_out) == {"ecg_listed_twice": 1, "ecg_without_time": 1}


@pytest.mark.parametrize("stated", ["files/p10000032/s7/7", "files/p1000/p10000032/s7/7"])
@pytest.mark.parametrize("there", ["files/p10000032/s7", "files/p1000/p10000032/s7"])
def test_both_depths_of_folders_are_found(tmp_path, stated, there):
    (tmp_path / there).mkdir(parents=True)
    (tmp_path / there / "7.hea").touch()
    assert header_of(tmp_path, stated) == tmp_path / there / "7.hea"


@pytest.mark.parametrize("stated", ["../../etc/passwd", "/etc/passwd", "files/../../x", "", "files\\..\\x"])
def test_a_path_out_of_the_data_set_is_refused(tmp_path, stated):
    with pytest.raises(InputError, match="must be below the data set"):
        header_of(tmp_path, stated)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_simulated_downloads_are_found_and_read(tmp_path, full, compressed):
    write_mimic(
        MimicPlan(4, 2, 6, full=full, compressed=compressed, oddities=False), tmp_path / "physionet.org/files/m"
    )
    assert is_mimic(tmp_path)
    data = MimicDataset(place_of(tmp_path), ("II", "V5"))
    assert data.simulated
    assert data.seed == 2
    assert sum(len(data.ecgs(v.csn)) for v in data.visits()) == 6
    first = next(data.visits())
    leads = [(s.lead, s.read().shape, s.header.fs_hz) for s in data.segments(first.csn)]
    assert leads[:2] == [("II", (5000,), 500.0), ("V5", (5000,), 500.0)]
    assert sum(not r.left_out for r in data.labs()) > 20
    (data.root / "NOTICE").unlink()  # read once, not for each recording
    assert data.token("10") == "simulated mimic 2 10"


def test_recordings_are_one_per_lead_with_patient_visit_and_time(tmp_path):
    write_mimic(MimicPlan(3, 5, 4, oddities=False, compressed=False), tmp_path / "m")
    found = find_recordings(tmp_path / "m")
    assert len(found) == 8
    assert {r.name.split()[-1] for r in found} == {"I", "II"}
    assert {int(r.patient) for r in found} <= {subject_of(i) for i in range(3)}
    assert all(start_of(r) is not None for r in found)
    assert sum(len(b.samples) for b in found[0].items()) == 5000
    from convert.datasets.described import RecordingOptions

    one = find_recordings(tmp_path / "m", RecordingOptions(lead="V2"))
    assert len(one) == 4
    assert one[0].stated == "lead V2"
    with pytest.raises(UsageError, match="states its scale"):
        find_recordings(tmp_path / "m", RecordingOptions(lsb_mv=0.005))


def test_two_copies_and_missing_tables_are_refused(tmp_path):
    small(tmp_path / "a")
    small(tmp_path / "b")
    with pytest.raises(InputError, match="holds MIMIC-IV-ECG twice"):
        place_of(tmp_path)
    with pytest.raises(InputError, match=r"no record_list\.csv"):
        place_of(tmp_path / "a" / "clinical")
    with pytest.raises(InputError, match=r"no labevents\.csv"):
        place_of(tmp_path / "a", tmp_path / "a" / "ecg")
    (tmp_path / "a/clinical/hosp/d_labitems.csv").unlink()
    with pytest.raises(InputError, match=r"no d_labitems\.csv or d_labitems\.csv\.gz"):
        rows(tmp_path / "a")
    ecg_only = MimicDataset(place_of(tmp_path / "b" / "ecg"))
    assert [v.age for v in ecg_only.visits()] == [None]
    with pytest.raises(InputError, match="ECGs without results"):
        list(ecg_only.labs())


def test_damaged_and_endless_compressed_tables_are_refused(tmp_path):
    path = tmp_path / "labevents.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n" * 100)[:-9])
    with pytest.raises(InputError, match="is damaged"):
        list(lines_of(path))
    path.write_bytes(b"no gzip")
    with pytest.raises(InputError, match="is damaged"):
        list(lines_of(path))
    path.write_bytes(gzip.compress(bytes(3 << 20)))
    with pytest.raises(InputError, match="a line of more than 1 MiB"):
        list(lines_of(path))
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert list(lines_of(path)) == ["a,b\n", "1,2\n"]


def test_a_damaged_item_table_is_refused(tmp_path):
    path = tmp_path / "d_labitems.csv"
    path.write_text("itemid,label,fluid\n1,a,b\n")
    with pytest.raises(InputError, match="lacks the column category"):
        read_items(path)
