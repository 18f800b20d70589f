"""Several real links at once: patches that come and go, and ``kill -9`` of the process that reads them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge.session import load
from firmware_bridge.virtual.process import VirtualProcess
from helpers import live_runs
from helpers.session_files import comparable, estimate_lines, raw_recordings

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]


def start(folder: Path, sources: Sequence[str], *more: str) -> subprocess.Popen[bytes]:
    words = ["--source", *sources, "--session-dir", str(folder), "--record", "--view", "none", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "run", *words],
        cwd=live_runs.ROOT,
        env={**os.environ, "PYTHONPATH": str(live_runs.ROOT)},
        stdout=subprocess.PIPE,
        stderr=(folder.parent / "said").open("wb"),
    )


def until(what: Callable[[], object], seconds: float = 120.0) -> None:
    end_s = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.05)


def without_name(line: str) -> object:
    record = comparable(line)
    return {key: value for key, value in record.items() if key != "patch"}


def events(session: Path) -> list[str]:
    path = session / "events.jsonl"
    return [json.loads(line)["kind"] for line in path.read_text().splitlines()] if path.exists() else []


def estimates(session: Path) -> int:
    return sum(json.loads(line)["abstained"] is None for line in estimate_lines(session))


def test_patches_come_and_go_and_each_has_the_estimates_of_its_own_recording(tmp_path: Path) -> None:
    loaded, ward = load("demo"), tmp_path / "ward"
    port = tmp_path / "ttyPATCH"
    with ExitStack() as stack:
        steady, moving = (stack.enter_context(live_runs.patch(seed)) for seed in (1, 2))
        sources = [
            f"steady=tcp:127.0.0.1:{steady.port}", f"moving=tcp:127.0.0.1:{moving.port}", f"late=serial:{port}",
            f"absent=serial:{tmp_path}/ttyNONE",
        ]  # fmt: skip
        run = start(ward, sources)
        until(lambda: estimates(ward / "steady") > 3)
        assert estimates(ward / "late") == 0
        moving.drop()
        stack.enter_context(VirtualProcess(port, "--seed", "5", "--faults", "unplug@6:2"))
        until(lambda: events(ward / "moving").count("connected") >= 2)
        until(lambda: events(ward / "late").count("connected") >= 2)
        until(lambda: estimates(ward / "late") > 3)
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60.0)
        assert run.returncode == 143
    said = (tmp_path / "said").read_text()
    assert f"absent: waiting for {tmp_path}/ttyNONE: no such device" in said
    assert "moving: connected again after" in said
    assert "Traceback" not in said
    for name in ("steady", "moving", "late", "absent"):
        summary = json.loads((ward / name / "summary.json").read_text())
        assert summary["ended_by"] == "SIGTERM"
        again = asyncio.run(live_runs.replayed(raw_recordings(ward / name)[0], loaded))
        written = estimate_lines(ward / name)
        assert [without_name(line) for line in again[: len(written)]] == [without_name(line) for line in written], name


def test_a_kill_loses_no_estimate_that_was_seen_of_any_patch(tmp_path: Path) -> None:
    ward, seen = tmp_path / "ward", list[str]()
    with ExitStack() as stack:
        servers = [stack.enter_context(live_runs.patch(seed)) for seed in (1, 2, 3)]
        sources = [f"p{i}=tcp:127.0.0.1:{server.port}" for i, server in enumerate(servers)]
        for wait_s in (0.3, 1.1, 2.0):
            run = start(ward, sources, "--out", "-")
            assert run.stdout is not None
            first = run.stdout.readline()
            threading.Timer(wait_s, run.kill).start()
            text = (first + run.communicate()[0]).decode()
            seen += text[: text.rfind("\n") + 1].splitlines()
    for i in range(3):
        own = [line for line in seen if json.loads(line)["patch"] == f"p{i}"]
        assert own
        kept = estimate_lines(ward / f"p{i}")
        assert set(own) <= set(kept)
        assert len(json.loads((ward / f"p{i}" / "session.json").read_text())["runs"]) == 3
        assert not (ward / f"p{i}" / "summary.json").exists()
