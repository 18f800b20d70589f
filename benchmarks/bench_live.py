"""Measure what live reading costs: processor time per second of signal for every device, and the age of the estimates.

    python benchmarks/bench_live.py [--before DIR] [--seconds S] [--jobs N] [--devices NAME ...]

Every device is simulated in real time over a pseudo-terminal in its own frames, one write per frame; the kit reads it
in a process of its own, from the port to the estimates, as ``anyecg run`` does. A notification of a Bluetooth device is
one message on the pseudo-terminal. Three more rows write the bytes of a patch in other pieces. Printed per device: CPU
milliseconds per second of signal of the reading process (the first 14 s, with imports and the first window, are not
counted), the 99th percentile of the time from the last sample of a window to its written estimate (with the filter's
delay of 1.1 s), and samples and losses. ``--before`` names a checkout of another version: both sides are measured in
turns in this run, and the ratio is printed. The exit code is 1 if a device takes more than 25 ms, or loses a sample.

The last rows are the engine alone, fed with blocks of 0.1 s, and its ratio to NeuroKit2's cleaning and beat detection
of one window (if NeuroKit2 is installed).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
WARM_S = 14.0
LIMIT_MS = 25.0
MAX_BYTES = 2
"""Bytes of the length before each notification."""
PIECES = {"anyecg_patch, 1 write/ms": 0.001, "anyecg_patch, 1 write/10 ms": 0.01, "anyecg_patch, 1 write/50 ms": 0.05}
"""Rows in which the bytes of a patch are written in pieces of that many seconds."""


@dataclass(frozen=True)
class Row:
    """One simulated device.

    Attributes:
        device: Name of the device.
        fs_hz: Its sampling rate.
        per_frame: Samples per frame.
        frame: ``frame(number, samples)``: bytes of one frame, samples in microvolts.
        options: Query of the source URL.
        notify: Whether it is read by Bluetooth.
        piece_s: Time between two writes; ``None`` for one write per frame.
    """

    device: str
    fs_hz: float
    per_frame: int
    frame: Callable[[int, list[int]], bytes]
    options: str = ""
    notify: bool = False
    piece_s: float | None = None


def rows() -> dict[str, Row]:
    """Return every device of the kit, and the patch in other pieces."""
    sys.path.insert(0, str(ROOT / "tests"))
    from firmware_bridge.decoding import movesense_gsp, polar_pmd
    from firmware_bridge.wire.messages import Data, Header, Hello, encode
    from helpers import devices_frames as make

    def patch(k: int, x: list[int]) -> bytes:
        head = Header(seq=k % 65_536, tick=round(k * 25 * 32_768 / 250) & 0xFFFFFFFF)
        data = encode(Data(k * 25, make.BOOT & 0xFF, np.array(x, np.int32)), head)
        return data if k % 100 else encode(Hello(make.BOOT, tick_hz=32_768, fs_num=250, nv_num=1000)) + data

    def polar(k: int, x: list[int]) -> bytes:
        return polar_pmd.ecg_frame(599_616_000_000_000_000 + round((k + 1) * 73e9 / 130), np.array(x, np.int32))

    def movesense(k: int, x: list[int]) -> bytes:
        return b"\x02\x02" + movesense_gsp.ecg_payload(1000 + k * 64, np.array(x, np.int32), millivolts=True)

    found = {
        "ad8232_text": Row("ad8232_text", 160.0, 1, lambda _k, x: b"%d\r\n" % (512 + x[0] // 8), "rate=160"),
        "ads1292r": Row("ads1292r", 125.0, 1, lambda _k, x: make.ads1292r(x[0] or 1)),
        "anyecg_patch": Row("anyecg_patch", 250.0, 25, patch),
        "bioharness": Row("bioharness", 250.0, 63, lambda k, x: make.bioharness_frame(k, [v // 8 for v in x])),
        "bitalino": Row("bitalino", 1000.0, 1, lambda k, x: make.bitalino_frame(k, [512 + x[0] // 8])),
        "healthypi5": Row("healthypi5", 128.0, 8, lambda _k, x: make.healthypi5(x)),
        "healthypi_move": Row("healthypi_move", 128.0, 8, lambda _k, x: make.i32(*x), notify=True),
        "healthypi_v4": Row("healthypi_v4", 125.0, 1, lambda _k, x: make.healthypi_v4(x[0])),
        "heartypatch": Row("heartypatch", 128.0, 8, make.heartypatch),
        "heartypatch, 512 Hz": Row("heartypatch", 512.0, 8, lambda k, x: make.heartypatch(k, x, rate=512), "rate=512"),
        "max30003": Row("max30003", 125.0, 1, lambda _k, x: make.max30003(x[0])),
        "movesense": Row("movesense", 250.0, 16, movesense, notify=True),
        "openbci_cyton": Row("openbci_cyton", 250.0, 1, lambda k, x: make.cyton(k, [x[0] * 50, *range(7)])),
        "openbci_ganglion": Row(
            "openbci_ganglion", 200.0, 2, lambda k, x: make.ganglion(k % 100, x[0] << 8, x[1] << 8), notify=True
        ),
        "polar_h10": Row("polar_h10", 130.0, 73, polar, notify=True),
    }
    for name, piece_s in PIECES.items():
        found[name] = Row("anyecg_patch", 250.0, 25, patch, piece_s=piece_s)
    return found


def ecg_uv(fs_hz: float, seconds: float) -> list[int]:
    """Return a simulated ECG in microvolts: one minute, repeated."""
    from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

    minute = (EcgSynth(EcgParams(), 1).generate(round(60 * fs_hz), fs_hz) * 1000.0).astype(int)
    return np.resize(minute, round(seconds * fs_hz)).tolist()


def writes(row: Row, seconds: float) -> Iterator[tuple[float, bytes]]:
    """Yield the time of each write after the start, s, and its bytes."""
    ecg, n = ecg_uv(row.fs_hz, seconds), row.per_frame
    for k in range(len(ecg) // n):
        data = row.frame(k, ecg[k * n : (k + 1) * n])
        begin_s, end_s = k * n / row.fs_hz, (k + 1) * n / row.fs_hz
        if row.notify:
            data = len(data).to_bytes(MAX_BYTES, "little") + data
        if row.piece_s is None:
            yield end_s, data
            continue
        parts = max(1, round((end_s - begin_s) / row.piece_s))
        for p in range(parts):
            at = slice(len(data) * p // parts, len(data) * (p + 1) // parts)
            yield end_s + p * row.piece_s, data[at]


class Messages:
    """A transport of notifications: messages with their length before them, on a pseudo-terminal."""

    def __init__(self, port: str) -> None:
        self._port = port

    async def stream(self) -> AsyncIterator[object]:
        """Yield one chunk per message."""
        from firmware_bridge.items import RawChunk
        from firmware_bridge.samples import LinkEvent, LinkEventKind
        from firmware_bridge.transports._link import ItemQueue

        queue, held = ItemQueue(self._port), bytearray()
        fd = os.open(self._port, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
        tty.setraw(fd)

        def arrived() -> None:
            try:
                held.extend(os.read(fd, 65_536))
            except OSError:
                asyncio.get_running_loop().remove_reader(fd)
                queue.put(LinkEvent(LinkEventKind.END, time.monotonic_ns()))
                queue.end()
                return
            while len(held) >= MAX_BYTES and len(held) >= (end := MAX_BYTES + int.from_bytes(held[:2], "little")):
                queue.put(RawChunk(time.monotonic_ns(), "data", bytes(held[MAX_BYTES:end])))
                del held[:end]

        asyncio.get_running_loop().add_reader(fd, arrived)
        queue.put(LinkEvent(LinkEventKind.CONNECTED, time.monotonic_ns()))
        async for item in queue.items():
            yield item

    async def write(self, data: bytes, channel: str = "data") -> bool:
        """Ignore what the decoder sends."""
        del data, channel
        return True

    async def close(self) -> None:
        """Do nothing."""


class Stamps:
    """A sink that notes when each estimate was written and the processor time until then."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float, float]] = []

    def open(self) -> None:
        """Do nothing."""

    def event(self, event: object) -> None:
        """Report the connection."""
        if getattr(event, "kind", None) == "connected":
            print("connected", flush=True)

    def signal(self, samples: object, fs_hz: float, start_s: float) -> None:
        """Do nothing."""

    def beat(self, t_s: float) -> None:
        """Do nothing."""

    def estimate(self, estimate: object) -> None:
        """Note the time."""
        self.seen.append((time.monotonic_ns(), time.process_time(), estimate.window.end_s))  # type: ignore[attr-defined]

    def close(self, summary: object) -> None:
        """Do nothing."""


def read(device: str, port: str, options: str, seconds: float, *, notify: bool) -> None:
    """Read one device for some seconds; print what was seen. Runs in a process of its own, with any version."""
    from edge.engine import Engine, SessionInfo
    from edge.pipeline import Pipeline
    from edge.session import load
    from edge.sources import SourceInfo, open_source
    from edge.sources.wire import WireSource
    from firmware_bridge import devices

    loaded = load("demo")
    engine = Engine(loaded.bundle, loaded.model, SessionInfo("b", device, lambda ns: ns, lambda: True, stalls=True))
    if notify:
        given = dict(part.split("=") for part in options.split("&") if part)
        info = SourceInfo(url=f"ble:{device}", device=device, live=True, host_clock=True, arrival_timed=True)
        source = WireSource(Messages(port), devices.get(device), info, given)
    else:
        source = open_source(f"serial:{port}?device={device}&{options}".rstrip("&"))
    stamps = Stamps()
    pipeline = Pipeline(source, engine, [stamps], seconds=seconds, tier="micro", hop_s=1.0)

    async def run() -> None:
        stop = asyncio.Event()
        await pipeline.run(stop)

    asyncio.run(run())
    counters = source.counters()
    facts = {"seen": stamps.seen, "samples": counters.get("samples", 0), "lost": engine.timeline.lost_samples}
    print(json.dumps(facts), flush=True)


def play(name: str, row: Row, seconds: float, root: Path) -> tuple[float, float, int]:
    """Simulate one device for one reader; return CPU ms per second, p99 of the age in ms, and lost samples."""
    master, slave = os.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    port = os.ttyname(slave)
    plan = list(writes(row, seconds + 3.0))
    command = [sys.executable, __file__, "--read", row.device, port, row.options, str(seconds), str(int(row.notify))]
    env = os.environ | {"PYTHONPATH": str(root)}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=root)
    assert child.stdout is not None
    while child.stdout.readline().strip() != "connected":
        if child.poll() is not None:
            raise SystemExit(f"{name}: the reader of {root} failed")
    gone = threading.Event()
    threading.Thread(target=_drain, args=(master, gone), daemon=True).start()
    begin = time.monotonic() + 0.2
    for at_s, data in plan:
        time.sleep(max(0.0, begin + at_s - time.monotonic()))
        if child.poll() is not None:
            break
        with contextlib.suppress(OSError):
            os.write(master, data)
    try:
        facts = json.loads(child.communicate(timeout=30)[0].splitlines()[-1])
    finally:
        child.kill()
        gone.set()
        os.close(slave)
        os.close(master)
    seen = [s for s in facts["seen"] if s[0] * 1e-9 > begin + WARM_S]
    if len(seen) < 3:
        raise SystemExit(f"{name}: only {len(seen)} estimates were written")
    cpu_ms = (seen[-1][1] - seen[0][1]) / ((seen[-1][0] - seen[0][0]) * 1e-9) * 1e3
    ages = [written * 1e-6 - (begin + end_s) * 1e3 for written, _cpu, end_s in seen]
    return cpu_ms, float(np.percentile(ages, 99)), int(facts["lost"])


def _drain(master: int, gone: threading.Event) -> None:
    """Take what the reader sends, so that its writes do not block."""
    with contextlib.suppress(OSError, termios.error):
        while not gone.is_set():
            os.read(master, 4096)


def engine_ms() -> None:
    """Print the processor time of the engine per second of signal, and NeuroKit2's for one window; both in ms."""
    from edge.bench import run as bench
    from edge.bench.ecg import blocks
    from edge.engine import Engine
    from edge.session import load

    loaded = load("demo")
    engine = Engine(loaded.bundle, loaded.model, bench.plain_session())
    items = list(blocks(bench.ecg_minute(), 60.0))
    for item in items:
        engine.push(item)
    best, peer = float("inf"), None
    for _ in range(8):
        started = time.process_time()
        for item in items:
            engine.push(item)
        best = min(best, (time.process_time() - started) / 60.0)
        with contextlib.suppress(ImportError):
            peer = min(peer or float("inf"), _neurokit_s(bench.ecg_minute()[:2500] / 1000.0))
    print(json.dumps([best * 1e3, peer and peer * 1e3]))


def _neurokit_s(window: np.ndarray) -> float:
    import warnings

    import neurokit2 as nk

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.process_time()
        for _ in range(20):
            nk.ecg_peaks(nk.ecg_clean(window, sampling_rate=250), sampling_rate=250)
    return (time.process_time() - started) / 20.0


def measure_engine(root: Path) -> tuple[float, float | None]:
    """Measure the engine of one version in a process of its own."""
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("BENCH_PATH")])])
    command = [sys.executable, __file__, "--engine"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}, cwd=root, check=True
    )
    ours, peer = json.loads(done.stdout.splitlines()[-1])
    return ours, peer


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout of another version to compare with")
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds of signal per device (default 30)")
    parser.add_argument("--jobs", type=int, default=2, help="devices at the same time (default 2)")
    parser.add_argument("--devices", nargs="*", help="rows to measure (default all)")
    args = parser.parse_args()
    every = rows()
    chosen = {name: every[name] for name in args.devices or every}
    sides = [ROOT] if args.before is None else [args.before.resolve(), ROOT]
    head = "CPU ms/s" if len(sides) == 1 else "CPU ms/s before, after, ratio"
    print(f"{'device':<28} {head:>32} {'age p99 ms':>18} {'lost':>8}")
    wrong = []
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = {n: [pool.submit(play, n, r, args.seconds, side) for side in sides] for n, r in chosen.items()}
        for name, pending in jobs.items():
            got = [job.result() for job in pending]
            cpu = " ".join(f"{g[0]:8.1f}" for g in got) + (f" {got[1][0] / got[0][0]:8.2f}" if len(got) > 1 else "")
            age, lost = " ".join(f"{g[1]:8.0f}" for g in got), " ".join(f"{g[2]:d}" for g in got)
            print(f"{name:<28} {cpu:>32} {age:>18} {lost:>8}", flush=True)
            if got[-1][0] > LIMIT_MS or got[-1][2]:
                wrong.append(name)
    for side in sides:
        ours, peer = measure_engine(side)
        ratio = f", {ours / peer:.2f} of NeuroKit2's {peer:.2f} ms per window" if peer else ""
        print(f"engine, blocks of 0.1 s, {'before' if side != ROOT else 'now'}: {ours:.2f} ms per second{ratio}")
    print(f"over {LIMIT_MS:g} ms or lossy: {', '.join(wrong)}" if wrong else f"every device is within {LIMIT_MS:g} ms")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read(sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5]), notify=sys.argv[6] == "1")
        sys.exit(0)
    if sys.argv[1:2] == ["--engine"]:
        engine_ms()
        sys.exit(0)
    sys.exit(main())
