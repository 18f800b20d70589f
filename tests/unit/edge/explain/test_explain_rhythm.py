"""``anyecg explain`` of outputs that abstain by rhythm: not explained, and by the rule of the engine."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.bench.ecg import plain_session
from edge.bundle.reader import Bundle, load_bundle
from edge.cli.explain import _read
from edge.cli.main import main
from edge.engine import Engine
from edge.explain.reasons import Explainer
from edge.model import Model, load_model
from edge.sources import open_source
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from helpers.edited_bundles import edit

FS_HZ = 250.0
TALL_T = EcgParams(t_mv=0.7, t_ms=110.0)
AF = EcgParams(af=True, f_wave_mv=0.04)
SILENT = "potassium_high"
URL = "sim:?speed=max&seed=3&seconds=30&t_mv=0.7&t_ms=110"


def limited(folder: Path, rhythms: tuple[str, ...], keys: tuple[str, ...] = (SILENT,)) -> Path:
    """Copy the demonstration bundle with outputs that answer in some rhythms only."""
    shutil.copytree(load_bundle("demo").path, folder)

    def change(manifest: dict[str, list[dict[str, object]]]) -> None:
        for output in manifest["outputs"]:
            if output["key"] in keys:
                output["rhythms"] = list(rhythms)

    edit(folder, change)
    return folder


@pytest.fixture(scope="module")
def paced_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose output for high potassium answers for a pacemaker only."""
    return limited(tmp_path_factory.mktemp("bundles") / "b", ("paced",))


@pytest.fixture(scope="module")
def sinus_only(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(limited(tmp_path_factory.mktemp("bundles") / "b", ("sinus",)))


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(load_bundle("demo"))


def test_an_output_that_abstains_is_not_explained(paced_only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "demo", URL]) == 0
    plain = capsys.readouterr().out.splitlines()
    assert any(line.startswith("FLAG Potassium above 5.0 mmol/L: ") for line in plain)
    assert main(["explain", str(paced_only), URL]) == 0
    told = capsys.readouterr().out.splitlines()
    (line,) = [line for line in told if "Potassium above 5.0 mmol/L" in line]
    assert line == "     Potassium above 5.0 mmol/L: abstains, not validated for this rhythm"
    others = [line for line in plain if "Potassium above 5.0 mmol/L" not in line]
    assert [one for one in told if one != line] == others


def test_the_facts_have_no_value_and_say_why(paced_only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(paced_only), URL, "--json"]) == 0
    outputs = {one["key"]: one for one in json.loads(capsys.readouterr().out)["outputs"]}
    silent = outputs[SILENT]
    assert silent["abstained"] == {"reason": "rhythm"}
    assert (silent["value"], silent["flagged"], silent["effect"]) == (None, None, None)
    assert (silent["parts"], silent["shares"], silent["looks"]) == ({}, {}, {})
    assert silent.keys() - {"abstained"} == outputs["potassium_low"].keys()
    assert sum("abstained" in one for one in outputs.values()) == 1


def test_the_picture_colours_nothing_of_it(
    paced_only: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "Average beat of this person: not validated for this rhythm"
    alone, any_output = tmp_path / "alone.svg", tmp_path / "any.svg"
    assert main(["explain", str(paced_only), URL, "--head", SILENT, "--picture", str(alone)]) == 0
    assert said in alone.read_text()
    assert "%" not in alone.read_text()
    assert main(["explain", str(paced_only), URL, "--picture", str(any_output)]) == 0
    assert "Potassium above" not in any_output.read_text()
    assert said not in any_output.read_text()


def write_recording(path: Path, *parts: tuple[EcgParams, float]) -> Path:
    ecg_mv = np.concatenate([EcgSynth(p, 3).generate(round(seconds * FS_HZ), FS_HZ) for p, seconds in parts])
    path.write_text("\n".join(["ecg_mv", *(f"{v:.4f}" for v in ecg_mv), ""]))
    return path


@pytest.mark.parametrize(
    ("parts", "minutes", "silent"),
    [
        (((TALL_T, 40.0),), 5.0, False),
        (((AF, 40.0),), 5.0, True),
        (((TALL_T, 60.0), (AF, 12.0)), 5.0, False),
        (((TALL_T, 60.0), (AF, 30.0)), 5.0, True),
        (((AF, 10.5),), 5.0, True),
        # Windows that left the average no longer count.
        (((AF, 30.0), (TALL_T, 60.0)), 5.0, True),
        (((AF, 30.0), (TALL_T, 60.0)), 0.5, False),
        # After two minutes of sinus rhythm nothing more is explained.
        (((TALL_T, 130.0), (AF, 60.0)), 5.0, False),
    ],
)
def test_the_rule_is_that_of_a_run_over_the_same_windows(
    parts: tuple[tuple[EcgParams, float], ...],
    minutes: float,
    silent: bool,
    sinus_only: Bundle,
    model: Model,
    tmp_path: Path,
) -> None:
    bundle = replace(sinus_only, manifest=replace(sinus_only.manifest, aggregation_minutes=minutes))
    path = write_recording(tmp_path / "a.csv", *parts)
    url = f"replay:{path}?fs=250&speed=max"
    explainer = Explainer(bundle, model)
    found = asyncio.run(_read(open_source(url), bundle, explainer))
    assert found == (frozenset({SILENT}) if silent else frozenset())

    engine = Engine(bundle, model, plain_session())
    estimates = []

    async def run() -> None:
        source = open_source(url)
        async for item in source.items():
            estimates.extend(engine.push(item).estimates)
        await source.close()
        estimates.extend(engine.finish().estimates)

    asyncio.run(run())
    answered = [e for e in estimates if e.labs and e.window.end_s < 122.0]
    assert {lab.key for lab in answered[-1].labs if lab.abstained == "rhythm"} == found
