"""Calibration on held-out patients: better probabilities, the same numbers on the device, refusals."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from calibration.validate.recalibrate import Scores, Wanted, calibrate_heads
from convert.datasets.pairs import find_recordings
from convert.simulate.recordings import simulated_patients
from convert.stats.decide import Rule, abstention
from convert.stats.method_names import METHODS
from convert.stats.methods import Curve, choose, fit, folds
from convert.stats.metrics import calibration_error
from convert.teacher.patients import FILE, hashes, patients_file, read_patients
from edge.bundle.calibration import parse_calibration
from edge.bundle.reader import Bundle, load_bundle
from edge.cli.main import main
from edge.estimate import Estimator
from edge.stats import sigmoid
from firmware_bridge.errors import BundleError, UsageError


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo")


def patients(n: int, seed: int, bend: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of an overconfident, biased model, the true labels, and the patients, some of them twice."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0.0, 1.0, n)
    p = sigmoid(1.2 * z - 1.0)
    if bend == "curved":
        p = np.clip(0.02 + 0.6 * (z > -0.5) * (z + 0.5) / 3.0, 0.0, 0.9)
    logits = np.round((3.0 * z + 1.5) * 8.0) / 8.0
    return logits, rng.random(n) < p, np.arange(n) * 3 // 4


@pytest.mark.parametrize("bend", ["straight", "curved"])
def test_a_miscalibrated_head_is_corrected_on_held_out_patients(bend: str) -> None:
    logits, labels, patient = patients(3000, 1, bend)
    found = choose(logits, labels, patient, before=Curve("none"))
    fresh, truth, _ = patients(12000, 2, bend)
    assert calibration_error(sigmoid(fresh), truth) > 0.2
    assert calibration_error(found.curve.probability(fresh), truth) <= 0.03
    assert found.curve.method in ({"platt"} if bend == "straight" else {"isotonic", "platt"})
    assert found.losses[found.curve.method] < found.losses["before"]


def test_a_calibrated_head_stays_calibrated_and_is_often_kept() -> None:
    kept = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        z = rng.normal(0.0, 1.5, 1000)
        found = choose(z, rng.random(1000) < sigmoid(z), np.arange(1000), before=Curve("platt", 1.0, 0.0))
        kept += found.kept
        grid = np.linspace(-3, 3, 50)
        assert np.max(np.abs(found.curve.probability(grid) - sigmoid(grid))) < 0.08
    assert kept >= 5


def test_folds_hold_whole_patients_and_both_classes() -> None:
    _, labels, patient = patients(300, 3, "straight")
    fold = folds(patient, labels, 0)
    assert all(len(set(fold[patient == p])) == 1 for p in np.unique(patient))
    assert all(labels[fold == k].any() and (~labels[fold == k]).any() for k in range(5))


def test_the_isotonic_curve_agrees_with_scikit_learn_and_is_monotonic() -> None:
    logits, labels, _ = patients(4000, 4, "curved")
    curve = fit("isotonic", logits, labels)
    grid = np.linspace(-6, 8, 500)
    assert (np.diff(curve.probability(grid)) >= 0).all()
    reference = IsotonicRegression(out_of_bounds="clip").fit(logits, labels).predict(grid)
    assert np.mean(np.abs(curve.probability(grid) - reference)) < 0.03
    assert 0.0 < curve.y[0] <= curve.y[-1] < 1.0


@pytest.mark.parametrize("method", METHODS)
def test_device_and_host_give_the_same_probabilities(bundle: Bundle, method: str) -> None:
    logits, labels, _ = patients(800, 6, "curved")
    entries = {}
    for h in bundle.manifest.outputs:
        entry = {"method": "linear", "slope": 1.0, "intercept": 0.0}
        if h.kind == "probability":
            entry = fit(method, logits + 0.1 * h.index, labels).entry()
        entries[h.key] = {**entry, "threshold": 0.3, "interval": {"method": "logit_sd", "sd": 0.4}}
    text = json.dumps({"schema": "anyecg.calibration/1", "heads": entries})
    calibration = parse_calibration(json.loads(text), bundle.manifest.outputs)
    estimator = Estimator(dataclasses.replace(bundle, calibration=calibration))
    rng = np.random.default_rng(7)
    seen, weights = rng.integers(-100, 100, (5, 12)).astype(np.int8), np.array([0.25, 0.5, 1.0, 0.75, 0.5])
    for k in range(5):
        estimator.add(10.0 + k, seen[k], float(weights[k]))
        mean = weights[: k + 1] @ (seen[: k + 1] * bundle.manifest.output.scale) / weights[: k + 1].sum()
        for head, lab in zip(bundle.manifest.outputs, estimator.labs(), strict=True):
            if head.kind == "probability":
                raw = np.array([mean[head.index]])
                host = fit(method, logits + 0.1 * head.index, labels).probability(raw)[0]
                assert lab.value == pytest.approx(host, abs=1e-6)
                assert lab.interval[0] <= lab.value <= lab.interval[1]


def test_between_the_bounds_no_flag_is_raised_or_cleared(bundle: Bundle) -> None:
    head = next(h for h in bundle.manifest.outputs if h.evidence.tier == "strong")
    changed = dataclasses.replace(
        bundle.calibration[head.key], slope=1.0, offset=0.0, threshold=0.5, abstain=(0.4, 0.6), method="platt"
    )
    estimator = Estimator(dataclasses.replace(bundle, calibration={**bundle.calibration, head.key: changed}))
    found = {}
    for k, value in enumerate((-8, 0, 8)):
        estimator.add(1000.0 * k, np.full(12, value, np.int8), 1.0)
        found[value] = {lab.key: lab.flag for lab in estimator.labs()}[head.key]
    assert found == {-8: False, 0: None, 8: True}


def test_abstention_covers_each_class_of_new_patients_as_stated() -> None:
    wrong = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        z = rng.normal(0.0, 1.5, 600)
        y = rng.random(600) < sigmoid(z - 1.0)
        low, high = abstention(sigmoid(z), y, 0.9, Rule().threshold(sigmoid(z), y))
        new = rng.normal(0.0, 1.5, 4000)
        truth = rng.random(4000) < sigmoid(new - 1.0)
        p = sigmoid(new)
        wrong.append((np.mean(p[truth] < low), np.mean(p[~truth] >= high), np.mean((p >= low) & (p < high))))
    cleared, flagged, undecided = np.mean(wrong, axis=0)
    assert cleared <= 0.105
    assert flagged <= 0.105
    assert 0.1 < undecided < 0.8


def test_a_separating_head_has_no_band_and_too_few_patients_give_the_widest_band() -> None:
    p, y = np.concatenate((np.linspace(0.01, 0.2, 50), np.linspace(0.8, 0.99, 50))), np.repeat([False, True], 50)
    low, high = abstention(p, y, 0.9, 0.5)
    assert low == high == 0.5
    assert abstention(p[:53], y[:53], 0.9, None)[0] == 0.0


def test_thresholds_reach_their_targets() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(500)
    y = rng.random(500) < p
    cut = Rule.parse("sensitivity=0.9").threshold(p, y)
    assert np.mean(p[y] >= cut) >= 0.9 > np.mean(p[y] > cut)
    cut = Rule.parse("ppv=0.8").threshold(p, y)
    assert np.mean(y[p >= cut]) >= 0.8
    assert Rule.parse("ppv=0.999").threshold(p, np.arange(500) % 2 == 0) is None
    for text in ("sensitivity", "ppv=2", "recall=0.5", "ppv=nan"):
        with pytest.raises(UsageError, match="threshold rule"):
            Rule.parse(text)


def test_a_head_without_positives_stays_unchanged_with_a_reason(bundle: Bundle) -> None:
    n, heads = 60, len(bundle.manifest.outputs)
    truth = np.zeros((n, heads))
    truth[:, 1] = np.nan
    truth[: n // 2, 2] = 1.0
    raw = np.random.default_rng(0).normal(0, 1, (n, heads))
    entries = {
        h.key: {"method": "none", "threshold": None, "interval": {"method": "none"}} for h in bundle.manifest.outputs
    }
    made, said = calibrate_heads(bundle, entries, Scores(raw, truth, np.arange(n)), Wanted())
    keys = [h.key for h in bundle.manifest.outputs]
    assert said[keys[0]]["left"] == "0 positive and 60 negative patients; at least 10 of each are needed"
    assert said[keys[1]]["left"].startswith("no results")
    assert made[keys[0]] == entries[keys[0]]
    assert "left" not in said[keys[2]]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"method": "isotonic", "x": [0.0], "y": [0.1]}, "increasing logits"),
        ({"method": "isotonic", "x": [0.0, 0.0], "y": [0.1, 0.2]}, "increasing logits"),
        ({"method": "isotonic", "x": [0.0, 1.0], "y": [0.3, 0.2]}, "none below the one before"),
        ({"method": "isotonic", "x": [0.0, 1.0], "y": [0.3, 1.2]}, "none below the one before"),
        ({"method": "isotonic", "x": [0.0, 1.0]}, "'y' is missing"),
        ({"method": "isotonic", "x": list(range(100)), "y": list(range(100))}, "at most 64"),
        ({"method": "none", "abstain": {"low": 0.6, "high": 0.5}}, "two probabilities"),
        ({"method": "none", "abstain": {"low": 0.6}}, "'high' is missing"),
    ],
)
def test_an_invalid_calibration_is_refused_and_its_place_named(
    bundle: Bundle, entry: dict[str, object], said: str
) -> None:
    heads = [h for h in bundle.manifest.outputs if h.kind == "probability"][:1]
    raw = {"schema": "anyecg.calibration/1", "heads": {heads[0].key: {**entry, "interval": {"method": "none"}}}}
    with pytest.raises(BundleError, match=said):
        parse_calibration(raw, heads)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "cohort"
    assert (
        main(["simulate", "--patients", "120", "--seed", "4242", "--seconds", "20", "--out", str(out), "--quiet"]) == 0
    )
    return out


def test_the_command_writes_a_bundle_that_runs(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["calibrate", "probability", "demo", "--data", str(cohort), "--split", "all", "--quiet", "--jobs", "1"]
    out = tmp_path / "b2"
    assert main([*words, "--out", str(out), "--abstain", "0.8"]) == 0
    shown = capsys.readouterr()
    assert "positives" not in shown.err
    assert "ECE before" in shown.out
    made = load_bundle(out)
    assert any(c.abstain is not None for c in made.calibration.values())
    report = json.loads((out / "validation/probability.json").read_text())
    assert report["split"] == "all"
    assert "## Recalibration" in (out / "MODEL_CARD.md").read_text()
    assert main(["bundle", "verify", str(out)]) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["calibrated"]["patients"] == report["patients"]


def test_training_patients_are_refused(cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "trained"
    shutil.copytree(load_bundle("demo").path, folder)
    some = simulated_patients(4242, [3, 900], 10.0)
    data = patients_file({"train": hashes(some), "test": frozenset()})
    (folder / "validation").mkdir(exist_ok=True)
    (folder / FILE).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    import hashlib

    manifest["files"][FILE] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    words = ["calibrate", "probability", str(folder), "--data", str(cohort), "--split", "all", "--quiet"]
    assert main(words) == 3
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 1
    assert "1 of the" in err[0]
    assert "trained this bundle" in err[0]


def test_a_patient_has_the_same_hash_on_disk_and_in_memory(cohort: Path) -> None:
    on_disk = hashes(find_recordings(cohort))
    in_memory = hashes(simulated_patients(4242, range(120), 120.0))
    assert on_disk <= in_memory
    assert len(on_disk) > 100
    assert not on_disk & hashes(simulated_patients(4243, range(120), 120.0))


def test_the_list_of_patients_round_trips_and_an_invalid_one_is_refused(tmp_path: Path) -> None:
    assert read_patients(tmp_path) is None
    found = hashes(simulated_patients(1, range(5), 10.0))
    (tmp_path / "validation").mkdir()
    (tmp_path / FILE).write_bytes(patients_file({"train": found}))
    assert read_patients(tmp_path) == {"train": found}
    for text in ("{", "[]", '{"schema": "x", "hash_bytes": 6}', '{"schema": "anyecg.patients/1", "hash_bytes": 6}'):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(BundleError):
            read_patients(tmp_path)


def test_errors_are_one_line_with_their_exit_code(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["calibrate", "probability"]
    out = ["--out", str(tmp_path / "b"), "--quiet", "--data"]
    for code, words, said in (
        (2, ["demo", "--data", str(cohort)], "--out BUNDLE2"),
        (2, ["demo", *out, str(cohort), "--methods", "magic"], "use none, temperature"),
        (2, ["demo", *out, str(cohort), "--threshold", "best"], "threshold rule"),
        (3, ["demo", *out, str(tmp_path / "nowhere")], "no data folder"),
        (3, ["demo", *out, str(cohort), "--split", "all", "--limit", "8"], "could be calibrated"),
        (4, [str(tmp_path / "none"), *out, str(cohort)], "no bundle at"),
    ):
        assert main([*base, *words]) == code
        err = [line for line in capsys.readouterr().err.strip().splitlines() if not line.startswith("note")]
        assert len(err) == 1
        assert said in err[0]
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_head_of_the_demonstration_is_calibrated_on_new_patients(tmp_path: Path) -> None:
    """Fit on 2500 patients and judge on 4000 others; with fewer, fifteen bins show an error by chance."""
    from calibration.validate.labelled import heads_of, labels_for, open_labelled
    from calibration.validate.observe import observe
    from calibration.validate.recalibrate import scores_of
    from edge.model import load_model

    for name, seed, n in (("fit", 770_001, 2500), ("judge", 770_002, 4000)):
        words = ["simulate", "--patients", str(n), "--seed", str(seed), "--seconds", "20", "--quiet"]
        assert main([*words, "--out", str(tmp_path / name)]) == 0
    words = ["calibrate", "probability", "demo", "--data", str(tmp_path / "fit"), "--split", "all", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "b")]) == 0
    made = load_bundle(tmp_path / "b")
    data = open_labelled(tmp_path / "judge", "all")
    seen = observe(made, load_model(made), ((i, r.name, r.items()) for i, r in enumerate(data.recordings)), 5.0)
    truth = labels_for(data, heads_of(made), seen.est_recording, seen.est_start_s)
    assert scores_of(made, data, seen).truth.shape == truth.shape
    errors = {}
    for j, head in enumerate(made.manifest.outputs):
        known = ~np.isnan(truth[:, j])
        if head.kind == "probability":
            errors[head.key] = calibration_error(seen.est_value[known, j], truth[known, j] > 0.5)
            print(f"{head.key:<20} ECE {errors[head.key]:.4f} on {known.sum()} estimates")
    assert max(errors.values()) <= 0.03, errors
