"""The check for labels before a run: exact in any span, for recordings of any length."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convert.datasets.heads import TeacherHead
from convert.datasets.pairs import Recording, find_recordings, seconds_of, start_of
from convert.labels import visits
from convert.labels.labs import ROW
from convert.labels.plan import HeadPlan, LabelPlan, Pairing, TimeOf
from convert.labels.travelling_plan import default_plan
from convert.labels.visits import VisitResults
from convert.simulate.write import CohortPlan, write_cohort
from convert.teacher.hard_labels import check_some_label
from firmware_bridge.errors import InputError

if TYPE_CHECKING:
    from convert.datasets.visit_data import VisitData

START_S = 1_600_000_000
HIGH = TeacherHead("potassium_high", "potassium", None, "1", "probability", "high", 0)
AHEAD = TeacherHead("potassium_high_30", "potassium", None, "1", "probability", "high", 30)
VALUE = TeacherHead("potassium", "potassium", None, "mmol/L", "value", None, 0)


def plan_of(pairing: Pairing, horizon_time: TimeOf = "result") -> LabelPlan:
    every = default_plan()
    labs = tuple(lab for lab in every.labs if lab.key == "potassium")
    return LabelPlan(pairing=pairing, heads=HeadPlan(horizon_time=horizon_time), segments=every.segments, labs=labs)


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 5),
    span_s=st.tuples(st.integers(-1500, 1500), st.integers(0, 800)),
    pairing=st.sampled_from(
        [Pairing("nearest", minutes=2.0), Pairing("nearest", minutes=0.0, time="result"), Pairing(before_min=0.0),
         Pairing(before_min=3.0)],
    ),
    heads=st.sampled_from([(HIGH,), (AHEAD,), (VALUE,), (HIGH, AHEAD, VALUE)]),
    horizon_time=st.sampled_from(["order", "result"]),
)  # fmt: skip
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_check_finds_a_label_where_any_moment_of_the_span_has_one(
    monkeypatch, seed, count, span_s, pairing, heads, horizon_time
):
    """All times are whole seconds, so that half seconds show every piece between two changes."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, dtype=ROW)
    rows["visit"] = 7
    rows["order_s"] = np.sort(START_S + rng.integers(-1500, 2500, count))
    rows["result_s"] = rows["order_s"] + rng.integers(0, 40, count)
    rows["value"], rows["low"], rows["high"] = 4.0, 3.5, rng.choice([5.0, np.nan], count)
    rows["censored"] = rng.choice([0, 0, 1], count)
    monkeypatch.setattr(visits, "_rows", lambda *_: rows)
    nowhere = cast("VisitData", None)  # its rows are those above
    results = VisitResults(nowhere, heads, {7}, plan_of(pairing, horizon_time))
    first_s = float(START_S + span_s[0])
    every = first_s + np.arange(0.0, span_s[1] + 0.25, 0.5)
    assert results.labelled(7, first_s, first_s + span_s[1]) == bool((~np.isnan(results.targets(7, every))).any())
    assert not results.labelled(8, first_s, first_s + span_s[1])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulate a patient whose results are replaced, and whose recording claims to last three days."""
    root = tmp_path_factory.mktemp("labels") / "c"
    write_cohort(CohortPlan(1, 5, 40.0), root)
    header = next(iter(sorted(root.rglob("*.hea"))))
    lines = header.read_text().splitlines()
    words = lines[0].split()
    words[3] = str(round(3 * 86_400 * float(words[2].split("/")[0])))
    header.write_text("\n".join([" ".join(words), *lines[1:]]) + "\n")
    return root


def long_recording(cohort: Path) -> tuple[Recording, datetime]:
    recording = max(find_recordings(cohort), key=seconds_of)
    begin = start_of(recording)
    assert seconds_of(recording) == 3 * 86_400
    assert begin is not None
    return recording, begin


def write_result(cohort: Path, visit: int | None, at: datetime) -> None:
    time = at.isoformat().replace("+00:00", "Z")
    names = (
        "CSN,Order_time,Result_time,Component_name,Component_value,Component_units,Component_nml_low,Component_nml_high"
    )
    (cohort / "labs.csv").write_text(f"{names}\n{visit},{time},{time},POTASSIUM,4.1,mmol/L,,\n")


@pytest.mark.parametrize(("hours", "good"), [(50, True), (72.9, True), (73.1, False), (-0.9, True), (-1.1, False)])
def test_a_recording_is_checked_from_its_start_to_its_end(cohort, hours, good):
    """A result counts within an hour, before the recording, on its last day, and after it."""
    recording, begin = long_recording(cohort)
    write_result(cohort, recording.visit, begin + timedelta(hours=hours))
    if good:
        check_some_label(cohort, [VALUE], [recording])
        return
    with pytest.raises(InputError, match="has no label for any window"):
        check_some_label(cohort, [VALUE], [recording])
