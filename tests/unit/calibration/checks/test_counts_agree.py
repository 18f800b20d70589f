"""Patients, visits and recordings have the same numbers in simulate, prepare and validate."""

from __future__ import annotations

import json

from calibration.validate.run import ValidateOptions, validate
from convert.simulate.write import CohortPlan, write_cohort
from edge.cli.main import main

LABELS = """
[heads]
min_values = 1
min_positives = 0
[labs.potassium]
[segments]
keep_unlabelled = true
max_mv = 1000.0
"""


def test_counts_agree_between_commands(tmp_path, capsys):
    cohort = tmp_path / "cohort"
    made = write_cohort(CohortPlan(12, 6, 40.0, visits=2.0), cohort)
    assert made.recordings > made.with_ecg > made.patients
    (tmp_path / "labels.toml").write_text(LABELS)
    argv = ["prepare", "--mcmed", str(cohort), "--labels", str(tmp_path / "labels.toml"), "--quiet"]
    assert main([*argv, "--out", str(tmp_path / "prepared")]) == 0
    text = capsys.readouterr().out
    prepared = json.loads((tmp_path / "prepared" / "summary.json").read_text())
    options = ValidateOptions("demo", cohort, tmp_path / "out", split="all", hop_s=2.0, resamples=100, robustness=0)
    counts = validate(options, None)["header"]["counts"]
    lines = {line.split()[0]: int(line.split()[1]) for line in text.splitlines()[1:5]}
    assert lines == {what: sum(prepared[what].values()) for what in ("segments", "recordings", "visits", "patients")}
    assert counts["recordings_in_data"] == made.recordings
    # A few recordings may be too noisy for one of the commands, and none may be counted in another unit.
    for what, total in (("patients", made.patients), ("visits", made.with_ecg), ("recordings", made.recordings)):
        assert 0.8 * total <= lines[what] <= total, what
        assert 0.8 * total <= counts[what] <= total, what
