"""The command as users run it: real processes, a real pseudo-terminal, wrong input, signals, a full disk."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge.cli.main import COMMANDS, main
from edge.records import from_json
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.virtual.process import VirtualProcess

ANYECG = [sys.executable, "-m", "edge.cli"]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "ecg.csv"
    path.write_text("\n".join(f"{v:.4f}" for v in EcgSynth(EcgParams(), 2).generate(250 * 30, 250.0)))
    return path


def anyecg(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ANYECG, *args], capture_output=True, text=True, cwd=cwd, timeout=120)


def one_line(err: str) -> str:
    lines = [line for line in err.strip().splitlines() if not line.startswith("note:")]
    assert len(lines) == 1, err
    assert lines[0].startswith("anyecg: ")
    assert "Traceback" not in err
    return lines[0]


def test_a_recording_becomes_estimates(csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "o.jsonl"
    args = ["run", "--source", f"replay:{csv}?fs=250&unit=mV", "--speed", "max", "--out", str(out), "--view", "none"]
    assert main(args) == 0
    estimates = [from_json(line) for line in out.read_text().splitlines()]
    assert len(estimates) == 28
    assert estimates[-1].abstained is None
    assert "no medical device" in capsys.readouterr().out


def test_a_run_says_what_it_reads_and_what_it_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{4 * i},{v:.4f}\n" for i, v in enumerate(EcgSynth(EcgParams(), 2).generate(250 * 14, 250.0)))
    (tmp_path / "ecg.csv").write_text(f"time_ms,ecg_mv\n{rows}End of file\n")
    args = ["run", "--source", f"replay:{tmp_path}/ecg.csv", "--speed", "max", "--view", "none"]
    assert main([*args, "--session-dir", str(tmp_path / "s")]) == 0
    first, *_, last = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert first.startswith(
        "note: reading ecg.csv: text, lead ecg_mv (the only column with samples), 250 Hz (clock time_ms)"
    )
    assert "1 row without a number skipped, the first in line 3502: 'End of file'" in last
    decided = json.loads((tmp_path / "s" / "session.json").read_text())["decided"]
    assert (decided["lead"], decided["scale"], decided["skipped_rows"]) == ("ecg_mv", "mV", 1)


def test_json_lines_on_standard_output_and_nothing_else(csv: Path) -> None:
    done = anyecg("run", "--source", f"replay:{csv}?fs=250&unit=mV&speed=max", "--out", "-", "--view", "none")
    assert done.returncode == 0
    assert all(from_json(line) for line in done.stdout.splitlines())
    assert "latency" in done.stderr


def test_a_reader_that_leaves_ends_the_run_quietly(csv: Path) -> None:
    command = f"{sys.executable} -m edge.cli run --source 'replay:{csv}?fs=250&unit=mV&speed=20' --out - --view none"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -n 2"], capture_output=True, text=True, timeout=120
    )
    assert len(done.stdout.splitlines()) == 2
    assert "Traceback" not in done.stderr
    assert done.returncode == 0


def test_the_same_recording_gives_the_same_lines(csv: Path) -> None:
    def lines(speed: str) -> list[str]:
        done = anyecg(
            "run", "--source", f"replay:{csv}?fs=250&unit=mV", "--speed", speed, "--out", "-", "--view", "none"
        )
        strip = re.compile(r'"time":"[^"]*"|"latency_ms":\{[^}]*\}')
        return [strip.sub("", line) for line in done.stdout.splitlines()]

    first = lines("max")
    assert len(first) == 28
    assert lines("40") == first


def test_seconds_and_hop(csv: Path) -> None:
    url = f"replay:{csv}?fs=250&unit=mV&speed=max"
    done = anyecg("run", "--source", url, "--seconds", "20", "--hop", "2", "--out", "-", "--view", "none")
    ends = [from_json(line).window.end_s for line in done.stdout.splitlines()]
    assert ends == pytest.approx([2, 4, 6, 8, 10, 12, 14, 16, 18], abs=0.01)
    assert "ended by: seconds" in done.stderr


def test_config_file_with_the_same_names(csv: Path, tmp_path: Path) -> None:
    config = tmp_path / "anyecg.toml"
    config.write_text(f'source = "replay:{csv}?fs=250&unit=mV"\nspeed = "max"\nhop = 5.0\nview = "none"\nout = "-"\n')
    done = anyecg("run", "--config", str(config))
    assert [from_json(x).window.end_s for x in done.stdout.splitlines()] == pytest.approx([5, 10, 15, 20, 25], abs=0.01)
    done = anyecg("run", "--config", str(config), "--hop", "10")
    assert len(done.stdout.splitlines()) == 2
    for text, message in (("hopp = 1", "unknown option 'hopp'"), ("hop = true", "'hop' must be"), ("hop = ", "TOML")):
        config.write_text(text)
        done = anyecg("run", "--config", str(config))
        assert done.returncode == 2
        assert message in one_line(done.stderr)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["run"], 2, "no source"),
        (["run", "--source", "replay:nope.csv"], 3, "no such recording"),
        (["run", "--source", "serial:/dev/ttyNOPE?wait=0"], 5, "no such device"),
        (["run", "--source", "carrier-pigeon:1"], 2, "known schemes"),
        (["run", "--source", "replay:CSV"], 3, "fs="),
        (["run", "--source", "replay:CSV?fs=fast"], 2, "not a number"),
        (["run", "--source", "replay:CSV?fs=-5"], 2, "outside"),
        (["run", "--source", "replay:CSV?fs=250&lead=V9"], 3, "V9"),
        (["run", "--source", "replay:CSV?fs=250", "--bundle", "nope"], 4, "no bundle at nope"),
        (["run", "--source", "replay:CSV?fs=250", "--hop", "soon"], 2, "not a positive number"),
        (["run", "--source", "replay:CSV?fs=250", "--hop", "0.001"], 2, "hop"),
        (["run", "--source", "replay:CSV?fs=250", "--speed", "warp"], 2, "not a number"),
        (["run", "--source", "replay:CSV?fs=250", "--seconds", "nan"], 2, "not a positive number"),
        (["run", "--source", "replay:CSV?fs=250", "--frobnicate"], 2, "--frobnicate"),
        (["run", "--source", "replay:CSV?fs=250", "--record", "x"], 2, "cannot be recorded"),
        (["run", "--source", "sim:", "--record"], 2, "--session-dir"),
        (["run", "--source", "replay:EMPTY?fs=250"], 3, "empty"),
        (["run", "--source", "replay:BINARY?fs=250"], 3, "BINARY"),
        (["run", "--source", "replay:."], 3, "ecg.csv"),
        (["run", "--source", "replay:/nope/"], 3, "no such recording"),
        (["run", "--source", "replay:CSV?fs=250&speed=max", "--out", "/nope/o.jsonl"], 7, "/nope/o.jsonl"),
        (["run", "--source", "replay:CSV?fs=250&speed=max", "--out", "/dev/full"], 7, "No space left"),
        (["bundle", "verify", "nope"], 4, "no bundle at nope"),
        (["bundle", "frob", "demo"], 2, "frob"),
        (["bench", "--hours", "0"], 2, "not a positive number"),
        (["frob"], 2, "unknown command"),
    ],
)
def test_wrong_input_is_one_line_and_a_documented_code(
    args: list[str], code: int, message: str, csv: Path, tmp_path: Path, monkeypatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CSV").write_bytes(csv.read_bytes())
    (tmp_path / "EMPTY").write_bytes(b"")
    (tmp_path / "BINARY").write_bytes(bytes(range(256)) * 100)
    assert main([*args, *(["--view", "none"] if args[0] == "run" else [])]) == code
    assert message in one_line(capfd.readouterr().err)


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    overview = capsys.readouterr().out
    assert all(name in overview for name in COMMANDS)
    assert "no medical device" in overview
    for name in COMMANDS:
        try:
            code = main([name, "--help"])
        except SystemExit as stop:
            code = stop.code
        assert code == 0
        assert "usage" in capsys.readouterr().out


def test_a_fault_of_the_program_is_one_line_and_a_report(monkeypatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("edge.cli.bundle.show.load_bundle", lambda _name: 1 / 0)
    assert main(["bundle", "show", "demo"]) == 70
    line = one_line(capfd.readouterr().err)
    report = Path(line.rsplit(" ", 1)[1])
    assert "ZeroDivisionError" in report.read_text()
    report.unlink()


@pytest.fixture
def patch(tmp_path: Path):
    with VirtualProcess(tmp_path / "ttyPATCH") as process:
        yield process


def start(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*ANYECG, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_lines(path: Path, count: int, timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if path.exists() and path.read_text().count("\n") >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not reach {count} lines")


@pytest.mark.parametrize("signals", [1, 40])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_flushes_and_prints_the_summary(patch, tmp_path: Path, number: int, code: int, signals: int) -> None:
    """Also if it comes many times within a second: GNU timeout sends two, a nervous user more."""
    out = tmp_path / "o.jsonl"
    process = start("run", "--source", f"serial:{patch.link}", "--out", str(out), "--view", "none")
    wait_for_lines(out, 3)
    for _ in range(signals):
        process.send_signal(number)
        time.sleep(0.01)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == code, stderr
    assert f"ended by: {signal.Signals(number).name}" in stdout
    assert "Traceback" not in stderr
    text = out.read_text()
    assert text.endswith("\n")
    assert all(json.loads(line) for line in text.splitlines())


def test_kill_9_loses_nothing_that_was_written(patch, tmp_path: Path) -> None:
    out, raw = tmp_path / "o.jsonl", tmp_path / "raw.aer"
    process = start(
        "run", "--source", f"serial:{patch.link}", "--out", str(out), "--record", str(raw), "--view", "none"
    )
    wait_for_lines(out, 4)
    process.kill()
    process.communicate(timeout=120)
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(written) >= 4
    again = tmp_path / "again.jsonl"
    assert main(["run", "--source", f"replay:{raw}", "--speed", "max", "--out", str(again), "--view", "none"]) == 0
    replayed = [json.loads(line) for line in again.read_text().splitlines()]
    for line in (*written, *replayed):
        del line["latency_ms"], line["clock_synced"], line["time"]
    assert replayed[: len(written)] == written


def test_a_port_used_by_another_run_is_busy(patch, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    first = start("run", "--source", f"serial:{patch.link}", "--out", str(out), "--view", "none")
    try:
        wait_for_lines(out, 1)
        done = anyecg("run", "--source", f"serial:{patch.link}", "--view", "none")
        assert done.returncode == 5
        assert "busy" in done.stderr or "use" in done.stderr
        one_line(done.stderr)
    finally:
        first.terminate()
        first.communicate(timeout=120)


def test_it_waits_for_a_missing_patch(tmp_path: Path) -> None:
    link, out = tmp_path / "ttyPATCH", tmp_path / "o.jsonl"
    process = start("run", "--source", f"serial:{link}", "--out", str(out), "--view", "plain", "--seconds", "25")
    time.sleep(1.0)
    assert process.poll() is None
    with VirtualProcess(link):
        wait_for_lines(out, 2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130


@pytest.mark.alone
def test_replugging_continues_the_session(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    with VirtualProcess(tmp_path / "tty", "--speed", "4", "--faults", "unplug@20:8") as patch:
        process = start("run", "--source", f"serial:{patch.link}", "--out", str(out), "--view", "none")
        wait_for_lines(out, 52)
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=120)
        patch.stop()
    estimates = [from_json(line) for line in out.read_text().splitlines()]
    assert len({e.session for e in estimates}) == 1
    assert "1 reconnections" in stdout
    ends = np.array([e.window.end_s for e in estimates])
    # One answer a hop, and one for the whole gap.
    (jump,) = np.flatnonzero(np.diff(ends) > 1.01)
    gap = estimates[jump + 1]
    assert gap.abstained == "gap"
    assert gap.window.end_s - gap.window.start_s > 7.5
    assert {"gap"} <= {e.abstained for e in estimates}
    good = [e for e in estimates if e.abstained is None]
    assert good[0].window.end_s < 21
    assert good[-1].window.start_s > 27
    assert not [e for e in good if e.window.start_s < 20.5 and e.window.end_s > 27.5]


def test_the_live_view_restores_the_terminal(csv: Path) -> None:
    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "LC_ALL": "C.UTF-8"}
    command = [*ANYECG, "run", "--source", f"replay:{csv}?fs=250&unit=mV&speed=15", "--seconds", "20"]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    shown = b""
    try:
        while data := os.read(master, 65536):
            shown += data
    except OSError:
        pass  # Linux reports the closed terminal this way
    assert process.wait(120) == 0
    os.close(master)
    assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == 1
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")
    assert b"medical device" in shown
    assert b"latency" in shown


def test_demo_runs_the_whole_chain() -> None:
    done = anyecg("demo", "--seconds", "16", "--view", "plain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "potassium" in done.stdout
    assert ": ok\n" in done.stdout
    assert "EXCEEDED" not in done.stdout
    assert "0 samples lost" in done.stdout
    assert re.search(r"^heart rate    72 bpm          7[0-9] bpm$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^potassium     6.6 mmol/L      \d\.\d+ mmol/L \(\d", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^lost samples  0               0$", done.stdout, re.MULTILINE), done.stdout
