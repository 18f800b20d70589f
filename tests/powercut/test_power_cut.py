"""Power cuts of a live run on TCP: what the documentation calls durable is there, whatever the disk made of the rest.

The run is traced. Its system calls are applied to a model of a disk (``disk.py``), which is cut at random moments and
rebuilt in every way that POSIX allows. The kit's own readers then open what is left, and the kit continues it.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from disk import STATES, Disk, Inode
from traced import Call, calls, command

from edge.bundle.reader import load_bundle
from edge.sinks.session import SessionSink
from edge.sources import SourceInfo
from firmware_bridge.errors import AnyEcgError, InputError
from firmware_bridge.items import RawChunk
from firmware_bridge.rawlog import RawLogReader
from helpers import live_runs
from helpers.needs import tool
from helpers.session_files import estimate_lines, raw_recordings

RUNS, CUTS_OF_A_RUN = 3, 10
"""Each run continues the session of the one before."""
SIGNAL_S = 6.0
"""Time from the first line of a run to its end, s."""
SYNC_S = 2.0
"""What a power cut loses at most, s, as documented."""
BUSY_S = 20.0
"""How much longer than promised a sync may take while the calls are traced and other tests run, s."""


@dataclass
class Acknowledged:
    """What a run has told its user, and when.

    Attributes:
        lines: Estimates on standard output.
        durable: How many of them were written before a sync of their file that has ended.
    """

    lines: list[str] = field(default_factory=list)
    durable: int = 0
    _output: str = ""
    _half: bytes = b""
    _began: dict[int, int] = field(default_factory=dict)

    def take(self, call: Call) -> None:
        """Take note of a call."""
        if call.name == "write" and call.fd == 1 and call.data.startswith(b"{") and not self._output:
            self._output = call.path  # a child, such as uname, has another one under the same number
        if call.name == "write" and call.path == self._output and not call.began:
            *whole, self._half = (self._half + call.data).split(b"\n")
            self.lines += [line.decode() for line in whole]
        elif call.name in {"fsync", "fdatasync"} and Path(call.path).name.startswith("estimates"):
            if call.began:
                self._began[call.pid] = len(self.lines)
            else:
                self.durable = max(self.durable, self._began.pop(call.pid, len(self.lines)))


@dataclass
class Before:
    """What must still be there from earlier runs of the session: estimates, and raw recordings by name."""

    lines: list[str] = field(default_factory=list)
    raw: dict[str, list[bytes]] = field(default_factory=dict)


def traced_run(server: live_runs.PacedPatch, session: Path, log: Path) -> list[Call]:
    """Run for a while, end with SIGTERM, and return every call."""
    process = live_runs.start(server, session, command(log))
    assert process.stdout is not None
    assert process.stdout.readline()
    time.sleep(SIGNAL_S)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    # The tracer ends a moment after the run.
    while f"{process.pid} " not in (last := _tail(log)) or "+++ exited with 143 +++" not in last:
        time.sleep(0.05)
    return list(calls(log))


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 300))
        return file.read().decode()


def raw_data(path: Path) -> list[bytes]:
    """The received bytes of a raw recording, chunk by chunk; an unreadable header means that there are none."""
    try:
        return [item.data for item in RawLogReader(path).items() if isinstance(item, RawChunk)]
    except InputError:
        return []


def contents(disk: Disk, path: str, scratch: Path) -> tuple[list[bytes], list[bytes]]:
    """What a recording held at the last sync, and now."""
    inode: Inode = disk.inode(path)
    found = []
    for changes in (inode.durable, len(inode.changes)):
        scratch.write_bytes(inode.content(changes))
        found.append(raw_data(scratch))
    return found[0], found[1]


def check(left: Path, disk: Disk, seen: Acknowledged, before: Before, session: Path, source: SourceInfo) -> None:
    """Open what a cut has left of a session, and continue it."""
    lines = estimate_lines(left)
    assert [line for line in lines if line in set(before.lines)] == before.lines
    mine = [line for line in lines if line not in set(before.lines)]
    assert mine[: seen.durable] == seen.lines[: seen.durable]
    # Nothing is invented. The last line may have been on its way to the standard output.
    assert set(mine[:-1]) <= set(seen.lines)
    scratch = left.parent / "scratch.aer"
    for name, data in before.raw.items():
        assert raw_data(left / name) == data
    for path in [p for p in disk.names if p.endswith(".aer") and Path(p).name not in before.raw]:
        durable, newest = contents(disk, path, scratch)
        kept = raw_data(left / Path(path).name) if (left / Path(path).name).exists() else []
        assert kept[: len(durable)] == durable
        assert set(kept) <= set(newest)
    if seen.lines:
        assert (left / "session.json").exists()
        about = json.loads((left / "session.json").read_text())
        assert about["runs"][-1]["session"] == json.loads(seen.lines[0])["session"]
    sink = SessionSink(left, source, load_bundle("demo"), "after")
    if (left / "summary.json").exists():
        return  # it ended before the cut
    sink.open()
    sink.close(None)
    assert estimate_lines(left)[: len(before.lines) + seen.durable] == [*before.lines, *seen.lines[: seen.durable]]


def cut_and_check(
    folder: Path, made: list[Call], start: dict[str, bytes], before: Before, source: SourceInfo, chance: random.Random
) -> tuple[Disk, Acknowledged]:
    """Cut the power at random moments of one run; return the disk at the last of them, and what was acknowledged."""
    root, disk, seen = folder / "root", Disk(folder / "root", start), Acknowledged()
    session = root / "session"
    changing = [at for at, call in enumerate(made) if str(root) in call.path or call.fd == 1]
    # The last cut is after the end.
    moments = {*chance.sample(changing, CUTS_OF_A_RUN - 1), len(made) - 1}
    for at, call in enumerate(made):
        disk.apply(call)
        seen.take(call)
        if at in moments:
            if at == len(made) - 1:
                seen.durable = len(seen.lines)  # an exit code acknowledges everything
            for state in STATES:
                rebuilt = folder / "rebuilt"
                shutil.rmtree(rebuilt, ignore_errors=True)
                rebuilt.mkdir()
                disk.rebuild(rebuilt, state, chance)
                if seen.durable or (rebuilt / "session").is_dir():
                    check(rebuilt / "session", disk, seen, before, session, source)
    return disk, seen


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(1800)
def test_30_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    tool("strace")
    chance, before = random.Random(30), Before()
    (tmp_path / "root").mkdir()
    session, start = tmp_path / "root" / "session", dict[str, bytes]()
    with live_runs.patch(seed=30) as server:
        for number in range(RUNS):
            made = traced_run(server, session, tmp_path / f"{number}.log")
            url = f"tcp:127.0.0.1:{server.port}?device=anyecg_patch"
            source = SourceInfo(url=url, device="anyecg_patch", live=True, host_clock=True)
            disk, seen = cut_and_check(tmp_path, made, start, before, source, chance)
            assert seen.durable == len(seen.lines) > 20
            longest_s = {Path(path).name: waited_s for path, waited_s in disk.longest_s.items()}
            assert {name.partition(".")[0] for name in longest_s} >= {"estimates", "raw", "beats", "events"}
            print(f"longest time to the disk, s: {longest_s}")
            assert all(waited_s < SYNC_S + BUSY_S for waited_s in longest_s.values())
            changed = [path for path in disk.longest_s if Path(path).name.startswith("estimates")]
            for without in (str(session), *changed):
                unsynced = [call for call in made if not (call.name == "fsync" and call.path == without)]
                with pytest.raises((AssertionError, AnyEcgError)):  # this test would notice a sync that is missing
                    cut_and_check(tmp_path, unsynced, start, before, source, chance)
            # The next run continues it: the end of a run would not let it.
            (session / "summary.json").unlink()
            before.lines = estimate_lines(session)
            before.raw = {path.name: raw_data(path) for path in raw_recordings(session)}
            start = {str(path): path.read_bytes() for path in session.iterdir()}
