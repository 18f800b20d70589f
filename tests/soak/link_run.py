"""Hundreds of connections of one unchanged ``anyecg run`` to a patch on TCP, in real time, with floods."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import planted

from firmware_bridge.virtual.ecg import PatientOptions, PatientSignal, RecordingSignal
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
from helpers.paced_patch import PacedPatch

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
"""With the kit and the helpers of the tests, also where the kit is not installed."""
WITH_THE_HARNESS = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
"""Before a command: it ends when the harness is killed, and does not go on for hours."""
CONNECTED_SAMPLES = 100
"""Samples of one connection, at least."""
FLOOD_EVERY = 5
"""Connections between two floods."""
WAIT_S = 120.0
QUIET_S = 2.0
"""Time without data before the end: what lies unread in a socket when a run ends is not lost by a fault."""


@dataclass
class Links:
    """What was seen from outside.

    Attributes:
        wanted: Connections to make after the first one.
        made: Connections after the first one, so far.
        code: Exit code of the run; ``None`` while it runs.
        rss_mib: Resident memory after each connection, MiB.
        files: Open files after each connection.
        account: The patch's own account.
        trouble: Why it ended early; empty if it did not.
    """

    wanted: int
    made: int = 0
    code: int | None = None
    rss_mib: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    account: dict[str, int] = field(default_factory=dict)
    trouble: str = ""


def run(folder: Path, links: Links, stopped: Callable[[], bool]) -> None:
    """Make all connections, then end the run with SIGTERM."""
    ecg_mv = PatientSignal(PatientOptions(), 3).generate(15_000, 250.0)
    patch = VirtualPatch(RecordingSignal(ecg_mv, loop=True), PatchConfig(), seed=3)
    floods = planted.floods(2)
    with PacedPatch(patch) as server, (folder / "links.log").open("wb") as log:
        url = f"tcp:127.0.0.1:{server.port}?device=anyecg_patch"
        command = [
            sys.executable,
            "-m",
            "edge.cli",
            "run",
            "--source",
            url,
            "--session-dir",
            str(folder / "tcp" / "session"),
        ]
        process = subprocess.Popen(
            [*WITH_THE_HARNESS, *command, "--record", "--view", "none", "--keep", "50MB"],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the harness, which ends the run itself
        )
        try:
            for number in range(links.wanted + 1):
                before = server.delivered
                _wait(lambda before=before: server.delivered >= before + CONNECTED_SAMPLES, process, stopped)
                links.made = number
                if number % FLOOD_EVERY == FLOOD_EVERY - 1:
                    server.send(next(floods)[: 1 << 18] + b"\x00")
                links.rss_mib.append(_rss_mib(process.pid))
                links.files.append(len(os.listdir(f"/proc/{process.pid}/fd")))
                if number < links.wanted:
                    server.drop()
            server.quiet()
            time.sleep(QUIET_S)
        except _EndedError as ended:
            links.trouble = str(ended)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                links.code = process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                links.trouble = f"SIGTERM was not answered within {WAIT_S:g} s"
                links.code = process.wait()
            links.account = patch.account()


class _EndedError(Exception):
    pass


def _wait(condition: Callable[[], bool], process: subprocess.Popen[bytes], stopped: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not condition():
        if process.poll() is not None:
            raise _EndedError(f"the run ended with exit code {process.returncode}")
        if stopped():
            raise _EndedError("stopped")
        if time.monotonic() > end_s:
            raise _EndedError(f"no data were taken within {WAIT_S:g} s")
        time.sleep(0.02)


def _rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
