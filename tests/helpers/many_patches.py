"""Virtual patches of the kit behind TCP ports, all in one process, in real time.

    python -m helpers.many_patches 50

prints the ports in one line and serves until it is killed. Each patch samples on, with and without a peer.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from firmware_bridge.virtual.ecg import PatientOptions, PatientSignal, RecordingSignal
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch

ROOT = Path(__file__).resolve().parents[2]
STEP_S = 0.02
MINUTE = 15_000
"""Samples of the minute of ECG that the patches repeat, at 250 Hz."""


class _Served:
    def __init__(self, patch: VirtualPatch) -> None:
        self.patch = patch
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        with suppress(OSError):
            while data := await reader.read(1024):
                self.patch.receive(data)
        if self.writer is writer:
            self.writer = None
            self.patch.link_lost()
        writer.close()

    def step(self, now_s: float) -> None:
        data = b"".join(emission.data for emission in self.patch.advance(now_s))
        if self.writer is not None and data:
            self.writer.write(data)


async def serve(count: int) -> None:
    """Serve until the process ends."""
    ecg_mv = PatientSignal(PatientOptions(), 1).generate(MINUTE, 250.0)
    served = [_Served(VirtualPatch(RecordingSignal(ecg_mv, loop=True), PatchConfig(), seed=i)) for i in range(count)]
    servers = [await asyncio.start_server(one.serve, "127.0.0.1", 0) for one in served]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    started_s = time.monotonic()
    while True:
        await asyncio.sleep(STEP_S)
        for number, one in enumerate(served):
            one.step(time.monotonic() - started_s + 0.1 * number / count)  # patches of a ward do not send in step


@contextmanager
def ports(count: int) -> Iterator[list[int]]:
    """Serve in another process; yield the ports."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-m", "helpers.many_patches", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as child:
        assert child.stdout is not None
        try:
            yield [int(port) for port in child.stdout.readline().split()]
        finally:
            child.kill()


def station_file(folder: Path, numbers: list[int], hop_s: float = 1.0) -> Path:
    """Write the options of a station of these patches, with session folders and one file of estimates."""
    head = f'hop = {hop_s}\nview = "none"\nsession-dir = "{folder}/ward"\nout = "{folder}/ward.jsonl"\n'
    tables = [f'[[patch]]\nname = "bed{i:02d}"\nsource = "tcp:127.0.0.1:{port}"\n' for i, port in enumerate(numbers, 1)]
    path = folder / "ward.toml"
    path.write_text(head + "\n".join(tables), encoding="utf-8")
    return path


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1])))
