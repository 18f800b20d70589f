"""Floods from real sockets and pseudo-terminals: a run answers SIGTERM, and what it writes stays bounded."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.records import Estimate
from edge.store.reader import EstimateReader
from helpers.floods import FLOODS, FloodOnNet, FloodOnPty, write_recording

ROOT = Path(__file__).parents[2]
ANSWER_S = 2.0
"""Time within which SIGTERM is answered, s."""
PATIENCE_S = 120.0


@dataclass
class Run:
    """A run of the command in a process of its own."""

    folder: Path
    process: subprocess.Popen[str]
    took_s: float = 0.0
    said: str = ""

    @classmethod
    def of(cls, source: str, folder: Path) -> Run:
        command = [sys.executable, "-m", "edge.cli", "run", "--source", source, "--session-dir", str(folder)]
        pipe = subprocess.PIPE
        return cls(
            folder, subprocess.Popen([*command, "--view", "plain"], cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
        )

    def started(self) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not (self.folder / "events.jsonl").exists() or not (self.folder / "events.jsonl").read_text():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until_s
            time.sleep(0.05)

    def end(self) -> None:
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            out, err = self.process.communicate(timeout=PATIENCE_S)
        finally:
            self.process.kill()
        self.took_s = time.monotonic() - began_s
        self.said = out + err
        assert self.process.returncode == 143, self.said

    @property
    def summary(self) -> dict[str, object]:
        return dict(json.loads((self.folder / "summary.json").read_text()))

    def estimates(self) -> list[Estimate]:
        return list(EstimateReader(self.folder).estimates()) if (self.folder / "estimates.aee").exists() else []


def quiet_s(folder: Path) -> float:
    """Return how long this machine takes now to end a run that waits for its device, s."""
    run = Run.of(f"serial:{folder}/nothing", folder / "quiet")
    run.started()
    run.end()
    return run.took_s


def check(run: Run, limit_s: float, flood: str) -> None:
    assert run.took_s < limit_s, (flood, run.took_s, limit_s)
    assert (run.folder / "events.jsonl").stat().st_size < 200_000
    assert len(run.said) < 300_000
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    started = json.loads((run.folder / "session.json").read_text())["runs"][0]["started"]
    assert all(event["time"] >= started for event in events)
    found = run.estimates()
    assert all(e.time >= started for e in found)
    thrown = run.summary["thrown_away"]
    assert isinstance(thrown, dict)
    joined = sum(event["count"] for event in events if "count" in event)
    if "events" in thrown:
        assert joined <= thrown["events"]
    assert thrown, flood
    assert "thrown away" in run.said


def flooded(flood: str, where: FloodOnNet | FloodOnPty, folder: Path) -> Run:
    scheme = "tcp" if isinstance(where, FloodOnNet) else "serial"
    return Run.of(f"{scheme}:{where.where}?device=anyecg_patch", folder / flood.replace(" ", "_"))


def test_sigterm_is_answered_under_a_flood(tmp_path: Path) -> None:
    limit_s = max(ANSWER_S, 4.0 * quiet_s(tmp_path))
    peers = {"status frames": FloodOnNet, "random bytes": FloodOnNet, "tiny frames": FloodOnPty}
    for flood, kind in peers.items():
        peer = kind(flood)
        run = flooded(flood, peer, tmp_path)
        try:
            run.started()
            time.sleep(0.5)
            run.end()
        finally:
            run.process.kill()
            peer.close()
        check(run, limit_s, flood)


@pytest.mark.slow
@pytest.mark.parametrize("flood", list(FLOODS))
@pytest.mark.parametrize("kind", [FloodOnNet, FloodOnPty])
def test_every_flood(tmp_path: Path, flood: str, kind: type[FloodOnNet | FloodOnPty]) -> None:
    limit_s = max(ANSWER_S, 4.0 * quiet_s(tmp_path))
    peer = kind(flood)
    run = flooded(flood, peer, tmp_path)
    try:
        run.started()
        time.sleep(6.0)
        run.end()
    finally:
        run.process.kill()
        peer.close()
    assert peer.sent > 100_000
    check(run, limit_s, flood)


@pytest.mark.slow
@pytest.mark.parametrize("flood", ["status frames", "restarts", "zeros", "jumps"])
@pytest.mark.parametrize("speed", ["max", "1"])
def test_a_recording_of_a_flood(tmp_path: Path, flood: str, speed: str) -> None:
    limit_s = max(ANSWER_S, 4.0 * quiet_s(tmp_path))
    write_recording(tmp_path / "flood.aer", flood, 40_000_000)
    run = Run.of(f"replay:{tmp_path}/flood.aer?speed={speed}", tmp_path / "session")
    try:
        time.sleep(4.0)
        run.end()
    finally:
        run.process.kill()
    assert run.took_s < limit_s
    assert run.summary["ended_by"] == "SIGTERM"
    assert (run.folder / "events.jsonl").stat().st_size < 200_000


def test_a_jump_of_an_hour_is_no_hour_of_records(tmp_path: Path) -> None:
    """The attack of one impossible index, over a real socket, with every kind of jump."""
    import socket
    import threading

    from helpers.floods import data, hello

    jumps = (900_000, 2**31 - 1, 2**31, 2**31 + 1, -1000, -900_000, 2**32 - 25)
    server = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        peer, _address = server.accept()
        with peer:
            index, tick = 0, 0
            peer.sendall(hello())
            for jump in jumps:
                for _ in range(130):
                    peer.sendall(data(index, tick=tick))
                    index, tick = (index + 25) % 2**32, tick + 100
                index, tick = (index + jump) % 2**32, tick + 4 * max(0, jump)
            over.wait(PATIENCE_S)

    threading.Thread(target=serve, daemon=True).start()
    run = Run.of(f"tcp:127.0.0.1:{server.getsockname()[1]}", tmp_path / "session")
    try:
        run.started()
        until_s = time.monotonic() + PATIENCE_S
        while len(run.estimates()) < 60 and time.monotonic() < until_s:
            time.sleep(0.1)
        time.sleep(1.0)
        run.end()
    finally:
        run.process.kill()
        over.set()
        server.close()
    found = run.estimates()
    started = json.loads((run.folder / "session.json").read_text())["runs"][0]["started"]
    assert min(e.time for e in found) >= started
    sent_s, wall_s = 13.0 * len(jumps), float(str(run.summary["wall_s"]))
    assert float(str(run.summary["signal_s"])) < sent_s + 2 * wall_s + 5.0
    assert int(str(run.summary["lost_samples"])) < 250 * (2 * wall_s + 5.0)
    assert len(found) < sent_s + 2 * wall_s + 6.0
