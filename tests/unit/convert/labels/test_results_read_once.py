"""The table of results is read once for all labels of a report, and again when anything has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.datasets.heads import TeacherHead
from convert.datasets.mimic.dataset import MimicDataset
from convert.datasets.visit_data import open_visits
from convert.labels import visits as module
from convert.labels.plan import named_plan
from convert.labels.visits import VisitResults
from convert.simulate.mimic import MimicPlan, write_mimic

HEADS = (
    TeacherHead("potassium_high", "potassium", None, "1", "probability", "high"),
    TeacherHead("sodium_low_60min", "sodium", None, "1", "probability", "low", 60),
    TeacherHead("hemoglobin_value", "hemoglobin", None, "g/dL", "value", None),
)
SEVERE = (TeacherHead("potassium", "potassium", None, "mmol/L", "value", None),)
PLAN = named_plan("mimic")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mimic")
    write_mimic(MimicPlan(patients=20, seed=3, ecgs=60), root)
    return root


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the passes over the table, from an empty start."""
    counted: list[int] = []
    labs = MimicDataset.labs
    monkeypatch.setattr(MimicDataset, "labs", lambda *args: counted.append(1) or labs(*args))
    monkeypatch.setattr(module, "_kept", [])
    return counted


def labels(folder: Path, heads=HEADS, plan=PLAN, most: int = 1000) -> np.ndarray:
    """The labels of windows at each ECG, and half an hour before."""
    data = open_visits(folder)
    chosen = [(v.csn, v.arrival.timestamp()) for v in data.visits()][:most]
    results = VisitResults(data, heads, {csn for csn, _ in chosen}, plan)
    return np.concatenate([results.targets(csn, np.array([t, t - 1800.0])) for csn, t in chosen])


def test_heads_of_the_same_labs_and_visits_need_no_second_pass(folder: Path, reads: list[int]) -> None:
    first = labels(folder)
    part, severe = labels(folder, most=5), labels(folder, SEVERE)
    assert len(reads) == 1
    assert np.array_equal(part, first[:10], equal_nan=True)
    module._kept.clear()
    assert np.array_equal(severe, labels(folder, SEVERE), equal_nan=True)
    assert np.isfinite(severe).any()
    assert np.isfinite(first).any(axis=0).all()


def test_other_visits_labs_plans_or_a_changed_table_are_read(folder: Path, reads: list[int]) -> None:
    labels(folder, SEVERE, most=5)
    labels(folder, SEVERE)
    labels(folder)
    labels(folder, plan=replace(PLAN, heads=replace(PLAN.heads, ranges="catalogue")))
    assert len(reads) == 4
    table = open_visits(folder).lab_table
    table.write_bytes(table.read_bytes())
    labels(folder, plan=replace(PLAN, heads=replace(PLAN.heads, ranges="catalogue")))
    assert len(reads) == 5
