"""Every command that reads a file or a folder, given what is none: one clear line, a documented code, nothing run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.cli.main import COMMANDS, main
from hostile.hostile_paths import THINGS

pytestmark = pytest.mark.slow

CODES = {1, 2, 3, 4, 5, 6, 7}
"""Documented exit codes of refusals and failures (docs/api.md)."""
MAX_LINES, MAX_CHARS = 8, 6000
COMMAND_LINES = {
    "baseline": ["baseline {} --out out.json"],
    "bench": ["bench --bundle {}"],
    "bundle": [
        "bundle show {}",
        "bundle verify {}",
        "bundle verify demo --trusted {}",
        "bundle diff {} demo",
        "bundle pack {} out.zip",
        "bundle sign {} --key key",
        "bundle sign demo --key {}",
        "bundle install {} --to installed",
        "bundle make {} --outputs outputs.toml --front-end stream/1 --out out",
    ],
    "calibrate": [
        "calibrate device --source replay:{}?fs=250 --out out.toml",
        "calibrate probability demo --data {} --out out",
        "calibrate probability {} --data data",
        "calibrate fuse demo --data {} --out out",
        "calibrate rhythm {} --rhythms sinus --out out",
        "calibrate person --lab potassium=4.1 --at 2026-05-01T08:00:00Z --estimates {}",
        "calibrate person --lab potassium=4.1 --at 2026-05-01T08:00:00Z --session-dir {}",
    ],
    "collect": [
        "collect --to sqlite:out.db --from {}",
        "collect --to sqlite:{} --from data",
        "collect --to parquet:{} --from data",
    ],
    "convert": [
        "convert inspect {}",
        "convert foundation {} --data data --out out",
        "convert micro {} --data data --out out",
        "convert parity {}",
        "convert parity demo --checkpoint {}",
    ],
    "estimates": ["estimates {}"],
    "evaluate": ["evaluate {} --data data --out out", "evaluate demo --data {} --out out"],
    "explain": ["explain {} replay:a.csv?fs=250", "explain demo {}"],
    "export": ["export {} --to csv --out out"],
    "finetune": ["finetune --init {} --data data --out out", "finetune --init tiny --data {} --out out"],
    "firmware": ["firmware {}"],
    "lint": ["lint {}"],
    "mark": ["mark {} lying"],
    "micro-package": ["micro-package {} --out out"],
    "prepare": [
        "prepare --mcmed {} --out out",
        "prepare --mimic-iv {} --mimic-iv-ecg data --out out",
        "prepare --mimic-iv data --mimic-iv-ecg {} --out out",
        "prepare --records {} --labels labels.csv --out out",
    ],
    "report": ["report {} --out out.html", "report data --baseline {} --out out.html"],
    "run": [
        "run --source replay:{}?fs=250 --view none",
        "run --source sim: --bundle {} --view none",
        "run --source sim: --config {} --seconds 1 --view none",
        "run --source sim: --person {} --seconds 1 --view none",
        "run --source sim: --baseline {} --seconds 1 --view none",
        "run --source sim: --device-profile {} --seconds 1 --view none",
        "run --source sim: --trusted {} --seconds 1 --view none",
    ],
    "sessions": ["sessions {}"],
    "validate": [
        "validate {} --data data --out out",
        "validate demo --data {} --out out",
        "validate demo --data data --gate {} --out out",
        "validate demo --data data --external {} --out out",
    ],
}  # fmt: skip
"""Command lines; ``{}`` is the path."""
NO_FILES = {
    "completion",
    "demo",
    "devices",
    "doctor",
    "scan",
    "service",
    "simulate",
    "train-demo",
    "version",
    "virtual-patch",
}
"""Commands that read no file which the user names, or only options of the ones above."""
OUTPUT_LINES = [
    "baseline data --out {}",
    "bundle pack demo {}",
    "bundle install demo --to {}",
    "bundle keygen {}",
    "collect --to parquet:{} --from data",
    "micro-package demo --out {}",
    "run --source sim: --seconds 1 --view none --out {}",
    "run --source sim: --seconds 1 --view none --picture {}",
    "run --source sim: --seconds 1 --view none --session-dir {}",
    "run --source sim: --seconds 1 --view none --record {}",
    "simulate --patients 1 --seconds 20 --quiet --out {}",
]
"""Command lines that write; they may succeed."""
HARMLESS = {
    "collect --to sqlite:out.db --from {}": {"folder", "folder of pipes", "folder of links to themselves"},
    "estimates {}": {"empty file", "zeros", "folder of noise", "folder of deep JSON"},
    "firmware {}": {"missing", "folder"},
    "run --source sim: --config {} --seconds 1 --view none": {"empty file", "device of nothing"},
    "sessions {}": {name for name in THINGS if name.startswith("folder")},
}
"""What may succeed: there is nothing to show, or what is damaged is said and skipped."""


def test_no_command_is_forgotten() -> None:
    assert set(COMMAND_LINES) | NO_FILES == set(COMMANDS)


def checked(line: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Run a command line, check what it says, and return its exit code."""
    try:
        code = main([word.replace("{}", "thing") for word in line.split()])
    except SystemExit as ended:  # argparse
        code = int(str(ended.code))
    said = capsys.readouterr()
    assert code in {0, *CODES}, (code, said.err[-2000:])
    assert "Traceback" not in said.err
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said.err + said.out), said.err[:2000]
    assert said.err.count("\n") <= MAX_LINES, said.err[:2000]
    assert len(said.err) < MAX_CHARS
    assert code == 0 or said.err.strip() or said.out.strip()
    assert not Path("x").exists(), "a pickle was executed"
    return code


@pytest.mark.timeout(120)
@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("line", [line for lines in COMMAND_LINES.values() for line in lines])
def test_a_hostile_input(
    line: str, thing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    THINGS[thing](tmp_path / "thing")
    assert checked(line, capsys) != 0 or thing in HARMLESS.get(line, ())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("line", OUTPUT_LINES)
def test_a_hostile_output(
    line: str, thing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "thing"
    THINGS[thing](path)
    before = path.read_bytes() if path.is_file() else None
    checked(line, capsys)
    if before:
        assert path.read_bytes() == before or not before.strip(b"\0"), "a file that the kit did not write was changed"
