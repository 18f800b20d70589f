"""The other source of a validation: its own options, its own rules, and refusals before any long work."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from calibration.cli.validate import main
from calibration.validate.labelled import open_labelled
from convert.datasets.described import RecordingOptions
from convert.simulate.mimic import MimicPlan, write_mimic
from convert.simulate.patient import simulate_patient
from convert.simulate.write import CohortPlan, write_cohort
from convert.teacher.patients import FILE, hashes, patients_file
from edge.bundle.reader import resolve
from firmware_bridge.errors import AnyEcgError, CheckFailedError, InputError, UsageError
from helpers.broken_models import rehashed


def write_folder(folder: Path, seed: int, count: int = 4) -> Path:
    """Recordings as CSV, with two leads and without a rate."""
    folder.mkdir()
    lines = ["record,patient,potassium_high"]
    for i in range(count):
        ecg = simulate_patient(seed, i, 24.0, noise=True).ecg_mv
        rows = "\n".join(f"{a:.4f},{b:.4f}" for a, b in zip(ecg, 0.7 * ecg, strict=True))
        (folder / f"r{i}.csv").write_text(f"II mV,I mV\n{rows}\n")
        lines.append(f"r{i},s{seed}p{i},{i % 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    write_cohort(CohortPlan(6, 41, 24.0), root / "here")
    write_folder(root / "there", 42)
    return root


OPENS = ("--external-fs", "500", "--external-lead", "II")


def judge(root: Path, out: Path, *more: str, bundle: str = "demo") -> dict:
    base = [bundle, "--data", str(root / "here"), "--split", "all", "--out", str(out), "--hop", "4", "--quiet"]
    with contextlib.suppress(CheckFailedError):  # so few patients may contradict the manifest
        main([*base, "--resamples", "100", "--robustness", "0", "--jobs", "1", *more])
    return json.loads((out / "validation.json").read_text())


def test_the_other_source_has_options_of_its_own(root: Path, tmp_path: Path) -> None:
    """The rate of the other source is stated for it alone: the first source would contradict it."""
    there = ["--external", str(root / "there")]
    two = judge(root, tmp_path / "two", *there, *OPENS)["external"]
    assert two["recordings"] == 4
    assert two["labels"]["rule"] == "as in labels.csv"
    assert "the first source was read with lead its default, this one with lead II" in two["remarks"]
    other = judge(root, tmp_path / "one", *there, "--external-fs", "500", "--external-lead", "I")["external"]
    assert other["sha256"] != two["sha256"]  # other samples, so no result of the first run is used again


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "--external-fs HZ"),
        (["--external-fs", "500", "--external-lead", "V9"], "--external-lead NAME"),
        (["--fs", "250", "--external-fs", "500"], "500 Hz, but --fs says 250"),
    ],
)
def test_what_the_other_source_lacks_is_said_before_the_first_recording(
    root: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(AnyEcgError, match=message):
        judge(root, tmp_path / "never", "--external", str(root / "there"), *more)
    assert not (tmp_path / "never" / "work").exists()


def test_options_of_the_other_source_need_it(root: Path, tmp_path: Path) -> None:
    for option, value in (("fs", "500"), ("lsb-mv", "0.005"), ("lead", "II")):
        with pytest.raises(UsageError, match=f"--external-{option} without --external"):
            judge(root, tmp_path / "never", f"--external-{option}", value)


def test_a_source_with_training_patients_of_the_bundle_is_refused(root: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(resolve("demo"), bundle)
    (bundle / "validation").mkdir(exist_ok=True)
    options = RecordingOptions(fs_hz=500.0, lead="II")
    recordings = open_labelled(root / "there", "all", options=options).recordings
    (bundle / FILE).write_bytes(patients_file({"train": hashes(recordings[:1])}))
    rehashed(bundle)
    with pytest.raises(InputError, match="1 of 4 patients are in the part 'train'"):
        judge(root, tmp_path / "never", "--external", str(root / "there"), *OPENS, bundle=str(bundle))
    assert not (tmp_path / "never" / "work").exists()


def test_a_source_without_results_is_refused(root: Path, tmp_path: Path) -> None:
    write_cohort(CohortPlan(4, 44, 24.0), tmp_path / "there")
    labs = tmp_path / "there" / "labs.csv"
    labs.write_text(labs.read_text().partition("\n")[0] + "\n")
    with pytest.raises(InputError, match="has no label for any window"):
        judge(root, tmp_path / "never", "--external", str(tmp_path / "there"))
    assert not (tmp_path / "never" / "work").exists()


def shifted(labs: Path, hours: float) -> None:
    """Move all results of a cohort in time."""
    with labs.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for column in ("Order_time", "Result_time"):
            at = datetime.fromisoformat(row[column]) + timedelta(hours=hours)
            row[column] = at.isoformat().replace("+00:00", "Z")
    with labs.open("w", newline="") as file:
        out = csv.DictWriter(file, rows[0].keys())
        out.writeheader()
        out.writerows(rows)


@pytest.mark.parametrize("source", ["first", "external"])
def test_results_after_the_end_of_every_recording_are_found_missing_before_the_run(
    root: Path, tmp_path: Path, source: str
) -> None:
    """The results are of the same day, but hours after the recordings of 24 s."""
    write_cohort(CohortPlan(4, 44, 24.0), tmp_path / "there")
    shifted(tmp_path / "there" / "labs.csv", 9.0)
    here = tmp_path / "there" if source == "first" else root / "here"
    there = ["--external", str(tmp_path / "there")] if source == "external" else []
    out = tmp_path / "never"
    with pytest.raises(InputError, match="there has no label for any window"):
        main(["demo", "--data", str(here), "--split", "all", "--out", str(out), "--quiet", *there])
    assert not (out / "work").exists()


def test_mimic_as_the_other_source_has_its_own_rules(root: Path, tmp_path: Path) -> None:
    """Its rare assays have unknown units, which end a run with the rules of MC-MED."""
    write_mimic(MimicPlan(12, 43, 40), tmp_path / "mimic")
    found = judge(root, tmp_path / "out", "--external", str(tmp_path / "mimic"), "--external-lead", "II")
    assert found["external"]["labels"]["said_by"] == "mimic"
    assert found["header"]["labels"]["said_by"] != "mimic"
    assert sum(h["n"] for h in found["external"]["heads"]) > 20
