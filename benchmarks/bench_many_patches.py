"""Measure what many patches cost in one process, and what the same patches cost in one process each.

    python benchmarks/bench_many_patches.py [--patches N] [--alone K] [--seconds S] [--hop H ...]

N virtual patches (default 50, 250 Hz, ten frames a second) send over TCP in real time from another process. One
`anyecg run` reads all of them, with a session folder each. At the same time K processes (default 4) read one patch
each, and their mean times N stands for N processes. Printed: peak memory, and processor time as a share of one core
after the first estimates. The exit code is 1 if the one process needs more than 100 MB.

Processor time depends on what else the machine does: run it on an idle one.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WARM_S = 20.0
LIMIT_MB = 100.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What a process needs.

    Attributes:
        peak_mb: Peak resident memory, MB.
        share: Processor time as a share of one core.
    """

    peak_mb: float
    share: float


def cpu_s(pid: int) -> float:
    """Return the processor time of a process, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mb(pid: int) -> float:
    """Return the peak resident memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("this system does not tell the peak memory of a process")


def measure(runs: list[list[str]], seconds: float) -> list[Cost]:
    """Start runs at the same time, measure each, and end them."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    children = [
        subprocess.Popen([sys.executable, "-m", "edge.cli", "run", *run], env=environment, stderr=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL)
        for run in runs
    ]  # fmt: skip
    try:
        time.sleep(WARM_S)
        before, began_s = [cpu_s(child.pid) for child in children], time.monotonic()
        time.sleep(seconds)
        took_s = time.monotonic() - began_s
        return [
            Cost(peak_mb(child.pid), (cpu_s(child.pid) - cpu) / took_s)
            for child, cpu in zip(children, before, strict=True)
        ]
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait()


def main() -> int:
    """Measure and print both sides."""
    sys.path.insert(0, str(ROOT / "tests"))
    from helpers.many_patches import ports, station_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=int, default=50)
    parser.add_argument("--alone", type=int, default=4, help="processes with one patch each (default 4)")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--hop", type=float, nargs="*", default=[1.0, 5.0])
    args = parser.parse_args()
    over = False
    print(f"{args.patches} patches in real time{'peak MB':>40} {'share of a core':>18}")
    for hop_s in args.hop:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            with ports(args.patches) as numbers, ports(args.alone) as others:
                runs = [
                    ["--source", f"tcp:127.0.0.1:{port}", "--session-dir", str(place / f"s{port}"), "--hop", str(hop_s),
                     "--out", str(place / f"{port}.jsonl"), "--view", "none"]
                    for port in others
                ]  # fmt: skip
                one, *each = measure([["--config", str(station_file(place, numbers, hop_s))], *runs], args.seconds)
        mean = Cost(sum(c.peak_mb for c in each) / len(each), sum(c.share for c in each) / len(each))
        print(f"hop {hop_s:g} s, one process{one.peak_mb:>38.0f} {one.share:>17.1%}")
        print(f"hop {hop_s:g} s, one process each ({args.alone} measured){mean.peak_mb * args.patches:>20.0f} "
              f"{mean.share * args.patches:>17.1%}")  # fmt: skip
        ratios = one.peak_mb / mean.peak_mb / args.patches, one.share / mean.share / args.patches
        print(f"hop {hop_s:g} s, ratio{ratios[0]:>44.3f} {ratios[1]:>17.2f}", flush=True)
        over |= one.peak_mb > LIMIT_MB
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
