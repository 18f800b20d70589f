"""Labels for validation equal the labels of training: same code, same segments, same plan."""

from __future__ import annotations

import csv
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibration.validate.labelled import Labelled, labels_for
from convert.datasets.heads import TeacherHead
from convert.datasets.labcatalogue import catalogue
from convert.datasets.mcmed import McMedDataset
from convert.datasets.pairs import find_recordings
from convert.datasets.prepared import PreparedDataset
from convert.labels.plan import candidate_heads, parse_plan, read_plan
from convert.labels.travelling_plan import (
    chosen_plan,
    default_plan,
    parse_plan_file,
    plan_file,
    read_label_plan,
    rule_of,
)
from convert.prepare.run import PrepareOptions, prepare
from convert.prepare.sources import McMedSource
from convert.simulate.write import CohortPlan, write_cohort
from convert.teacher.hard_labels import labels_at
from firmware_bridge.errors import InputError

LABS = ("potassium", "sodium", "glucose")
BEGIN = datetime(2150, 3, 4, 5, 6, 7, tzinfo=UTC)
COLUMNS = ("CSN", "Order_time", "Result_time", "Component_name", "Component_value", "Component_units",
           "Component_nml_low", "Component_nml_high")  # fmt: skip

minutes = st.integers(-90, 200)
row = st.tuples(
    st.sampled_from([1, 2]),
    minutes,
    st.integers(-5, 90),
    st.sampled_from(
        ["POTASSIUM mmol/L", "POTASSIUM mEq/L", "SODIUM mmol/L", "GLUCOSE mmol/L", "GLUCOSE mg/dL", "ICE m"]
    ),
    st.sampled_from(["4.1", "2.9", ">6.0", "<3.0", ">10.0", "HEMOLYZED", "", "140", "1,200"]),
    st.sampled_from(["3.5", ""]),
    st.sampled_from(["5.0", ""]),
)
plans = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["order_to_result", "nearest"]),
        "time": st.sampled_from(["order", "result"]),
        "horizon_time": st.sampled_from(["order", "result"]),
        "missing_range": st.sampled_from(["exclude", "catalogue", "median"]),
    }
)


def plan_of(given: dict[str, str]) -> str:
    return (
        f'[pairing]\nmode = "{given["mode"]}"\ntime = "{given["time"]}"\n'
        f'[heads]\ndirections = ["low", "high", "abnormal"]\nhorizon_directions = ["high", "abnormal"]\n'
        f'horizons_min = [30, 120]\nhorizon_time = "{given["horizon_time"]}"\n'
        f'missing_range = "{given["missing_range"]}"\nmin_values = 0\nmin_positives = 0\n'
        "[segments]\nkeep_unlabelled = true\n" + "".join(f"[labs.{lab}]\n" for lab in LABS)
    )


def heads_of_plan(plan) -> list[TeacherHead]:
    out = []
    for c in candidate_heads(plan):
        lab = catalogue()[plan.labs[c.lab].key]
        kind = "value" if c.direction is None else "probability"
        out.append(TeacherHead(c.key, lab.key, lab.loinc, lab.unit, kind, c.direction, c.horizon_min))
    return out


def write_labs(root: Path, rows) -> None:
    csns = [v.csn for v in McMedDataset(root).visits()]
    with (root / "labs.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        for visit, order, wait, name, unit, value, low, high in rows:
            at = BEGIN + timedelta(minutes=order)
            times = [t.isoformat().replace("+00:00", "Z") for t in (at, at + timedelta(minutes=wait))]
            out.writerow([csns[visit - 1], *times, name, value, unit, low, high])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Simulate two visits of 40 s whose recordings start at a known time."""
    root = tmp_path_factory.mktemp("labels") / "c"
    write_cohort(CohortPlan(2, 5, 40.0), root)
    data = McMedDataset(root)
    visits = [v.csn for v in data.visits()]
    assert len(visits) >= 2
    mrn = {v.csn: v.mrn for v in data.visits()}
    for part in ("train", "val", "test"):
        mine = [c for c in visits if (mrn[c] == mrn[visits[0]]) == (part == "train") and part != "val"]
        (root / f"split_random_{part}.csv").write_text("".join(f"{c}\n" for c in mine))
    for number, header in enumerate(sorted(root.rglob("*.hea"))):
        lines = header.read_text().splitlines()
        words = lines[0].split()
        begin = BEGIN + timedelta(minutes=number)
        words[4:] = [begin.strftime("%H:%M:%S"), begin.strftime("%d/%m/%Y")]
        header.write_text("\n".join([" ".join(words), *lines[1:]]) + "\n")
    return root


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(row, min_size=2, max_size=16), how=plans)
def test_labels_of_convert_and_validate_are_those_of_prepare(cohort, tmp_path_factory, rows, how):
    plan = parse_plan(plan_of(how), "l.toml")
    heads = heads_of_plan(plan)
    write_labs(cohort, [(*r[:3], *r[3].split(), *r[4:]) for r in rows])
    out = tmp_path_factory.mktemp("prepared") / "p"
    manifest = prepare(McMedSource(cohort), out, PrepareOptions(plan))
    data = PreparedDataset(out)
    recordings = find_recordings(cohort)
    begin = {r.name: r.items.segment.start.timestamp() for r in recordings}
    index = {r.name: i for i, r in enumerate(recordings)}
    for part in ("train", "test"):
        for shard in data.shards(part):
            names = shard.recording.tolist()
            recording = np.array([index[n] for n in names], np.int32)
            start_s = shard.start_s - np.array([begin[n] for n in names])
            with np.load(out / "shards" / f"{shard.name}.npz") as arrays:
                binary, values = arrays["binary"], arrays["values"]
            wanted = np.full((len(names), len(heads)), np.nan, np.float32)
            for j, entry in enumerate(manifest["heads"]):
                column = entry["column"]
                if entry["kind"] == "value":
                    wanted[:, j] = values[:, column]
                else:
                    wanted[:, j] = np.where(binary[:, column] == 255, np.nan, binary[:, column])
            asked = heads, recording, start_s, plan
            found = _or_none(wanted, labels_at, cohort, heads, recordings, recording, start_s, plan)
            np.testing.assert_array_equal(found, wanted)
            np.testing.assert_array_equal(_or_none(wanted, labels_for, _labelled(cohort, recordings), *asked), wanted)


def _or_none(wanted, made, *asked):
    """Return the labels. A data set without any label is refused, and then prepare must not find a label either."""
    try:
        return made(*asked)
    except InputError as error:
        assert "no label" in str(error)
        assert np.isnan(wanted).all()
        return wanted


def _labelled(folder: Path, recordings) -> Labelled:
    n = len(recordings)
    return Labelled(folder, "all", tuple(recordings), np.arange(n), (), (), True, "", ())


def head(key: str, lab: str, direction: str | None, horizon: int | None = None) -> TeacherHead:
    unit = "1" if direction or lab not in catalogue() else catalogue()[lab].unit
    return TeacherHead(key, lab, None, unit, "probability" if direction else "value", direction, horizon)


def labels_of_one(cohort: Path, rows, heads, start_s=(0.0,), plan=None) -> np.ndarray:
    """Return labels of windows of the first recording, which starts at BEGIN."""
    recordings = find_recordings(cohort)
    visit = next(i for i, v in enumerate(McMedDataset(cohort).visits(), 1) if v.csn == recordings[0].visit)
    write_labs(cohort, [(visit, *r) for r in rows])
    at = np.array(start_s, dtype=float) + (BEGIN - recordings[0].items.segment.start).total_seconds()
    return labels_at(cohort, heads, recordings, np.zeros(len(at), np.int32), at, plan)


K = ("POTASSIUM",)


def test_a_horizon_starts_after_the_window_and_excludes_the_present(cohort):
    """An abnormal result in 30 minutes counts for the horizon of an hour and not for the present."""
    heads = [
        head("now", "potassium", "high"),
        head("h30", "potassium", "high", 30),
        head("h60", "potassium", "high", 60),
    ]
    late = [(5, 40, *K, "mmol/L", "7.0", "3.5", "5.0"), (5, 20, *K, "mmol/L", "4.0", "3.5", "5.0")]
    found = labels_of_one(cohort, late, heads)
    # Both were ordered at the same time. The earlier result is normal, so the label within 30 minutes is 0.
    assert found[0, 1:].tolist() == [0.0, 1.0]
    # A result at the end of a window is in its past; for a window that ends a second earlier it is in the future.
    at = [(0, 25, *K, "mmol/L", "7.0", "3.5", "5.0")]
    found = labels_of_one(cohort, at, heads, start_s=(25 * 60 - 10.0, 25 * 60 - 11.0))
    assert np.isnan(found[0, 1:]).all()
    assert found[1, 1:].tolist() == [1.0, 1.0]


def test_a_censored_value_decides_only_what_it_can(cohort):
    heads = [head("low", "potassium", "low"), head("high", "potassium", "high"), head("k", "potassium", None)]
    found = labels_of_one(cohort, [(0, 5, *K, "mmol/L", ">4.0", "3.5", "5.0")], heads)
    assert found[0, 0] == 0
    assert np.isnan(found[0, 1:]).all()
    found = labels_of_one(cohort, [(0, 5, *K, "mmol/L", ">6.0", "3.5", "5.0")], heads)
    assert found[0, :2].tolist() == [0, 1]


def test_values_are_in_the_unit_of_their_head_and_unknown_units_are_listed(cohort):
    heads = [head("glucose", "glucose", None), head("g_high", "glucose", "high")]
    rows = [(0, 5, "GLUCOSE", "mmol/L", "5.5", "3.9", "5.6"), (0, 5, "SODIUM", "furlong", "140", "135", "145")]
    found = labels_of_one(cohort, rows, heads)
    assert found[0].tolist() == [np.float32(5.5 * 18.016), 0.0], "sodium is not requested, so its unit does not matter"
    found = labels_of_one(cohort, rows, [TeacherHead("g", "glucose", None, "mmol/L", "value", None)])
    assert found[0] == pytest.approx(5.5, rel=1e-6), "a teacher in another unit is judged in that unit"
    with pytest.raises(InputError, match=r"the output 'g' is in 'furlong', which is not a known unit of glucose"):
        labels_of_one(cohort, rows, [TeacherHead("g", "glucose", None, "furlong", "value", None)])
    with pytest.raises(InputError, match=r"unknown units: sodium in 'furlong' \(1\).*ignore_units"):
        labels_of_one(cohort, rows, [*heads, head("na", "sodium", None)])


def test_heads_outside_the_plan_have_no_label(cohort):
    heads = [
        head("k", "potassium", None),
        head("later", "potassium", None, 60),
        TeacherHead("odd", "potassium", None, "1", "probability", None),
        head("x", "nonsense", "high"),
        head("na", "sodium", "high"),
    ]
    plan = parse_plan("[pairing]\nmode = 'nearest'\n[labs.potassium]", "l.toml")
    rows = [(0, 5, *K, "mmol/L", "4.0", "3.5", "5.0"), (0, 5, "SODIUM", "mmol/L", "150", "135", "145")]
    found = labels_of_one(cohort, rows, heads, plan=plan)
    assert np.isnan(found[0]).tolist() == [False, True, True, True, True]


def test_a_recording_without_a_clock_has_no_label(cohort, tmp_path):
    import shutil

    root = tmp_path / "c"
    shutil.copytree(cohort, root)
    write_labs(root, [(1, 0, 5, *K, "mmol/L", "4.0", "3.5", "5.0"), (2, 0, 5, *K, "mmol/L", "4.0", "3.5", "5.0")])
    for header in root.rglob("*.hea"):
        lines = header.read_text().splitlines()
        header.write_text("\n".join([" ".join(lines[0].split()[:4]), *lines[1:]]) + "\n")
    recordings = find_recordings(root)
    with pytest.raises(InputError, match="has no label for any window and output"):
        labels_at(root, [head("k", "potassium", None)], recordings, np.zeros(1, np.int32), np.zeros(1))


def test_a_plan_reads_back_from_toml_and_from_json(tmp_path):
    text = plan_of({"mode": "nearest", "time": "result", "horizon_time": "order", "missing_range": "median"})
    text += '[labs.creatinine]\nnames = ["KREA"]\nunits = { "furlong" = 2.5 }\nignore_units = ["bushel"]\n'
    (tmp_path / "labels.toml").write_text(text)
    plan = read_label_plan(tmp_path / "labels.toml")
    assert plan == parse_plan(text, "l.toml")
    (tmp_path / "labels.json").write_bytes(plan_file(plan))
    assert read_label_plan(tmp_path / "labels.json") == read_label_plan(tmp_path) == plan
    for other in (read_plan(None), default_plan()):
        assert parse_plan_file(plan_file(other), "l.json") == other
    assert rule_of(plan) != rule_of(default_plan())
    assert chosen_plan(None, plan, "bundle").said_by == "bundle"
    assert chosen_plan(tmp_path, None, "bundle").plan == plan
    assert chosen_plan(None, None, "bundle").plan == default_plan()
    assert set(chosen_plan(None, None, "bundle").for_report()) == {"said_by", "rule", "sha256"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(schema="x"), "not a label plan"),
        (lambda raw: raw["plan"].update(strange=1), "unknown key strange"),
        (lambda raw: raw["plan"]["pairing"].update(mode="guess"), "pairing.mode"),
        (lambda raw: raw["plan"].update(labs=[3]), "not a list of labs"),
        (lambda raw: raw["plan"].update(labs=[{"key": "nonsense"}]), "labs.nonsense is not in the catalogue"),
        (lambda raw: raw.update(plan=[]), "not a label plan"),
    ],
)
def test_a_damaged_plan_gives_a_one_line_error(tmp_path, change, message):
    raw = json.loads(plan_file(default_plan()))
    change(raw)
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(InputError, match=message) as caught:
        read_label_plan(path)
    assert "\n" not in str(caught.value)
    path.write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        read_label_plan(path)
    with pytest.raises(InputError, match="cannot read"):
        read_label_plan(tmp_path / "none.json")


def test_the_default_is_cardiolabs_rule(cohort):
    """The nearest result by order within an hour; the property test covers the rest."""
    plan = default_plan()
    assert (plan.pairing.mode, plan.pairing.minutes, plan.pairing.time) == ("nearest", 60.0, "order")
    assert {lab.key for lab in plan.labs} == set(catalogue())
    rows = [(-59, 0, *K, "mmol/L", "2.0", "", ""), (30, 100, *K, "mmol/L", "7.0", "", "")]
    heads = [head("high", "potassium", "high"), head("k", "potassium", None)]
    found = labels_of_one(cohort, rows, heads)
    assert found[0].tolist() == [1.0, 7.0], "the nearer result, judged by the catalogue's range"
    assert math.isclose(labels_of_one(cohort, rows[:1], heads)[0, 1], 2.0)
    with pytest.raises(InputError, match="no label"):
        labels_of_one(cohort, [(-62, 0, *K, "mmol/L", "2.0", "", "")], heads)
