"""What the page costs a run: memory and processor time without it, with it, and with one viewer, in turns.

The source is a recording of a simulated patient, played in real time. The processor time is that of the process of the
run; the viewer reads the stream of events from the process of this program, as a browser does.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CASES = ("without", "page", "viewer")
HOP_S = 1.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edge.cli", "run", "--view", "none", *arguments]


def record(path: Path, seconds: float) -> None:
    source = "sim:?speed=max&potassium=6.5"
    done = command("--source", source, "--seconds", f"{seconds:g}", "--record", str(path))
    subprocess.run(done, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def watch(port: int, taken: list[int]) -> None:
    """Read the stream of events until the run ends, as a browser does."""
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/events")
            answer = connection.getresponse()
            while data := answer.read1(65536):
                taken[0] += len(data)
        except (ConnectionError, http.client.HTTPException, OSError):
            if taken[0]:
                return


def run(case: str, recording: Path, seconds: float) -> tuple[float, float, int]:
    """Return peak memory, MiB, processor time, s, and bytes that the viewer got."""
    port, taken = free_port(), [0]
    page = [] if case == "without" else ["--http", f"127.0.0.1:{port}"]
    source = ["--source", f"replay:{recording}", "--speed", "1", "--seconds", f"{seconds:g}"]
    process = subprocess.Popen(
        command(*source, *page), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    if case == "viewer":
        threading.Thread(target=watch, args=(port, taken), daemon=True).start()
    assert process.stdout is not None
    text = process.stdout.read()
    _pid, _status, used = os.wait4(process.pid, 0)
    process.returncode = 0
    found = re.search(r"^memory +([0-9.]+) MiB", text, re.MULTILINE)
    assert found, "the run gave no summary"
    return float(found[1]), used.ru_utime + used.ru_stime, taken[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0, help="signal of each run, s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the medians as JSON")
    args = parser.parse_args()
    got: dict[str, list[tuple[float, float, int]]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "ecg.aer"
        record(recording, args.seconds + 5.0)
        for _ in range(args.rounds):
            for case in CASES:
                got[case].append(run(case, recording, args.seconds))
    medians = {case: [statistics.median(column) for column in zip(*rows, strict=True)] for case, rows in got.items()}
    base_mib, base_s, _ = medians["without"]
    if args.json:
        print(
            json.dumps(
                {
                    case: {"mib": mib - base_mib, "core": (cpu_s - base_s) / args.seconds, "bytes": size}
                    for case, (mib, cpu_s, size) in medians.items()
                }
            )
        )
        return
    print(f"medians of {args.rounds} runs of {args.seconds:g} s, hop {HOP_S:g} s")
    print("| | peak memory, MiB | added | processor time, s | added, share of a core | to the viewer, kB/s |")
    print("|---|---|---|---|---|---|")
    for case, (mib, cpu_s, size) in medians.items():
        share = 100 * (cpu_s - base_s) / args.seconds
        sent = size / args.seconds / 1000
        print(f"| {case} | {mib:.1f} | {mib - base_mib:.1f} | {cpu_s:.2f} | {share:.1f} % | {sent:.1f} |")


if __name__ == "__main__":
    main()
