"""`anyecg prepare --mimic-iv-ecg`: exclusions equal those planted, and the plans of the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from convert.cli.prepare import main as prepare
from convert.datasets.mimic.layout import place_of
from convert.datasets.prepared import PreparedDataset
from convert.labels.plan import PLANS, candidate_heads, named_plan
from convert.labels.travelling_plan import parse_plan_file, plan_file, rule_of
from convert.prepare.mimic import MimicSource
from convert.prepare.sensitivity import PairingSample
from convert.simulate.mimic import MimicPlan, write_mimic
from convert.teacher.patients import hashes
from convert.teacher.prepared_patients import prepared_hashes
from edge.cli.main import main
from firmware_bridge.errors import InputError, UsageError

LEADS = 2
EVERYTHING = """
[pairing]
mode = "nearest"
minutes = 60
[heads]
min_values = 5
min_positives = 1
unknown_units = "exclude"
[segments]
keep_unlabelled = true
max_mv = 1000.0
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mimic")
    write_mimic(MimicPlan(16, 4, 90), folder / "data")
    (folder / "all.toml").write_text(EVERYTHING)
    argv = ["prepare", "--mimic-iv-ecg", str(folder / "data/ecg"), "--mimic-iv", str(folder / "data/clinical")]
    assert main([*argv, "--labels", str(folder / "all.toml"), "--out", str(folder / "out"), "--quiet"]) == 0
    return folder


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_counts_of_exclusions_equal_those_planted(root):
    planted, found = read(root / "data/PLANTED.json"), read(root / "out/summary.json")
    assert found["excluded_visits"] == planted["records"]
    assert found["lab_rows"]["excluded"] == planted["rows"]
    assert found["lab_rows"]["notes"] == planted["notes"]
    ecgs = {reason: LEADS * n for reason, n in planted["ecgs"].items()}
    assert found["excluded_segments"] == ecgs
    assert set(planted["ecgs"]) == {"flat", "gap", "no_record"}
    assert sum(found["segments"].values()) == LEADS * 90 - sum(ecgs.values())
    assert set(planted["rows"]) == {
        "hidden", "no_ecg_near", "no_time", "no_unit", "not_a_number", "patient_without_ecg", "repeated",
        "result_before_order", "unknown_component", "unknown_unit",
    }  # fmt: skip


def test_segments_have_both_leads_ages_and_patients_in_one_part(root):
    data = PreparedDataset(root / "out")
    owners: dict[str, str] = {}
    leads = set()
    for part in ("train", "val", "test"):
        for shard in data.shards(part):
            for patient in set(shard.patient.tolist()):
                assert owners.setdefault(patient, part) == part
            leads |= {name.split()[-1] for name in shard.recording.tolist()}
            assert (shard.age >= 15).all()
            assert set(shard.sex.tolist()) <= {"F", "M"}
    assert leads == {"I", "II"}
    assert data.simulated


def test_the_patients_have_the_same_hash_as_in_a_validation(root):
    from convert.datasets.pairs import find_recordings

    data = PreparedDataset(root / "out")
    prepared = frozenset().union(*(prepared_hashes(data, part) for part in ("train", "val", "test")))
    assert prepared == hashes(find_recordings(root / "data"))


def test_the_pairing_report_shows_windows_and_clocks(root):
    found = read(root / "out/pairing.json")
    windows = {w["minutes"]: w for w in found["windows"]}
    assert [windows[m]["pairs"] for m in sorted(windows)] == sorted(w["pairs"] for w in windows.values())
    assert found["window_min"] == 60
    assert found["ecgs"] == 90
    shifts = {s["minutes"]: s for s in found["shifts"]}
    for s in shifts.values():
        assert s["same"] + s["another"] + s["lost"] == pytest.approx(1.0, abs=1e-3)
    assert shifts[60]["same"] < shifts[15]["same"]


def test_pairs_of_a_sample_by_hand():
    """ECGs at 0 and 100 min; results at 10 and 95 min. A clock that is 50 min off takes the other result."""
    sample = PairingSample()
    for minute, value in ((10, 4.0), (95, 5.0)):
        sample.add(1, "potassium", 60.0 * minute, value)
    found = sample.report({1: [0.0, 6000.0], 2: [0.0]}, 30.0)
    windows = {w["minutes"]: w for w in found["windows"]}
    assert (windows[30.0]["pairs"], windows[30.0]["ecgs"], windows[30.0]["median_minutes"]) == (2, 2, 10.0)
    shifts = {s["minutes"]: s for s in found["shifts"]}
    assert (shifts[15]["same"], shifts[60]["another"], shifts[60]["lost"]) == (1.0, 0.0, 1.0)
    far = sample.report({1: [0.0, 6000.0]}, 90.0)
    assert {s["minutes"]: s["another"] for s in far["shifts"]}[60] == 0.5
    assert found["complete"]


@pytest.mark.parametrize("name", PLANS)
def test_plans_of_the_package_travel_with_a_model(name):
    plan = named_plan(name)
    assert parse_plan_file(plan_file(plan), "it") == plan
    assert rule_of(plan)


def test_the_plan_of_cardiolab():
    plan = named_plan("cardiolab")
    assert (plan.pairing.mode, plan.pairing.minutes, plan.pairing.time) == ("nearest", 60.0, "order")
    assert (plan.heads.ranges, plan.heads.horizons_min) == ("median", (30, 60, 120))
    assert (plan.heads.min_values, plan.heads.min_positives, plan.heads.values) == (200, 10, False)
    assert {h.direction for h in candidate_heads(plan)} == {"low", "high"}
    assert "median limits of the lab" in rule_of(plan)
    with pytest.raises(InputError, match="no label plan 'other'"):
        named_plan("other")


def test_median_limits_decide_for_every_row(root, tmp_path):
    """Limits of rows in other units or without a range are replaced by the median of the lab."""
    argv = ["prepare", "--mimic-iv-ecg", str(root / "data"), "--plan", "cardiolab", "--quiet", "--lead", "II"]
    assert main([*argv, "--out", str(tmp_path / "c"), "--min-values", "5", "--min-positives", "1"]) == 0
    data = PreparedDataset(tmp_path / "c")
    assert all(h.kind == "probability" for h in data.heads)
    rows = {h.key: 0 for h in data.heads}
    for shard in data.shards("train"):
        y = shard.targets()
        for j, h in enumerate(data.heads):
            rows[h.key] += int(np.isfinite(y[:, j]).sum())
    # Rows without a range are used here, and were left out by the other plan.
    own = {h.key: h for h in PreparedDataset(root / "out").heads}
    assert rows["potassium_high"] * LEADS > sum(
        data_counts["segments"]
        for key, data_counts in [
            (h["key"], h["counts"]["train"]) for h in PreparedDataset(root / "out").manifest["heads"]
        ]
        if key == "potassium_high"
    )
    assert "potassium_value" in own


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "give one of --mcmed"),
        (["--mimic-iv-ecg", "E", "--mcmed", "M"], "give one of"),
        (["--records", "R", "--mimic-iv", "E"], "--mimic-iv is for --mimic-iv-ecg only"),
        (["--mimic-iv-ecg", "E", "--fs", "500"], "for --records only"),
        (["--mimic-iv-ecg", "E", "--plan", "mimic", "--labels", "x.toml"], "two label plans"),
        (["--mimic-iv-ecg", "E", "--min-values", "-1"], "--min-values is -1"),
    ],
)
def test_wrong_options_are_refused(tmp_path, argv, words):
    with pytest.raises(UsageError, match=words):
        prepare([*argv, "--out", str(tmp_path / "o")])


def test_a_missing_lead_is_counted_and_a_wide_window_refused(root, tmp_path):
    argv = ["prepare", "--mimic-iv-ecg", str(root / "data"), "--labels", str(root / "all.toml"), "--quiet"]
    with pytest.raises(InputError, match=r"no usable segment.*no_lead") as raised:
        prepare([*argv[1:], "--lead", "X1", "--out", str(tmp_path / "x")])
    assert raised.value.exit_code == 3
    wide = EVERYTHING.replace("minutes = 60", "minutes = 900")
    (tmp_path / "wide.toml").write_text(wide)
    with pytest.raises(UsageError, match="900 minutes away"):
        prepare(["--mimic-iv-ecg", str(root / "data"), "--labels", str(tmp_path / "wide.toml"), "--out", "o"])
    with pytest.raises(UsageError, match="no folder of MIMIC-IV"):
        MimicSource(place_of(root / "data" / "ecg"), ("II",), named_plan("mimic"))
