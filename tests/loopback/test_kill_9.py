"""``kill -9`` of a live run on TCP, at any moment: no estimate that anyone has seen is lost, nor a frame behind it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from edge.session import Loaded, load
from helpers import live_runs
from helpers.session_files import comparable, estimate_lines, raw_recordings

KILLS, KILLS_OF_A_FOLDER = 50, 10
"""Runs that are killed when they have results, and those that continue one session folder. Before each of them, another
run is killed while it starts."""
LONGEST_S = 2.0
"""Longest time from the first estimate to the end of a run, s: 40 s of signal."""

START_S = 0.5
"""Longest time from its first file to its end for a run that is killed while it starts, s."""


def killed_run(server: live_runs.PacedPatch, session: Path, wait_s: float) -> list[str]:
    """Start a run, kill it so long after its first line, and return all lines that came out of it."""
    process = live_runs.start(server, session)
    assert process.stdout is not None
    timer = threading.Timer(wait_s, lambda: os.kill(process.pid, signal.SIGKILL))
    try:
        first = process.stdout.readline()
        assert first, "the run ended before its first line"
        timer.start()
        rest = process.stdout.read()
    finally:
        timer.cancel()
        process.kill()
        process.communicate()
    whole = (first + rest).decode()
    assert process.returncode == -signal.SIGKILL
    return whole[: whole.rfind("\n") + 1].splitlines()


def kill_at_the_start(server: live_runs.PacedPatch, session: Path, wait_s: float) -> None:
    """Kill a run between its first file and its first line, or soon after."""
    before = len(raw_recordings(session))
    process = live_runs.start(server, session)
    while len(raw_recordings(session)) == before:
        assert process.poll() is None
        time.sleep(0.001)
    time.sleep(wait_s)
    process.kill()
    process.communicate()


def kill_and_check(session: Path, seeds: range, loaded: Loaded) -> int:
    """Kill runs that continue one session, one after the other; return the lines that were seen."""
    seen: list[tuple[str, list[str]]] = []
    with live_runs.patch(seeds[0]) as server:
        for seed in seeds:
            kill_at_the_start(server, session, random.Random(~seed).uniform(0.0, START_S))
            before = set(raw_recordings(session))
            lines = killed_run(server, session, random.Random(seed).uniform(0.0, LONGEST_S))
            name = json.loads(lines[0])["session"]
            seen.append((name, lines))
            (recording,) = set(raw_recordings(session)) - before
            written = [line for line in estimate_lines(session) if json.loads(line)["session"] == name]
            assert written[: len(lines)] == lines, seed
            # At most what was on its way to the standard output.
            assert len(written) - len(lines) <= 1, seed
            again = asyncio.run(live_runs.replayed(recording, loaded))
            assert [comparable(line) for line in again[: len(written)]] == [comparable(line) for line in written], seed
            about = json.loads((session / "session.json").read_text())
            assert about["runs"][-1]["session"] == name
            assert not (session / "summary.json").exists()
    # Later runs have repaired and continued the files: what was there before is still there.
    kept = estimate_lines(session)
    for name, lines in seen:
        assert [line for line in kept if json.loads(line)["session"] == name][: len(lines)] == lines
    assert any(json.loads(line)["abstained"] is None for _name, lines in seen for line in lines)
    return sum(len(lines) for _name, lines in seen)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(3600)
def test_100_kills_lose_nothing_that_was_seen(tmp_path: Path) -> None:
    loaded = load("demo")
    seen = sum(
        kill_and_check(tmp_path / f"session-{first}", range(first, first + KILLS_OF_A_FOLDER), loaded)
        for first in range(0, KILLS, KILLS_OF_A_FOLDER)
    )
    assert seen > KILLS
