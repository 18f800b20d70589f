"""The bundle in the package, and the code that computes its numbers."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.bundle.card import output_row
from convert.bundle.writer import NOTICE
from convert.compute.progress import Progress
from convert.compute.students import ALLOWED_OPS, PRESETS
from convert.demo.card import model_card
from convert.demo.data import claim, split
from convert.demo.heads import DEMO_LABS, VALUE_CENTRE, VALUE_SCALE, demo_heads, limit_of, targets
from edge.bundle.reader import demo_bundle_path, load_bundle
from edge.model import load_model
from edge.self_test import self_test
from firmware_bridge.errors import InputError, OutputError, UsageError

pytest.importorskip("tensorflow", reason="the convert extra is not installed")

from convert.demo.run import VERSION, DemoConfig
from convert.distil.assemble import PARITY_WINDOWS
from convert.distil.report import report_markdown
from convert.stats.bounds import p_value
from convert.stats.evidence import evidence_level
from convert.stats.metrics import Score
from convert.stats.multiplicity import ALPHA, holm

FOLDER = demo_bundle_path()


@pytest.fixture(scope="module")
def manifest():
    return json.loads((FOLDER / "manifest.json").read_text())


@pytest.fixture(scope="module")
def report():
    return json.loads((FOLDER / "validation/report.json").read_text())


@pytest.mark.parametrize("backend", ["litert", "litert-reference", "tflm"])
def test_golden_windows_give_the_same_everywhere(backend):
    if backend == "tflm":
        pytest.importorskip("tflite_micro", reason="the micro extra is not installed")
    bundle = load_bundle("demo")
    assert len(bundle.golden_inputs) == 8
    assert len(np.unique(bundle.golden_outputs, axis=0)) > 1
    worst = self_test(bundle, load_model(bundle, backend)).worst
    assert worst <= (1 if backend == "litert" else 0)


def test_it_meets_the_limits_of_its_tier(manifest, report):
    spec = PRESETS[report["preset"]]
    assert manifest["tier"] == "micro"
    size = (FOLDER / "model.tflite").stat().st_size
    assert size == manifest["budgets"]["flash_bytes"] <= min(spec.flash_limit_bytes, 128 * 1024)
    assert manifest["budgets"]["arena_bytes"] <= min(spec.arena_limit_bytes, 48 * 1024)
    assert set(report["operations"]) <= ALLOWED_OPS
    assert report["parity"]["windows"] == PARITY_WINDOWS
    assert report["parity"]["tflm"]["max_lsb"] == 0


def test_the_arena_matches_the_real_interpreter(manifest):
    runtime = pytest.importorskip("tflite_micro", reason="the micro extra is not installed").runtime
    model = (FOLDER / "model.tflite").read_bytes()
    arena = manifest["budgets"]["arena_bytes"]
    runtime.Interpreter.from_bytes(model, arena_size=arena)
    with pytest.raises(RuntimeError):
        runtime.Interpreter.from_bytes(model, arena_size=arena - 1024)


def test_it_covers_the_required_labs(manifest):
    keys = {o["key"] for o in manifest["outputs"]}
    assert keys >= {
        "potassium_low", "potassium_high", "calcium_low", "calcium_high", "magnesium_low", "glucose_low",
        "hemoglobin_low", "free_t4_high", "sodium_low", "sodium_high", "potassium",
    }  # fmt: skip
    assert set(json.loads((FOLDER / "calibration.json").read_text())["heads"]) == keys


def test_codes_are_those_of_the_laboratory_table(manifest, shared_dir):
    import csv

    with (shared_dir / "labs.csv").open() as file:
        table = {row["key"]: row for row in csv.DictReader(file)}
    for output in manifest["outputs"]:
        assert output["loinc"] == table[output["lab"]]["loinc"]
        assert output["unit"] == ("1" if output["kind"] == "probability" else table[output["lab"]]["unit_ucum"])


def figures(text: str) -> tuple[list[str], list[str]]:
    """Return the table rows with figures, and all figures of the text, sorted."""
    rows = [line for line in text.splitlines() if line.startswith("|") and re.search(r"\d", line)]
    return rows, sorted(re.findall(r"\d+(?:\.\d+)*", text))


def test_the_card_has_the_figures_of_the_manifest(manifest, report):
    """The shipped texts have the figures of the code; the wording may be that of an older version."""
    card = (FOLDER / "MODEL_CARD.md").read_text()
    assert manifest["version"] == VERSION
    assert figures(card) == figures(model_card(manifest, report))
    for output in manifest["outputs"]:
        assert output_row(output) in card
        assert report["heads"][output["key"]]["evidence"] == output["evidence"]
    assert re.search(r"\*\*Not for (medical use|people's health)\.\*\*", card)
    assert figures((FOLDER / "validation/report.md").read_text()) == figures(report_markdown(report))


def test_every_probability_has_evidence_from_held_out_patients(manifest, report):
    parts = report["split"]
    assert parts["train"] + parts["validation"] + parts["calibration"] + parts["test"] == parts["patients"]
    for output in manifest["outputs"]:
        e = output["evidence"]
        assert e["n"] == parts["test"]
        if output["kind"] == "probability":
            assert e["ci"][0] <= e["auroc"] <= e["ci"][1]
            assert e["tier"] == (evidence_level(e["auroc"]) or "limited")
    assert manifest["notice"] == NOTICE


def test_potassium_is_found_and_the_negative_control_is_not(report):
    heads = report["heads"]
    for key in ("potassium_low", "potassium_high"):
        assert 0.75 <= heads[key]["evidence"]["auroc"] <= 0.95
    p = []
    for key in ("sodium_low", "sodium_high"):
        evidence = heads[key]["evidence"]
        assert evidence["ci"][0] <= 0.5  # more would show a leak
        p.append(p_value(Score(evidence["auroc"], *evidence["ci"]), 0.5, math.inf, "logit"))
    # Of two intervals of 95 % one misses 0.5 by chance in a tenth of all trainings.
    assert holm(p).min() > ALPHA, p
    assert heads["potassium"]["evidence"]["mae"] < heads["potassium"]["mae_of_the_mean"]


def test_no_patient_is_in_two_parts_of_the_split():
    parts = split(1000, 3)
    joined = np.concatenate(list(parts.values()))
    assert sorted(joined) == list(range(1000))
    assert set(parts) == {"train", "validation", "calibration", "test"}
    assert not np.array_equal(parts["test"], split(1000, 4)["test"])


def test_targets_respect_limits_and_missing_values():
    heads = demo_heads()
    labs = {lab: np.array([np.nan, 0.1, 1e4]) for lab, _ in DEMO_LABS}
    y = targets(heads, labs)
    for i, head in enumerate(heads):
        assert np.isnan(y[0, i])
        if head.kind == "probability":
            assert list(y[1:, i]) == ([1.0, 0.0] if head.direction == "low" else [0.0, 1.0])
    value = [h.key for h in heads].index("potassium")
    expected = np.float32((0.1 - VALUE_CENTRE["potassium"]) / VALUE_SCALE["potassium"])
    assert y[1, value] == expected


@given(st.floats(0, 1))
def test_evidence_levels_are_those_of_the_paper(area):
    assert evidence_level(area) == ("strong" if area > 0.65 else "limited" if area < 0.55 else "moderate")


def test_a_work_folder_never_mixes_two_runs(tmp_path):
    claim(tmp_path, {"a": 1})
    claim(tmp_path, {"a": 1})
    with pytest.raises(UsageError, match="another run"):
        claim(tmp_path, {"a": 2})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"not an archive at all"])
def test_damaged_intermediate_files_are_named(tmp_path, content):
    pytest.importorskip("scipy", reason="the convert extra is not installed")
    from convert.compute.training import load_state
    from convert.demo.data import _read_shard

    path = tmp_path / "state.npz"
    path.write_bytes(content)
    for read in (load_state, _read_shard):
        with pytest.raises(InputError, match=r"state\.npz"):
            read(path)


def test_a_folder_with_other_files_is_refused_before_the_work(tmp_path):
    from convert.demo.run import train_demo

    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not a bundle"):
        train_demo(tmp_path, tmp_path / "w", DemoConfig(), None)


def test_a_work_folder_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot use"):
        claim(tmp_path / "file" / "w", {})


def test_too_few_patients_are_refused():
    with pytest.raises(UsageError, match="at least 100"):
        split(10, 1)


def test_a_head_and_its_limit():
    low, high, value = (
        next(h for h in demo_heads() if h.key == key) for key in ("calcium_low", "calcium_high", "potassium")
    )
    assert [limit_of(low, v) for v in (low.limit - 0.1, low.limit)] == [1.0, 0.0]
    assert [limit_of(high, v) for v in (high.limit + 0.1, high.limit)] == [1.0, 0.0]
    assert limit_of(value, 4.5) == 4.5


def test_the_command_in_the_card_gives_this_configuration():
    from convert.cli.train_demo import build_parser, config_of

    real = ((Path("ludb"), Path("my leads")), "I,II", 2, "LUDB, ODC-By 1.0")
    config = DemoConfig(123, 4, 20.0, "tiny", 2, 5, "nano", 2, 1, *real)
    assert config_of(build_parser().parse_args(shlex.split(config.command())[2:])) == config
    elsewhere = replace(config, imitate=(Path("/data/ludb"), Path("../my leads")))
    assert elsewhere.command() == config.command()
    assert DemoConfig().command() == f"anyecg train-demo --out DIR --patients {DemoConfig().patients} --seed 1"


def test_progress_shows_rate_and_time_left():
    import io

    stream = io.StringIO()
    bar = Progress("x", 10, "things", stream, done=5)
    bar.step(10)
    assert "10/10 things" in stream.getvalue()
    assert "0:00 left" in stream.getvalue()
    Progress("x", 10, "things", None).step(10)


def test_the_c_package_holds_the_arrays_of_the_command(tmp_path):
    """The shipped folder is covered by the hash in every estimate, so it keeps the sources of its release."""
    pytest.importorskip("tflite_micro", reason="the micro extra is not installed")
    from edge.cli.main import main

    shipped, out = FOLDER / "micro", tmp_path / "micro"
    # Bundles up to version 0.2.0 have the package for TensorFlow Lite Micro, later ones plain C99.
    plain = (shipped / "anyecg_network.c").is_file()
    assert main(["micro-package", "demo", "--runtime", "c99" if plain else "tflm", "--out", str(out)]) == 0
    arrays = ("anyecg_network.c",) if plain else ("anyecg_model.c", "anyecg_frontend.c")
    for name in (*arrays, "anyecg_golden.c"):
        assert (out / name).read_bytes() == (shipped / name).read_bytes()
    # Newer releases add arrays behind those of the shipped one.
    outputs = (shipped / "anyecg_outputs.c").read_bytes()
    assert (out / "anyecg_outputs.c").read_bytes().startswith(outputs)
