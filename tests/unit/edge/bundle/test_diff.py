"""``bundle diff`` names what changed between two bundles, and nothing else."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.agreement import agreement, golden_inputs
from edge.bundle.diff import Change, changes_between
from edge.bundle.reader import demo_bundle_path, load_bundle
from edge.cli.main import main
from firmware_bridge.errors import MissingExtraError

DEMO = json.loads((demo_bundle_path() / "manifest.json").read_text(encoding="utf-8"))

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_bundle_path(), tmp_path / "other"))


def edit(folder: Path, change: Edit, name: str = "manifest.json") -> None:
    path = folder / name
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    if name != "manifest.json":
        raw = path.read_bytes()
        entry = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
        edit(folder, lambda m: m["files"].__setitem__(name, entry))


def changes(other: Path) -> list[Change]:
    return [c for c in changes_between(load_bundle("demo"), load_bundle(other)) if c.section != "files"]


def test_a_bundle_equals_its_copy_and_another_form_of_the_same_json(other: Path) -> None:
    edit(other, lambda m: m.update(sorted(m.items(), reverse=True)))
    edit(other, lambda m: m.update(unknown=None))
    assert load_bundle(other).sha256 != load_bundle("demo").sha256
    assert changes_between(load_bundle("demo"), load_bundle(other)) == ()


def test_nan_in_an_unknown_key_equals_itself(other: Path) -> None:
    edit(other, lambda m: m.update(unknown=[math.nan]))
    assert changes_between(load_bundle(other), load_bundle(other)) == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.update(version="9"), Change("bundle", "", "version", DEMO["version"], "9")),
        (lambda m: m["teacher"].update(name="t"), Change("bundle", "", "teacher.name", DEMO["teacher"]["name"], "t")),
        (lambda m: m["outputs"][-1].update(unit="g/L"), Change("heads", "potassium", "unit", "mmol/L", "g/L")),
        (lambda m: m["outputs"][0].update(horizon_min=30), Change("heads", "potassium_low", "horizon_min", None, 30)),
        (
            lambda m: m["outputs"][0]["evidence"].update(ci=[0.5, 0.6]),
            Change("evidence", "potassium_low", "ci", DEMO["outputs"][0]["evidence"]["ci"], [0.5, 0.6]),
        ),
        (
            lambda m: m["budgets"].pop("arena_bytes"),
            Change("budgets", "", "budgets.arena_bytes", DEMO["budgets"]["arena_bytes"], None),
        ),
        (lambda m: m["aggregation"].update(minutes=2), Change("aggregation", "", "aggregation.minutes", 5.0, 2)),
        (
            lambda m: m.update(conversion={"form": "dynamic"}),
            Change("conversion", "", "conversion.form", None, "dynamic"),
        ),
        (lambda m: m["front_end"].update(window_s=9), Change("front end", "", "front_end.window_s", 10.0, 9)),
        (lambda m: m["input"].update(scale=0.0625000001), Change("tensors", "", "input.scale", 0.0625, 0.0625000001)),
        (lambda m: m.update(licence="X"), Change("bundle", "", "licence", "MIT", "X")),
        (lambda m: m.update(mine={"deep": [1]}), Change("other", "", "mine.deep", None, [1])),
    ],
)
def test_one_change_in_the_manifest_is_one_change(other: Path, change: Edit, expected: Change) -> None:
    edit(other, change)
    assert changes(other) == [expected]


def test_calibration_is_compared_by_head(other: Path) -> None:
    before = json.loads((other / "calibration.json").read_text())["heads"]["potassium_low"]
    edit(other, lambda c: c["heads"]["potassium_low"].update(a=2.0, threshold=None), "calibration.json")
    found = [c for c in changes(other) if c.section == "calibration"]
    assert found == [
        Change("calibration", "potassium_low", "a", before["a"], 2.0),
        Change("calibration", "potassium_low", "threshold", before["threshold"], None),
    ]


def test_a_removed_head_is_one_change_although_columns_follow(other: Path) -> None:
    removed = json.loads((other / "manifest.json").read_text())["outputs"][0]["key"]

    def remove(m: dict[str, Any]) -> None:
        del m["outputs"][0]
        for i, head in enumerate(m["outputs"]):
            head["index"] = i

    edit(other, remove)
    assert changes(other) == [Change("heads", removed, "present", True, False)]


def test_a_column_that_changes_without_the_order_is_named(other: Path) -> None:
    def swap(m: dict[str, Any]) -> None:
        m["outputs"][0]["index"], m["outputs"][1]["index"] = 1, 0

    edit(other, swap)
    assert [(c.subject, c.field, c.before, c.after) for c in changes(other)] == [
        ("potassium_low", "column", 0, 1),
        ("potassium_high", "column", 1, 0),
    ]


def test_a_moved_head_is_named_and_the_others_are_not(other: Path) -> None:
    def move(m: dict[str, Any]) -> None:
        m["outputs"].append(m["outputs"].pop(0))
        for i, head in enumerate(m["outputs"]):
            head["index"] = i

    edit(other, move)
    assert changes(other) == [Change("heads", "potassium_low", "position", 1, 12)]


def test_as_few_heads_as_possible_move() -> None:
    from edge.bundle.diff import _moved

    def fewest(order: tuple[str, ...]) -> int:
        runs = (kept for n in range(len(order), 0, -1) for kept in itertools.combinations(order, n))
        return len(order) - next(len(run) for run in runs if list(run) == sorted(run))

    names = list("abcdef")
    for order in random.Random(1).sample(list(itertools.permutations(names)), 60):
        moved = _moved(names, order)
        rest = [name for name in order if name not in moved]
        assert rest == sorted(rest)
        assert len(moved) == fewest(order)


def test_files_are_named(other: Path) -> None:
    edit(other, lambda m: m["files"].pop("validation/report.md"))
    (other / "validation" / "report.md").unlink()
    edit(other, lambda r: r.update(more=1), "validation/report.json")
    found = [c for c in changes_between(load_bundle("demo"), load_bundle(other)) if c.section == "files"]
    assert {(c.subject, c.field) for c in found} == {
        ("validation/report.md", "present"),
        ("validation/report.json", "sha256"),
        ("validation/report.json", "bytes"),
    }


def test_outputs_in_calibrated_units(other: Path) -> None:
    def shift(c: dict[str, Any]) -> None:
        c["heads"]["potassium"]["intercept"] += 0.5
        c["heads"]["potassium_low"]["threshold"] = 1e-6
        c["heads"]["potassium_high"]["a"] *= 0.5

    edit(other, shift, "calibration.json")
    a, b = load_bundle("demo"), load_bundle(other)
    inputs = golden_inputs(a, b)
    assert inputs is not None
    assert len(inputs[0]) == len(a.golden_inputs), "the shared golden windows count once"
    found = {h.key: h for h in agreement(a, b, inputs, "auto")}
    assert found["potassium"].mean == pytest.approx(0.5)
    assert found["potassium"].max == pytest.approx(0.5)
    assert found["potassium"].correlation == pytest.approx(1.0)
    assert found["potassium_low"].mean == 0.0
    assert 0 < found["potassium_low"].flags_changed <= len(a.golden_inputs)
    assert found["potassium_high"].mean is not None
    assert found["potassium_high"].mean > 0.0
    assert found["potassium_high"].correlation is not None
    assert 0.9 < found["potassium_high"].correlation < 1.0
    assert [h.key for h in found.values() if not h.equal] == ["potassium_low", "potassium_high", "potassium"]


def test_golden_windows_of_another_scale_are_converted(other: Path) -> None:
    a = load_bundle("demo")
    edit(other, lambda m: m["input"].update(scale=0.125, zero_point=3))
    b = load_bundle(other)
    inputs = golden_inputs(a, b)
    assert inputs is not None
    n = len(a.golden_inputs)
    assert len(inputs[0]) == len(inputs[1]) == 2 * n
    np.testing.assert_array_equal(inputs[1][0], np.rint(a.golden_inputs[0] / 2).astype(np.int8) + 3)
    wanted = np.clip((b.golden_inputs[0].astype(int) - 3) * 2, -128, 127)
    np.testing.assert_array_equal(inputs[0][n], wanted)


def test_the_command_says_equal_or_different(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "diff", "demo", str(other)]) == 0
    assert capsys.readouterr().out.endswith("outputs: 8 golden windows\n  all 12 heads equal\n\nequal\n")
    edit(other, lambda c: c["heads"]["potassium"].update(intercept=9.0), "calibration.json")
    assert main(["bundle", "diff", "demo", str(other)]) == 1
    text = capsys.readouterr().out
    assert "calibration\n  potassium: intercept " in text
    assert "files\n  calibration.json: " in text
    assert text.endswith("\ndifferent\n")


def test_the_json_of_the_command(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(other, lambda m: m.update(version="9"))
    assert main(["bundle", "diff", "demo", str(other), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "anyecg.bundle-diff/1"
    assert found["equal"] is False
    assert [found["a"]["version"], found["b"]["version"]] == [DEMO["version"], "9"]
    change = {"section": "bundle", "subject": "", "field": "version", "before": DEMO["version"], "after": "9"}
    assert found["changes"] == [change]
    assert found["outputs"]["windows"] == 8
    assert len(found["outputs"]["heads"]) == 12
    assert all(head["equal"] for head in found["outputs"]["heads"])


def test_bundles_without_a_common_head_are_still_compared(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calibration = json.loads((other / "calibration.json").read_text())

    def rename(m: dict[str, Any]) -> None:
        for head in m["outputs"]:
            head["key"] = f"new_{head['key']}"

    edit(other, rename)
    edit(other, lambda c: c.update(heads={f"new_{k}": v for k, v in calibration["heads"].items()}), "calibration.json")
    assert main(["bundle", "diff", "demo", str(other)]) == 1
    assert "outputs: not compared, because the bundles have no head in common" in capsys.readouterr().out


def test_recordings_instead_of_golden_windows(other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

    mv = EcgSynth(EcgParams(hr_bpm=70.0), 1).generate(30 * 250, 250.0)
    rows = "\n".join(f"{i / 250:.3f},{v:.4f}" for i, v in enumerate(mv))
    (tmp_path / "ecg.csv").write_text(f"time_s,ecg_mv\n{rows}\n")
    bare = "\n".join(str(round(v * 1000)) for v in mv)
    (tmp_path / "bare.csv").write_text(f"ecg\n{bare}\n")
    edit(other, lambda c: c["heads"]["potassium"].update(intercept=9.0), "calibration.json")
    argv = ["bundle", "diff", "demo", str(other), "--data", str(tmp_path / "ecg.csv"), "--windows", "3", "--json"]
    assert main(argv) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["outputs"]["windows"] == 3
    assert [h["key"] for h in found["outputs"]["heads"] if not h["equal"]] == ["potassium"]
    argv = ["bundle", "diff", "demo", "demo", "--data", str(tmp_path / "bare.csv"), "--windows", "2"]
    assert main(argv) == 3
    assert main([*argv, "--fs", "250", "--lsb-mv", "0.001"]) == 0
    assert main([*argv, "--fs", "fast"]) == 2
    assert "'fast' is not a sampling rate" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--windows", "0"], ["--windows", "x"], ["--what"]])
def test_a_wrong_option_is_one_line(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "diff", "demo", "demo", *option]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edge.cli.bundle import diff as bundle_diff

    monkeypatch.setattr(bundle_diff, "RECORDINGS", "library_of_the_extra")
    with pytest.raises(MissingExtraError, match=r"anyecg-edge\[convert\]"):
        bundle_diff.main(["demo", "demo", "--data", str(tmp_path)])


def test_without_recordings_the_host_side_is_not_loaded() -> None:
    code = (
        "import sys; from edge.cli.main import main; assert main(['bundle', 'diff', 'demo', 'demo']) == 0; "
        "assert not {m.split('.')[0] for m in sys.modules} & {'convert', 'calibration', 'scipy', 'tensorflow'}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
