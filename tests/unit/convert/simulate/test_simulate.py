"""The simulated cohort: reproducible from its seed, with labs that are hard to predict, and sodium impossible."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.cli import simulate as cli_simulate
from convert.datasets.labcatalogue import catalogue
from convert.datasets.mcmed import McMedDataset
from convert.demo.oracle import HEADS, is_abnormal, oracle_auroc
from convert.simulate.cohort import MAX_VISITS, draw_visit, visits_of
from convert.simulate.couplings import COUPLINGS, LIMITS, couple, markdown
from convert.simulate.patient import FS_HZ, SIMULATOR_VERSION, simulate_patient
from convert.simulate.write import CohortPlan, csn_of, mrn_of, write_cohort
from firmware_bridge.errors import AnyEcgError, OutputError, UsageError
from firmware_bridge.synth.ecgsyn import EcgParams

NORMAL = {
    "potassium": 4.1, "calcium": 9.3, "magnesium": 2.05, "glucose": 100.0, "hemoglobin": 13.5, "free_t4": 1.2,
    "sodium": 140.0,
}  # fmt: skip


def moved(**labs: float) -> EcgParams:
    return couple(EcgParams(), {**NORMAL, **labs})


def test_a_patient_is_a_function_of_seed_and_index() -> None:
    a, b = simulate_patient(3, 5, 20.0), simulate_patient(3, 5, 12.0)
    assert a.ecg_mv.dtype == np.float32
    assert a.ecg_mv.shape == (20 * 500,)
    assert a.ecg_mv[:6000].tobytes() == b.ecg_mv.tobytes()
    assert a.labs == b.labs
    assert a.fs_hz == FS_HZ
    other = simulate_patient(4, 5, 12.0)
    assert other.labs != a.labs
    assert not np.array_equal(other.ecg_mv, b.ecg_mv)


def test_a_seed_still_gives_the_same_patient() -> None:
    """A change of these values needs a new SIMULATOR_VERSION, because trained bundles and caches name a seed."""
    patient = simulate_patient(1, 0, 10.0)
    assert SIMULATOR_VERSION == 2
    labs = [patient.labs[key] for key in ("potassium", "calcium", "hemoglobin", "sodium")]
    assert labs == pytest.approx([3.8757, 7.6639, 13.954, 141.0403], abs=1e-4)
    assert patient.latents.qtc_ms == pytest.approx(430.883, abs=1e-3)
    assert patient.ecg_mv[[0, 1000, 4999]] == pytest.approx([-0.050607, -0.076118, 0.086464], abs=1e-5)


def test_a_second_visit_is_the_same_person() -> None:
    index = next(i for i in range(200) if visits_of(9, i) == 2)
    first, second = draw_visit(9, index, 0), draw_visit(9, index, 1)
    assert first.demographics == second.demographics
    assert first.base.r_mv == second.base.r_mv
    assert first.labs != second.labs


def test_every_ecg_is_finite_and_in_range() -> None:
    for index in range(40):
        patient = simulate_patient(2, index, 10.0)
        assert np.isfinite(patient.ecg_mv).all()
        assert float(np.abs(patient.ecg_mv).max()) < 12.0


@pytest.mark.parametrize("bad", [(-1, 0, 10.0), (0, -1, 10.0), (0, 0, 0.0), (0, 0, math.nan), (0, 0, 1e9)])
def test_impossible_requests_are_refused(bad: tuple[int, int, float]) -> None:
    with pytest.raises(UsageError):
        simulate_patient(*bad)


def test_sourced_slopes_are_the_published_ones() -> None:
    per_mmol = 4.008
    linear = moved(calcium=9.3 + 0.1 * per_mmol).qtc_ms - moved(calcium=9.3).qtc_ms
    assert linear == pytest.approx(-1.15, abs=0.02)
    assert moved(glucose=2.5 * 18.016).qtc_ms - moved().qtc_ms == pytest.approx(67.0, abs=0.1)
    assert moved(hemoglobin=9.5).hr_bpm - moved().hr_bpm == pytest.approx(16.0)
    ft4 = moved(free_t4=1.2 + 5.0 / 12.87).hr_bpm - moved().hr_bpm
    assert ft4 == pytest.approx(1.7, abs=0.02)
    assert moved(magnesium=2.05 + 0.1 * 2.4305).qtc_ms - moved().qtc_ms == pytest.approx(0.72, abs=0.02)


def test_potassium_changes_its_features() -> None:
    high, low, normal = moved(potassium=6.8), moved(potassium=2.6), moved()
    assert high.t_mv > 1.5 * normal.t_mv
    assert high.t_ms < 0.8 * normal.t_ms
    assert high.pr_ms > normal.pr_ms + 15
    assert high.p_mv < normal.p_mv
    assert high.qrs_ms > normal.qrs_ms
    assert low.t_mv < 0.7 * normal.t_mv
    assert low.u_mv > normal.u_mv
    assert low.qtc_ms > normal.qtc_ms


def test_low_calcium_lengthens_st_and_does_not_change_t() -> None:
    low = moved(calcium=7.0)
    assert low.qtc_ms > moved().qtc_ms + 20
    assert (low.t_ms, low.t_mv, low.qrs_ms) == (moved().t_ms, moved().t_mv, moved().qrs_ms)


def test_sodium_has_no_effect() -> None:
    assert moved(sodium=110.0) == moved()
    assert "sodium" not in {row.lab for row in COUPLINGS}


def test_couplings_without_a_source_are_marked() -> None:
    for row in COUPLINGS:
        assert row.source or row.arbitrary, row
        assert row.lab in catalogue()
        assert row.feature in LIMITS
    assert any(not row.arbitrary for row in COUPLINGS)


def test_the_document_has_the_table_of_the_code() -> None:
    document = Path(__file__).parents[4] / "docs" / "simulator.md"
    assert markdown() in document.read_text(encoding="utf-8")


def test_missing_labs_have_no_effect_and_extremes_stay_in_range() -> None:
    assert couple(EcgParams(), {"potassium": math.nan}) == EcgParams()
    wild = moved(potassium=12.0, calcium=3.0, glucose=5.0, hemoglobin=2.0, free_t4=20.0, magnesium=10.0)
    for feature, (low, high) in LIMITS.items():
        assert low <= getattr(wild, feature) <= high
    replace(wild)


def test_abnormal_values_are_frequent_enough_to_train_on() -> None:
    visits = [draw_visit(1, i) for i in range(1500)]
    counts = Counter(head for visit in visits for head in HEADS if is_abnormal(visit.labs[head[0]], *head))
    for head in HEADS:
        assert 0.04 < counts[head] / len(visits) < 0.3, head
    assert 0.45 < np.mean([v.demographics.sex == "F" for v in visits]) < 0.62
    assert set(visits[0].labs) <= set(catalogue())


def test_sodium_is_independent_of_all_labs_with_an_effect() -> None:
    visits = [draw_visit(2, i) for i in range(3000)]
    sodium = [v.labs["sodium"] for v in visits]
    for key in ("potassium", "calcium", "magnesium", "glucose", "hemoglobin", "free_t4", "creatinine"):
        r = np.corrcoef(sodium, [v.labs[key] for v in visits])[0, 1]
        assert abs(r) < 0.07, key
    for name in ("hr_bpm", "qtc_ms", "pr_ms", "t_mv"):
        assert abs(np.corrcoef(sodium, [getattr(v.latents, name) for v in visits])[0, 1]) < 0.07, name
    assert abs(np.corrcoef(sodium, [v.demographics.age for v in visits])[0, 1]) < 0.07


@pytest.mark.slow
def test_oracle_finds_potassium_and_not_sodium() -> None:
    """A small cohort; docs/simulator.md has the figures of a large one."""
    found = {(r.lab, r.direction): r.auroc for r in oracle_auroc(1500, 11)}
    assert 0.72 < found["potassium", "low"] < 0.93
    assert 0.72 < found["potassium", "high"] < 0.93
    for head in HEADS:
        if head[0] == "sodium":
            assert 0.40 < found[head] < 0.60, head
        elif head[0] != "potassium":
            assert 0.58 < found[head] < 0.92, head


def test_identifiers_are_unique() -> None:
    n = 20_000
    assert len({mrn_of(i) for i in range(n)}) == n
    assert len({csn_of(i, v) for i in range(n) for v in range(MAX_VISITS)}) == MAX_VISITS * n


def test_patients_have_the_requested_number_of_visits() -> None:
    # The default must not change the patients of earlier cohorts.
    assert [visits_of(9, i) for i in range(40)] == [1 + (visits_of(9, i, 1.0 / 0.88) > 1) for i in range(40)]
    for mean in (1.0, 1.68, 3.0):
        counts = [visits_of(9, i, mean) for i in range(4000)]
        # A geometric count has the variance mean * (mean - 1); the tolerance is five standard errors.
        assert abs(np.mean(counts) - mean) <= 5 * math.sqrt(mean * (mean - 1) / len(counts)) + 0.02, mean
    assert max(visits_of(9, i, 4.0) for i in range(4000)) == MAX_VISITS


def test_many_visits_are_written_and_split_by_patient(tmp_path: Path) -> None:
    summary = write_cohort(CohortPlan(30, 7, 10.0, dirt=True, test_share=0.4, visits=2.5), tmp_path / "a")
    assert summary.visits == sum(visits_of(7, i, 2.5) for i in range(30)) > 50
    data = McMedDataset(tmp_path / "a")
    parts = [set(data.split(part)) for part in ("train", "val", "test")]
    of_patient = {visit.csn: visit.mrn for visit in data.visits()}
    assert sum(map(len, parts)) == len(set().union(*parts)) == summary.visits
    patients = [{of_patient[csn] for csn in part} for part in parts]
    assert sum(map(len, patients)) == len(set().union(*patients)) == 30


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_the_same_bytes_for_a_seed(tmp_path: Path) -> None:
    plan = CohortPlan(4, 7, 10.0)
    seen: list[int] = []
    summary = write_cohort(plan, tmp_path / "a", seen.append)
    (tmp_path / "b").mkdir()
    write_cohort(plan, tmp_path / "b")
    write_cohort(CohortPlan(4, 8, 10.0), tmp_path / "c")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert tree(tmp_path / "a") != tree(tmp_path / "c")
    assert seen == [1, 2, 3, 4]
    assert summary.patients == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]
    assert "not people" in (tmp_path / "a" / "NOTICE").read_text(encoding="utf-8")


def test_a_folder_with_files_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="not empty"):
        write_cohort(CohortPlan(1, 1, 10.0), tmp_path)
    with pytest.raises(OutputError, match="is not a folder"):
        write_cohort(CohortPlan(1, 1, 10.0), tmp_path / "mine.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_no_partial_cohort_remains(tmp_path: Path) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cohort(CohortPlan(3, 1, 10.0), tmp_path / "out", stop)

    def full(done: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_cohort(CohortPlan(3, 1, 10.0), tmp_path / "out", full)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [(0, 1, 20.0), (1, -1, 20.0), (1, 1, 1.0), (10**9, 1, 20.0), (1, 1, math.nan)])
def test_impossible_plans_are_refused(bad: tuple[int, int, float]) -> None:
    with pytest.raises(UsageError):
        CohortPlan(*bad)


def test_a_cohort_larger_than_the_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="MiB free"):
        write_cohort(CohortPlan(400_000, 1, 86400.0), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--patients", "2", "--seed", "1", "--seconds", "10", "--out", str(tmp_path / "out")]
    assert cli_simulate.main(args) == 0
    out, err = capsys.readouterr()
    assert "2 simulated patients" in out
    assert "not people" in out
    assert "2/2 patients" in err
    assert " left" in err
    with pytest.raises(AnyEcgError, match="not empty"):
        cli_simulate.main(args)
