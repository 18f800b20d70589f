"""A full disk: the run goes on, what fits into memory is written when there is room, what does not is counted."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from edge.sinks._append import AppendFile
from edge.sinks.jsonl import JsonlSink
from edge.sinks.session import SessionSink
from edge.store import compact as compact_module
from edge.store.reader import EstimateReader
from edge.store.storage import Storage
from firmware_bridge import full_disk
from firmware_bridge.errors import OutputError
from firmware_bridge.full_disk import CHUNK_BYTES, Ring
from firmware_bridge.parts import parts
from unit.edge.sinks.test_sinks import DEMO, SOURCE, at

ROOT = Path(__file__).parents[4]


class Disk:
    """Stands between the code and ``os.write``: the disk is full, or fails, at will."""

    def __init__(self, monkeypatch):
        self.error = 0
        self.room = 0
        real = os.write

        def write(fd, data):
            if not self.error:
                return real(fd, data)
            if self.room:
                taken, self.room = bytes(data[: self.room]), max(0, self.room - len(data))
                return real(fd, taken)
            raise OSError(self.error, os.strerror(self.error))

        monkeypatch.setattr(os, "write", write)
        self._retry_every = lambda seconds: monkeypatch.setattr(full_disk, "RETRY_S", seconds)

    def full(self, error=errno.ENOSPC, room=0, *, retries=False):
        self.error, self.room = error, room
        self._retry_every(0.0 if retries else 1e9)

    def free(self):
        self.error = 0
        self._retry_every(0.0)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def ends(path):
    return [e.window.end_s for e in EstimateReader(path).estimates()]


def write_each_second(folder, storage, end_s, happens):
    """Write an estimate, a beat and a line each second from 10 on; at some seconds something happens to the disk."""
    sink = SessionSink(folder / "s", SOURCE, DEMO, "a", storage=storage)
    text = JsonlSink(folder / "out.jsonl", storage)
    sink.open()
    text.open()
    for second in range(10, end_s):
        happens.get(second, lambda: None)()
        sink.estimate(at(second))
        sink.beat(second)
        text.estimate(at(second))
    text.close()
    sink.close(None)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_nothing_is_lost_in_an_hour(tmp_path, disk, error):
    said = []
    storage = Storage(said.append)
    write_each_second(tmp_path, storage, 1500, {200: lambda: disk.full(error, room=7), 1400: disk.free})
    wanted = list(range(10, 1500))
    assert ends(tmp_path / "s") == wanted
    assert ends(tmp_path / "out.jsonl") == wanted
    beats = (tmp_path / "s" / "beats.csv").read_text().splitlines()[1:]
    assert [float(line.split(",")[1]) for line in beats] == wanted
    assert not storage.lost
    assert [line.partition(" ")[0] for line in said] == ["the", "the"]
    assert "cannot write" in said[0]
    assert "has room again" in said[1]
    assert "nothing was lost" in said[1]


def test_what_does_not_fit_is_counted(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(compact_module, "RING_BYTES", 8_000)
    monkeypatch.setattr("edge.sinks.jsonl.RING_BYTES", 8_000)
    monkeypatch.setattr("edge.sinks._append.RING_BYTES", 20_000)
    said = []
    storage = Storage(said.append)
    write_each_second(tmp_path, storage, 4000, {200: disk.full, 3800: disk.free})
    for path, what in ((tmp_path / "s", "estimates"), (tmp_path / "out.jsonl", "estimates for --out")):
        got = ends(path)
        assert len(got) == 3990 - storage.lost[what]
        assert got == [*range(10, 200), *range(4000 - len(got) + 190, 4000)]
    assert 0 < storage.lost["beats"] < 3600
    reader = EstimateReader(tmp_path / "s")
    list(reader.lines())
    assert reader.lost_lines == storage.lost["estimates"] > 500
    assert f"{reader.lost_lines} estimates are missing" in reader.damage
    assert f"lost meanwhile: {storage.lost['beats']} beats, {reader.lost_lines} estimates" in said[1]
    run = json.loads((tmp_path / "s" / "session.json").read_text())["runs"][0]["storage"]
    assert run["lost"] == dict(storage.lost)
    assert run["disk_full_times"] == 1


def test_a_run_that_ends_on_a_full_disk_says_what_is_lost(tmp_path, disk):
    storage = Storage(lambda _: None)
    sink = SessionSink(tmp_path / "s", SOURCE, DEMO, "a", storage=storage)
    sink.open()
    sink.estimate(at(10))
    disk.full()
    for second in range(11, 31):
        sink.estimate(at(second))
    with pytest.raises(OutputError, match="the disk is full; 20 estimates at the end are lost"):
        sink.close(None)
    assert storage.lost == {"estimates": 20}
    disk.free()
    assert ends(tmp_path / "s") == [10]


def test_a_disk_that_fails_ends_the_run(tmp_path, disk):
    sink = SessionSink(tmp_path / "s", SOURCE, DEMO, "a")
    sink.open()
    sink.estimate(at(10))
    disk.full(retries=True)
    sink.estimate(at(11))
    disk.full(errno.EIO, retries=True)
    with pytest.raises(OutputError, match="Input/output error"):
        sink.estimate(at(12))


@pytest.mark.parametrize("room", [0, 3])
def test_full_while_a_part_begins(tmp_path, disk, room):
    storage = Storage(lambda _: None)
    file = AppendFile(tmp_path / "beats.csv", b"run,", "run,time_s", part_bytes=1000, watch=storage)
    file.open()
    written = 0
    while file.size < 1000:
        file.write_line(f"1,{written:010}")
        written += 1
    disk.full(room=room, retries=True)
    for _ in range(50):
        file.write_line(f"1,{written:010}")
        written += 1
    assert [path.name for path in tmp_path.iterdir()] == ["beats.csv"]
    disk.free()
    for _ in range(300):
        file.write_line(f"1,{written:010}")
        written += 1
    file.close()
    names = [path.name for path in parts(tmp_path / "beats.csv")]
    assert names[:2] == ["beats.csv", "beats.2.csv"]
    lines = [(tmp_path / name).read_text().splitlines() for name in names]
    assert all(part[0] == "run,time_s" for part in lines)
    assert [line for part in lines for line in part[1:]] == [f"1,{i:010}" for i in range(written)]
    assert not storage.lost


def test_full_twice(tmp_path, disk):
    said = []
    storage = Storage(said.append)
    text = JsonlSink(tmp_path / "out.jsonl", storage)
    text.open()
    for second in range(10, 1000):
        if second % 100 == 50:
            disk.full(room=second % 13, retries=True)
        if second % 100 == 90:
            disk.free()
        text.estimate(at(second))
    text.close()
    assert ends(tmp_path / "out.jsonl") == list(range(10, 1000))
    assert len(said) == 20
    assert storage.full_times == 10


def test_the_ring_holds_the_newest_in_order():
    ring = Ring(5 * CHUNK_BYTES)
    for i in range(10_000):
        ring.push(i.to_bytes(4, "little") * 25)
    assert 4 * CHUNK_BYTES < ring.size <= 5 * CHUNK_BYTES
    out = bytearray()
    kept = len(ring)
    ring.drain(out.extend)
    numbers = [int.from_bytes(out[at : at + 4], "little") for at in range(0, len(out), 100)]
    assert numbers == list(range(10_000 - kept, 10_000))
    assert ring.dropped == 10_000 - kept
    assert not ring
    assert ring.size == 0


def test_the_link_does_not_wait_for_all_that_waited(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(full_disk, "DRAIN_S", -1.0)  # one chunk before each item
    monkeypatch.setattr(full_disk, "CHUNK_BYTES", 100)
    said = []
    watch = Storage(said.append)
    written = bytearray()
    waiting = full_disk.Waiting("items", 10_000, watch)
    items = [bytes((i,)) * 100 for i in range(100)]

    def full(_data):
        raise OSError(errno.ENOSPC, "")

    disk.full()
    for item in items[:50]:
        waiting.write(item, full, tmp_path)
    disk.free()
    for item in items[50:]:
        before = len(written)
        waiting.write(item, written.extend, tmp_path)
        assert len(written) - before <= 100
    assert waiting.active
    assert len(said) == 1
    assert waiting.end(written.extend) == 0
    assert written == b"".join(items)
    assert len(said) == 2


SMALL_DISK = """
import subprocess, sys
from pathlib import Path
sys.path[:0] = {path!r}
folder = Path({folder!r})
subprocess.run(["mount", "-t", "tmpfs", "-o", "size={size}", "tmpfs", str(folder)], check=True)
"""


def small_disk(folder, code, size="2m", timeout=300):
    """Run code in a child that sees a small file system of its own at ``folder``."""
    folder.mkdir()
    text = SMALL_DISK.format(path=sys.path, folder=str(folder), size=size) + textwrap.dedent(code)
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        able = subprocess.run(probe, capture_output=True, timeout=60, check=False).returncode == 0
    except FileNotFoundError:
        able = False
    if not able:
        pytest.skip("needs user namespaces (unshare -rm), to mount a small file system without root")
    command = ["unshare", "-rm", sys.executable, "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_real_file_system(tmp_path):
    """A tmpfs of 2 MB that something else fills to the last byte, and leaves."""
    code = """
        from unit.edge.store.test_full_disk import *
        full_disk.RETRY_S = 0.0
        from firmware_bridge.items import RawChunk
        from firmware_bridge.rawlog import RawLogHeader, RawLogReader, RawLogWriter
        said = []
        storage = Storage(said.append)
        sink = SessionSink(folder / "s", SOURCE, DEMO, "a", storage=storage)
        sink.open()
        raw = RawLogWriter(folder / "s" / "raw.aer", RawLogHeader("d", "u", "s", 0, 0), storage)
        ballast = folder / "ballast"
        for second in range(10, 1000):
            if second == 200:
                with ballast.open("wb", buffering=0) as file:
                    try:
                        while True:
                            file.write(bytes(4096))
                    except OSError:
                        pass
            if second == 700:
                ballast.unlink()
            sink.estimate(at(second))
            raw.item(RawChunk(second, "data", bytes(200)))
        raw.close()
        sink.close(None)
        assert ends(folder / "s") == list(range(10, 1000))
        assert [item.arrival_ns for item in RawLogReader(folder / "s" / "raw.aer").items()] == list(range(10, 1000))
        assert not storage.lost, storage.lost
        print(*said, sep="\\n")
    """
    said = small_disk(tmp_path / "disk", code).splitlines()
    assert len(said) == 2
    assert "the disk is full" in said[0]
    assert "nothing was lost" in said[1]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_day_with_the_disk_full_for_an_hour(tmp_path):
    """Hours of signal at full speed through the whole chain, in one of which the disk has no byte left.

    Six hours by default; ANYECG_FULL_DISK_HOURS=24 makes it a day.
    """
    hours = int(os.environ.get("ANYECG_FULL_DISK_HOURS", "6"))
    code = (
        f"""
        HOURS, FULL = {hours}, {min(10, hours // 3)}
    """
        """
        from unit.edge.store.test_full_disk import *
        from edge.cli.main import main
        from edge.process.budget import rss_mib
        from firmware_bridge.rawlog import RawLogReader
        from firmware_bridge import devices
        from firmware_bridge.samples import SampleBlock
        from edge.sinks import BaseSink

        class Filler(BaseSink):
            rss = {}
            def estimate(self, e):
                hour = int(e.window.end_s // 3600)
                self.rss.setdefault(hour, rss_mib())
                if hour == FULL and not (folder / "ballast").exists():
                    with (folder / "ballast").open("wb", buffering=0) as file:
                        try:
                            while True:
                                file.write(bytes(4096))
                        except OSError:
                            pass
                if hour > FULL:
                    (folder / "ballast").unlink(missing_ok=True)

        import edge.cli.run.one as run
        run.make_views = lambda *args, **kw: [Filler()]
        source = "sim:?speed=max"
        args = ["run", "--source", source, "--seconds", str(3600 * HOURS), "--hop", "5"]
        args += ["--session-dir", str(folder / "s"), "--record", "--keep", "all"]
        code = main([*args, "--out", str(folder / "out.jsonl"), "--view", "none"])
        assert code == 0, code
        summary = json.loads((folder / "s" / "summary.json").read_text())
        lines = list(EstimateReader(folder / "s").lines())
        assert len(lines) == summary["hops"] > 720 * HOURS - 10, (len(lines), summary["hops"])
        assert lines == list(EstimateReader(folder / "out.jsonl").lines())
        assert summary["storage"]["lost"] == {}, summary["storage"]
        assert summary["storage"]["disk_full_times"] == 1, summary["storage"]
        reader = RawLogReader(folder / "s" / "raw.aer")
        decoder = devices.get(reader.header.device).decoder()
        samples = 0
        for item in reader.items():
            for one in devices.decode_item(decoder, item):
                if isinstance(one, SampleBlock):
                    assert one.lost == 0
                    samples += len(one)
        assert reader.damage == ""
        assert abs(samples - 250 * 3600 * HOURS) < 2500, samples
        print(Filler.rss[1], Filler.rss[FULL], Filler.rss[FULL + 1], Filler.rss[HOURS - 1])
    """
    )
    rss = [float(word) for word in small_disk(tmp_path / "disk", code, "256m", timeout=3000).split()[-4:]]
    assert rss[3] - rss[0] < 10.0
