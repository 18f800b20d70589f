"""A live ``anyecg run`` on TCP, with a session folder, that gives every estimate to its standard output too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge.engine import Engine
from edge.records import to_json
from edge.session import Loaded, session_info
from edge.sources import open_source
from firmware_bridge.virtual.ecg import PatientOptions, PatientSignal, RecordingSignal
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
from helpers.paced_patch import PacedPatch

ROOT = Path(__file__).resolve().parents[2]
SPEED = 20.0
"""Factor of real time of the patch: the first estimate comes after 0.7 s."""


@contextmanager
def patch(seed: int = 1) -> Iterator[PacedPatch]:
    """A patch on TCP that measures a repeated minute of a simulated patient."""
    ecg_mv = PatientSignal(PatientOptions(), seed).generate(15_000, 250.0)
    virtual = VirtualPatch(RecordingSignal(ecg_mv, loop=True), PatchConfig(), seed=seed)
    with PacedPatch(virtual, SPEED) as server:
        yield server


def start(server: PacedPatch, session: Path, wrapper: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start a run that records; its standard output has each line after the session folder has it."""
    url = f"tcp:127.0.0.1:{server.port}?device=anyecg_patch"
    words = ["--source", url, "--session-dir", str(session), "--record", "--out", "-", "--view", "none"]
    return subprocess.Popen(
        [*wrapper, sys.executable, "-m", "edge.cli", "run", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


async def replayed(recording: Path, loaded: Loaded) -> list[str]:
    """The estimates of a raw recording."""
    source = open_source(f"replay:{recording}?speed=max")
    engine = Engine(loaded.bundle, loaded.model, session_info(source))
    return [to_json(e) async for item in source.items() for e in engine.push(item).estimates]
