"""The scripts of examples/: each runs as a user would run it, and its functions give what the runtime gives."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edge.bundle.reader import load_bundle
from firmware_bridge.errors import BundleError, InputError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = str(ROOT / "examples" / f"{name}.py")
    return subprocess.run(
        [sys.executable, "-W", "error", script, *args], capture_output=True, text=True, cwd=cwd, env=env, timeout=120
    )


def test_there_are_three_and_each_shows_its_commands() -> None:
    assert [p.stem for p in EXAMPLES] == ["estimate_from_array", "inspect_bundle", "live_source"]
    for path in EXAMPLES:
        assert f"python examples/{path.name}" in (load(path.stem).__doc__ or "")


def test_array_example_runs_without_arguments_and_with_a_file(tmp_path: Path) -> None:
    done = run("estimate_from_array", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("38 hops, 27 estimates\nat 38 s: heart rate 70 bpm")
    module = load("estimate_from_array")
    np.save(tmp_path / "ecg.npy", module.EcgSynth(module.EcgParams(), seed=1).generate(10_000, 250.0))
    again = run("estimate_from_array", "ecg.npy", "250", cwd=tmp_path)
    assert again.stdout == done.stdout


def test_array_example_does_not_depend_on_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("estimate_from_array")
    ecg = module.EcgSynth(module.EcgParams(), seed=2).generate(5000, 250.0)
    found = module.estimate(ecg, 250.0)
    monkeypatch.setattr(module, "BLOCK_S", 0.037)
    again = module.estimate(ecg, 250.0)
    assert [e.labs for e in found] == [e.labs for e in again]
    assert any(e.labs for e in found)


@pytest.mark.parametrize("array", [np.zeros((2, 9)), np.zeros(9, np.int32), None])
def test_array_example_refuses_what_is_no_lead(tmp_path: Path, array: np.ndarray | None) -> None:
    path = tmp_path / "x.npy"
    if array is not None:
        np.save(path, array)
    with pytest.raises(InputError):
        load("estimate_from_array").read(str(path))
    done = run("estimate_from_array", "x.npy", cwd=tmp_path)
    assert done.returncode == InputError.exit_code
    assert done.stderr.count("\n") == 1
    assert "x.npy" in done.stderr


def test_live_example_prints_beats_estimates_and_losses(tmp_path: Path) -> None:
    done = run("live_source", "sim:?potassium=6.5&seed=1&speed=max&faults=drop=0.02", "40", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert any(line.endswith("beat") for line in lines)
    assert any("link connected" in line for line in lines)
    assert any("no estimate: gap" in line for line in lines)
    lost = int(lines[-1].split(", ")[1].split()[0])
    assert lost > 0


def test_live_example_flags_a_high_potassium() -> None:
    out = io.StringIO()
    assert load("live_source").main([], out) == 0
    lines = out.getvalue().splitlines()
    assert any("heart rate" in line and "potassium_high" in line for line in lines)
    assert lines[-1].endswith(", 0 samples lost")


def test_bundle_example_agrees_with_the_bundle(tmp_path: Path) -> None:
    done = run("inspect_bundle", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    bundle = load_bundle("demo")
    assert bundle.sha256 in done.stdout
    found = load("inspect_bundle").verdicts(bundle)
    assert list(found) == [head.key for head in bundle.manifest.outputs]
    assert found["sodium_low"] == "no flag: the evidence is limited"
    assert found["potassium"] == "no flag: the bundle has no threshold for it"
    threshold = bundle.calibration["potassium_high"].threshold
    assert found["potassium_high"].startswith(f"flag from {threshold:.3f}")


def test_bundle_example_ends_in_one_line_where_there_is_no_bundle(tmp_path: Path) -> None:
    done = run("inspect_bundle", "nowhere", cwd=tmp_path)
    assert done.returncode == BundleError.exit_code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
