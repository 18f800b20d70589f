"""Baselines: the same scores from any number of processes and after a kill, and their AUROC in the simulator."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from calibration.baselines.features import Chosen, all_rows, features_of, spread, spread_rows
from calibration.baselines.fit import LEVELS, coded, level_edges
from calibration.baselines.pool import run_each
from calibration.baselines.run import COLUMNS, GROUPS, BaselinePlan, fit_baselines, sex_number
from convert.datasets.mcmed import McMedDataset
from convert.datasets.prepared import PreparedDataset
from convert.labels.plan import parse_plan
from convert.prepare.run import PrepareOptions, prepare
from convert.prepare.sources import McMedSource
from convert.simulate.write import CohortPlan, write_cohort
from edge.waves.features import NAMES, segment_features
from firmware_bridge.errors import AnyEcgError, OutputError, UsageError

PLAN = BaselinePlan(segments_per_visit=2, min_positives=3, jobs=1)
HEADS = "[heads]\nmin_values = 4\nmin_positives = 1\nhorizons_min = []\n"
LABELS = HEADS + "[labs.hemoglobin]\n[labs.sodium]\n"


def made(root: Path, cohort: CohortPlan, labels: str, **options) -> PreparedDataset:
    write_cohort(cohort, root / "cohort")
    prepare(McMedSource(root / "cohort"), root / "prepared", PrepareOptions(parse_plan(labels, "test"), **options))
    return PreparedDataset(root / "prepared")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PreparedDataset:
    return made(tmp_path_factory.mktemp("data"), CohortPlan(patients=44, seed=9, seconds=20.0), LABELS)


@pytest.fixture(scope="module")
def work(data, tmp_path_factory) -> Path:
    """The folder of a finished run; tests that change it must copy it first."""
    folder = tmp_path_factory.mktemp("work") / "w"
    fit_baselines(data, "test", PLAN, folder)
    return folder


@pytest.fixture(scope="module")
def found(data, work):
    return fit_baselines(data, "test", PLAN, work)


def kept(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.np[yz]"))}


def head(data, key: str) -> int:
    return next(i for i, h in enumerate(data.heads) if h.key == key)


def test_a_score_for_every_segment_and_head(data, found):
    assert list(found) == ["demographics", "intervals", "intervals+demographics"] == list(GROUPS)
    for name, scores in found.items():
        assert scores.name == name
        assert scores.scores.shape == (data.size("test"), len(data.heads))
        assert scores.scores.dtype == np.float32
        for i, why in enumerate(scores.why):
            assert np.isnan(scores.scores[:, i]).all() if why else np.isfinite(scores.scores[:, i]).all()
            assert (scores.trees[i] == 0) == bool(why)
    assert found["intervals"].why[head(data, "hemoglobin_low")] == ""
    assert found["demographics"].features == ("age", "sex")
    assert "age" not in found["intervals"].features


def test_too_few_positives_give_a_reason(data, tmp_path, work):
    shutil.copytree(work / "features", tmp_path / "features")
    scores = fit_baselines(data, "test", replace(PLAN, min_positives=12), tmp_path, heads=[head(data, "sodium_high")])
    at = head(data, "sodium_high")
    for baseline in scores.values():
        assert "12 are needed" in baseline.why[at]
        assert np.isnan(baseline.scores).all()
        assert {w for i, w in enumerate(baseline.why) if i != at} == {"not asked for"}


def test_fitting_one_head_gives_the_same_scores(data, found, tmp_path, work):
    shutil.copytree(work / "features", tmp_path / "features")
    at = head(data, "hemoglobin_value")
    one = fit_baselines(data, "test", PLAN, tmp_path, heads=[at])
    for name in GROUPS:
        assert one[name].scores[:, at].tobytes() == found[name].scores[:, at].tobytes()
    assert not (tmp_path / "test" / "heads" / f"{at + 1:05d}.npz").exists()


def test_two_processes_and_a_second_run_give_the_same_bytes(data, found, work, tmp_path):
    before = kept(work)
    again = fit_baselines(data, "test", PLAN, work)
    assert kept(work) == before
    fit_baselines(data, "test", replace(PLAN, jobs=2), tmp_path)
    assert kept(tmp_path) == before
    for name in GROUPS:
        assert again[name].scores.tobytes() == found[name].scores.tobytes()


def test_a_killed_run_resumes(data, found, work, tmp_path):
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from calibration.baselines.run import BaselinePlan, fit_baselines\n"
        "from convert.datasets.prepared import PreparedDataset\n"
        "plan = BaselinePlan(segments_per_visit=2, min_positives=3, jobs=1)\n"
        "fit_baselines(PreparedDataset(sys.argv[1]), 'test', plan, Path(sys.argv[2]))\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program, str(data.folder), str(tmp_path)], cwd=Path(__file__).parents[4]
    )
    until = time.monotonic() + 120
    while len(list(tmp_path.glob("features/*.npz"))) < 2 and run.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("features/*.npz")}
    assert done
    fit_baselines(data, "test", PLAN, tmp_path)
    assert kept(tmp_path) == kept(work)
    after = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("features/*.npz")}
    assert {k: after[k] for k in done} == done


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "other"])
def test_damaged_files_are_computed_again(data, found, work, tmp_path, harm):
    shutil.copytree(work, tmp_path / "w")
    features = sorted((tmp_path / "w" / "features").glob("*.npz"))
    heads = sorted((tmp_path / "w" / "test" / "heads").glob("*.npz"))
    for path, other in ((features[0], features[1]), (heads[0], heads[1])):
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(
            {
                "cut": whole[:middle],
                "flip": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
                "empty": b"",
                "other": other.read_bytes(),
            }[harm]
        )
    fit_baselines(data, "test", PLAN, tmp_path / "w")
    assert kept(tmp_path / "w") == kept(work)


def test_another_plan_gives_other_scores(data, found, work, tmp_path):
    shutil.copytree(work, tmp_path / "w")
    other = fit_baselines(data, "test", replace(PLAN, segments_per_visit=1), tmp_path / "w")
    at = head(data, "hemoglobin_value")
    assert not np.array_equal(other["intervals"].scores[:, at], found["intervals"].scores[:, at])


def test_features_are_those_of_the_segments(data, tmp_path):
    chosen = [Chosen(shard.name, np.array([len(shard) - 1])) for shard in data.shards("train")][:2]
    for c, x in zip(chosen, features_of(data, chosen, tmp_path, 1, None), strict=True):
        shard = data.shard(c.shard)
        assert np.array_equal(x, segment_features(shard.segments(c.rows), shard.sd_mv[c.rows]), equal_nan=True)
    assert len(NAMES) + 2 == len(COLUMNS)


def test_judging_the_validation_part(data, work, tmp_path):
    shutil.copytree(work / "features", tmp_path / "features")
    at = head(data, "hemoglobin_value")
    scores = fit_baselines(data, "val", PLAN, tmp_path, heads=[at])
    assert scores["intervals"].scores.shape[0] == data.size("val")
    assert scores["intervals"].trees[at] == 30


def test_segments_are_spread_evenly(data):
    shard = next(data.shards("train"))
    for most in (1, 2):
        (c,) = [c for c in spread_rows(data, "train", most, 10**6, 0) if c.shard == shard.name]
        visits, counts = np.unique(shard.visit, return_counts=True)
        taken = dict(zip(*np.unique(shard.visit[c.rows], return_counts=True), strict=True))
        assert taken == {v: min(most, k) for v, k in zip(visits.tolist(), counts.tolist(), strict=True)}
        assert (np.diff(c.rows) > 0).all()
    assert spread(np.arange(100), 4).tolist() == [12, 37, 62, 87]
    assert spread(np.arange(3), 4).tolist() == [0, 1, 2]


@pytest.mark.parametrize("most", [1, 5, 60, 100])
def test_never_more_segments_than_allowed(data, most):
    rows = spread_rows(data, "train", 12, most, 0)
    assert sum(len(c.rows) for c in rows) <= most
    total = sum(len(c.rows) for c in all_rows(data, "train"))
    assert total == data.size("train")
    assert sum(len(c.rows) for c in rows) >= min(most, total) // 2
    assert [c.shard for c in rows] == [c.shard for c in spread_rows(data, "train", 12, most, 0)]


def test_levels_keep_the_order_and_unknown_values():
    rng = np.random.default_rng(0)
    few, many = rng.integers(0, 5, 400), rng.standard_cauchy(400)
    x = np.stack([few, many, np.full(400, 7.0), np.full(400, np.nan)], axis=1).astype(np.float32)
    x[::9, :2] = np.nan
    edges, found = level_edges(x), x.copy()
    coded(found, edges)
    assert np.array_equal(np.isnan(found), np.isnan(x))
    assert np.array_equal(found[:, 0], x[:, 0], equal_nan=True)
    assert len(np.unique(found[np.isfinite(found[:, 1]), 1])) == LEVELS
    order = np.argsort(x[:, 1], kind="stable")[: np.isfinite(x[:, 1]).sum()]
    assert (np.diff(found[order, 1]) >= 0).all()
    assert (found[:, 2] == 0).all()
    unseen = np.array([[99.0, 1e30, -7.0, 3.0]], dtype=np.float32)
    coded(unseen, edges)
    assert unseen.tolist() == [[4.0, LEVELS - 1.0, 0.0, 0.0]]


def test_unknown_sex_is_nan():
    got = sex_number(np.array(["F", "M", "female", " m", "", "U", "X"]))
    assert np.array_equal(got, [0, 1, 0, 1, np.nan, np.nan, np.nan], equal_nan=True)


def test_unknown_age_and_sex_of_all_patients(data, work, tmp_path):
    shutil.copytree(data.folder, tmp_path / "prepared")
    for path in (tmp_path / "prepared" / "shards").glob("*.npz"):
        with np.load(path) as arrays:
            changed = dict(arrays)
        changed["age"] = np.full_like(changed["age"], np.nan)
        changed["sex"] = np.full_like(changed["sex"], "")
        np.savez(path, **changed)
    at = head(data, "hemoglobin_value")
    scores = fit_baselines(PreparedDataset(tmp_path / "prepared"), "test", PLAN, tmp_path / "w", heads=[at])
    assert "none of its features" in scores["demographics"].why[at]
    together, alone = scores["intervals+demographics"].scores[:, at], scores["intervals"].scores[:, at]
    assert together.tobytes() == alone.tobytes()


def test_progress_shows_speed_and_remaining_time(data, tmp_path):
    output = io.StringIO()
    fit_baselines(data, "test", PLAN, tmp_path, output, heads=[0])
    assert "ECG intervals: " in output.getvalue()
    assert "segments, " in output.getvalue()
    assert "/s, " in output.getvalue()
    assert "baselines: 1/1 heads" in output.getvalue()


def test_invalid_plans_are_refused(data, tmp_path):
    with pytest.raises(UsageError, match="patients they are trained on"):
        fit_baselines(data, "train", PLAN, tmp_path)
    for plan in (replace(PLAN, max_segments=0), replace(PLAN, segments_per_visit=0), replace(PLAN, jobs=-1)):
        with pytest.raises(UsageError, match="out of range"):
            fit_baselines(data, "test", plan, tmp_path)
    for heads in ([99], [-1]):
        with pytest.raises(UsageError, match="does not exist"):
            fit_baselines(data, "test", PLAN, tmp_path, heads=heads)


def test_a_folder_that_cannot_be_written(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        fit_baselines(data, "test", PLAN, tmp_path / "file")


@pytest.mark.slow
def test_the_example_of_the_page_runs(data, work, tmp_path):
    page = (Path(__file__).parents[4] / "docs" / "ecg-intervals.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "example.py").write_text(program, encoding="utf-8")
    (tmp_path / "prepared").symlink_to(data.folder)
    shutil.copytree(work / "features", tmp_path / "work" / "features")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    run = [sys.executable, "-W", "error", "example.py"]
    done = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=500)
    assert done.stdout == f"({data.size('test')}, {len(data.heads)})\n", done.stderr


def slowly(path: str) -> int:
    """Write the process id, then sleep, so that the test can kill the process."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)
    return 0


def test_a_killed_process_ends_the_run_with_one_line(tmp_path):
    def kill() -> None:
        while not (tmp_path / "0").is_file() or not (tmp_path / "0").read_text():
            time.sleep(0.01)
        os.kill(int((tmp_path / "0").read_text()), signal.SIGKILL)

    import threading

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(AnyEcgError, match="killed"):
        list(run_each(slowly, [str(tmp_path / str(i)) for i in range(6)], 2))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_intervals_predict_the_labs_of_the_simulator(tmp_path):
    labs = "".join(f"[labs.{lab}]\n" for lab in ("potassium", "calcium", "hemoglobin", "sodium"))
    data = made(tmp_path, CohortPlan(patients=3000, seed=1, seconds=20.0), HEADS + labs)
    assert McMedDataset(tmp_path / "cohort").simulated
    shutil.rmtree(tmp_path / "cohort")
    found = fit_baselines(data, "test", BaselinePlan(min_positives=10), tmp_path / "work")
    truth = np.concatenate([shard.targets() for shard in data.shards("test")])
    auroc = {
        (name, h.key): roc_auc_score(truth[known, i] > 0.5, found[name].scores[known, i])
        for name in GROUPS
        for i, h in enumerate(data.heads)
        for known in [np.isfinite(truth[:, i])]
        if h.kind == "probability" and not found[name].why[i] and 0 < np.nanmean(truth[:, i]) < 1
    }
    text = json.dumps({"/".join(k): round(v, 3) for k, v in auroc.items()})
    for key in ("calcium_low", "potassium_low", "potassium_high", "hemoglobin_low"):
        assert auroc["intervals", key] > 0.65, text
        assert auroc["intervals", key] > auroc["demographics", key] + 0.05, text
    # About forty positives: chance alone changes an AUROC by 0.05.
    for key in ("sodium_low", "sodium_high"):
        assert 0.35 < auroc["intervals", key] < 0.65, text
