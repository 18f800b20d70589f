"""Fifty patches in one process, in real time over TCP: memory, and an end in which each writes its summary."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.process.budget import STATION_RSS_MIB
from helpers.many_patches import ROOT, ports, station_file

PATCHES = 50


def peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


@pytest.mark.slow
@pytest.mark.alone
def test_fifty_patches_need_at_most_100_mb(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with ports(PATCHES) as numbers, (tmp_path / "said").open("w") as said:
        command = [sys.executable, "-m", "edge.cli", "run", "--config", str(station_file(tmp_path, numbers))]
        run = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.DEVNULL)
        try:
            estimated: set[str] = set()
            until_s = time.monotonic() + 300.0
            while len(estimated) < PATCHES:
                assert run.poll() is None
                assert time.monotonic() < until_s, f"{len(estimated)} of {PATCHES} have estimates"
                time.sleep(2.0)
                out = tmp_path / "ward.jsonl"
                lines = out.read_text().splitlines(keepends=True) if out.exists() else []
                records = [json.loads(line) for line in lines if line.endswith("\n")]
                estimated = {one["patch"] for one in records if one["labs"]}
            used_mib = peak_mib(run.pid)
            run.send_signal(signal.SIGTERM)
            assert run.wait(60.0) == 143
        finally:
            run.kill()
    assert used_mib <= STATION_RSS_MIB
    summaries = [json.loads(path.read_text()) for path in (tmp_path / "ward").glob("*/summary.json")]
    assert len(summaries) == PATCHES
    assert {one["ended_by"] for one in summaries} == {"SIGTERM"}
    assert sum(one["lost_samples"] for one in summaries) == 0
