"""Commands on this machine and on the emulated ones, two at a time, each run once."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from machines import GUEST, REPO, Machine

HOST = "host"
LIMIT_S = 600.0
"""Time limit of one command."""


class Jobs:
    """Runs commands in the order in which they are asked for.

    Args:
        folder: For what they write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._work = ThreadPoolExecutor(2)
        # Real-time runs have a slot of their own; the others run at a lower priority.
        self._live = ThreadPoolExecutor(1)
        self._known: dict[tuple[str, ...], Future] = {}

    def python(self, machine: Machine | None, *arguments: str, cpu: str = "", live: bool = False) -> Future:
        """Runs Python with arguments on a machine, ``None`` for this one; the same command only once."""
        key = (machine.name if machine else HOST, cpu, *arguments)
        if key not in self._known:
            pool = self._live if live else self._work
            self._known[key] = pool.submit(_run, machine, list(arguments), cpu, 0 if live else 5)
        return self._known[key]

    def estimates(
        self, machine: Machine | None, what: str, *arguments: str, cpu: str = "", live: bool = False
    ) -> Future:
        """Runs a command of ``anyecg`` that writes estimates; the file is its last argument."""
        name = f"{what}-{machine.name if machine else HOST}{cpu}.jsonl"
        command = ["-m", "edge.cli", *arguments, "--view", "none", "--out", str(self.folder / name)]
        return self.python(machine, *command, cpu=cpu, live=live)

    def close(self) -> None:
        """Waits for what runs; drops the rest."""
        for pool in (self._work, self._live):
            pool.shutdown(cancel_futures=True)


def _run(machine: Machine | None, arguments: list[str], cpu: str, niceness: int) -> CompletedProcess[str]:
    path = os.pathsep.join((str(REPO), str(GUEST)))
    here = {**os.environ, "PYTHONPATH": path, "ANYECG_ARM_PYTHON": sys.executable}
    environment = machine.environment(cpu or None) if machine else here
    python = str(machine.launcher) if machine else sys.executable
    command = ["nice", "-n", str(niceness), python, *arguments]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        timeout=LIMIT_S,
        check=False,
    )


def queue(jobs: Jobs, items: list[pytest.Item]) -> None:
    """Asks for the commands of all selected tests at once; ``STARTS`` of their modules has them by test."""
    for item in items:
        start = getattr(item.module, "STARTS", {}).get(item.originalname)
        if start is not None and not item.callspec.params["machine"].missing():
            start(jobs, None)
            start(jobs, **item.callspec.params)


def here(machine: Machine) -> Machine:
    """The machine; skips with the reason where it cannot be used."""
    if why := machine.missing():
        pytest.skip(why)
    return machine


def done(future: Future) -> CompletedProcess[str]:
    """What a command gave; it has to end with 0."""
    result = future.result()
    said = f"{result.stderr[-2000:]}{result.stdout[-500:]}"
    assert result.returncode == 0, f"{result.args}: exit {result.returncode}: {said}"
    return result
