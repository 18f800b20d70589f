"""The protocol of SignalMC-MED: linear models equal scikit-learn's pipelines, pieces and means by hand, the table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from calibration.evaluate.teacher import TeacherOptions, open_teacher
from calibration.protocols.linear import ALPHAS, STRENGTHS, fit_logistic, fit_ridge, pearson, standard
from calibration.protocols.pieces import PIECES, features_of_model, first_pieces, read_visits
from calibration.protocols.signalmcmed import SHARES, SignalPlan, signal_text, signalmcmed
from convert.datasets.prepared import PreparedDataset
from convert.stats.metrics import auroc
from edge.cli.main import main
from firmware_bridge.errors import UsageError
from helpers.small_evaluation import small_root


def data(seed: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) * rng.uniform(0.1, 20.0, d) + rng.normal(0.0, 50.0, d)
    return x, (x - x.mean(axis=0)) / x.std(axis=0) @ rng.standard_normal(d) / np.sqrt(d) + rng.standard_normal(n) + 4.0


@pytest.mark.parametrize(("n", "d"), [(120, 10), (40, 90)])
def test_ridge_equals_the_pipeline_of_scikit_learn(n: int, d: int) -> None:
    x, y = data(0, n + 100, d)
    train, val, test = slice(0, n), slice(n, n + 50), slice(n + 50, n + 100)
    found = fit_ridge(x[train], y[train], x[val], y[val], x[test])
    best = max(
        (pearson(make_pipeline(StandardScaler(), Ridge(a)).fit(x[train], y[train]).predict(x[val]), y[val]), a)
        for a in ALPHAS
    )
    assert found.validation == pytest.approx(best[0], abs=1e-8)
    assert found.penalty == pytest.approx(best[1])
    theirs = make_pipeline(StandardScaler(), Ridge(best[1])).fit(x[train], y[train]).predict(x[test])
    assert found.scores == pytest.approx(theirs, abs=1e-6)
    assert len(ALPHAS) == 31
    assert (ALPHAS[0], ALPHAS[-1]) == pytest.approx((1e-6, 1e6))


def test_logistic_equals_the_pipeline_of_scikit_learn() -> None:
    x, y = data(1, 300, 8)
    ill = y > np.median(y)
    train, val, test = slice(0, 150), slice(150, 220), slice(220, 300)
    found = fit_logistic(x[train], ill[train], x[val], ill[val], x[test])
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=found.penalty, max_iter=1000, tol=1e-8))
    scores = theirs.fit(x[train], ill[train]).decision_function(x[test])
    assert auroc(found.scores, ill[test]) == pytest.approx(auroc(scores, ill[test]), abs=0.002)
    assert pearson(found.scores, scores) > 0.9999
    areas = []
    for c in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000, tol=1e-8))
        areas.append(auroc(model.fit(x[train], ill[train]).decision_function(x[val]), ill[val]))
    assert found.validation == pytest.approx(max(areas), abs=0.002)
    assert len(STRENGTHS) == 25


def test_missing_and_constant_features_change_nothing() -> None:
    x, _ = data(2, 50, 3)
    x = np.column_stack((x, np.full(50, 7.0)))
    x[3, 0] = np.nan
    scale = standard(x)
    z = scale(x)
    assert np.isfinite(z).all()
    assert z[3, 0] == pytest.approx(0.0, abs=1e-12)
    assert (z[:, 3] == 0.0).all()
    assert scale(np.full((1, 4), np.nan))[0] == pytest.approx(np.zeros(4), abs=1e-12)


def test_the_first_ten_minutes_of_each_visit() -> None:
    visit = np.repeat([5, 3], 70)
    start = np.concatenate((np.arange(70)[::-1], np.arange(70))) * 10.0
    rows = first_pieces(visit, start)
    assert len(rows) == 2 * PIECES
    assert start[rows].max() == 590.0
    assert visit[rows[:PIECES]].tolist() == [3] * PIECES


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return small_root(tmp_path_factory)


def test_features_are_those_before_the_last_layer(root, tmp_path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from convert.teacher.open import read_kept

    teacher = open_teacher(root / "teacher", TeacherOptions())
    spec = teacher.spec(tmp_path)
    segment = next(PreparedDataset(root / "data").shards("test")).segments(slice(0, 1))[0]
    found = features_of_model(spec)(segment)
    plain = Interpreter(model_content=read_kept(spec.model))
    plain.allocate_tensors()
    plain.set_tensor(plain.get_input_details()[0]["index"], segment.reshape(1, -1, 1))
    plain.invoke()
    features = plain.get_tensor(plain.get_output_details()[1]["index"]).reshape(-1)
    assert found == pytest.approx(features, abs=1e-4)


def test_means_and_labels_of_visits(root, tmp_path) -> None:
    prepared = PreparedDataset(root / "data")
    spec = open_teacher(root / "teacher", TeacherOptions()).spec(tmp_path)
    found = read_visits(prepared, "test", spec, tmp_path, 1, None)
    shard = next(prepared.shards("test"))
    at = np.flatnonzero(shard.visit == shard.visit[0])
    run = features_of_model(spec)
    mine = list(found.visit).index(shard.visit[0])
    assert found.network[mine] == pytest.approx(np.mean([run(s) for s in shard.segments(at)], axis=0))
    assert found.pieces[mine] == len(at)
    order = at[np.argsort(shard.start_s[at])]
    for j, head in enumerate(prepared.heads):
        if head.kind == "probability":
            known = [x for x in shard.targets()[order, j] if np.isfinite(x)]
            assert (np.isnan(found.truth[mine, j]) and not known) or found.truth[mine, j] == known[0]


def test_a_short_plan_gives_the_same_numbers_twice(root, tmp_path) -> None:
    prepared, teacher = PreparedDataset(root / "data"), open_teacher(root / "teacher", TeacherOptions())
    plan = SignalPlan(shares=(1.0, 0.5), runs=1)
    found = [signalmcmed(prepared, teacher, tmp_path, plan, None) for _ in range(2)]
    assert found[0] == found[1]
    assert {h["key"] for h in found[0]["heads"]} == {h.key for h in prepared.heads}
    table = signal_text(found[0])
    assert "not prepared with '--split chrono'" in table
    assert "cannot be compared with the published table" in table


@pytest.mark.slow
def test_the_report_has_every_number_of_the_table(root, tmp_path, capsys) -> None:
    out = tmp_path / "protocol"
    argv = ["evaluate", str(root / "teacher"), "--data", str(root / "data"), "--out", str(out), "--quiet"]
    assert main([*argv, "--jobs", "1", "--protocol", "signalmcmed"]) == 0
    text = capsys.readouterr().out
    report = json.loads((out / "signalmcmed.json").read_text())
    assert report["shares"] == list(SHARES)
    assert "5 draws" in text
    assert {h["key"] for h in report["heads"]} == {h.key for h in PreparedDataset(root / "data").heads}
    fitted = 0
    for head in report["heads"]:
        assert head["measure"] == ("Pearson" if head["kind"] == "value" else "AUROC")
        for kind in ("waves", "network", "both"):
            cells = head["features"][kind]
            assert [c["share"] for c in cells] == list(SHARES)
            assert [len(c["scores"]) for c in cells] == [1, 5, 5, 5, 5, 5]
            fitted += sum(c["mean"] is not None for c in cells)
    assert fitted > 20
    again = signalmcmed(
        PreparedDataset(root / "data"),
        open_teacher(root / "teacher", TeacherOptions()),
        out / "work",
        SignalPlan(),
        None,
    )
    assert again["heads"] == report["heads"]


def test_options_of_the_other_protocol_are_refused(root, tmp_path) -> None:
    from calibration.cli.evaluate import main as evaluate

    argv = [str(root / "teacher"), "--data", str(root / "data"), "--out", str(tmp_path), "--protocol", "signalmcmed"]
    with pytest.raises(UsageError, match="for the protocol 'segments'"):
        evaluate([*argv, "--split", "val"])
