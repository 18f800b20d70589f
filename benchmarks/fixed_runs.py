"""Run a fixed set of commands and print one hash for each result, to compare two versions of the kit.

    python benchmarks/fixed_runs.py [--checkout DIR] [--work DIR] > hashes.txt

Every command runs in a fresh folder with the packages of ``DIR`` (this checkout by default). Host times, latencies and
session names are removed from estimates and reports, so equal hashes mean results that are equal byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HOST_KEYS = {"time", "latency_ms", "session", "created", "seconds", "elapsed_s", "host", "started", "wall_s", "machine"}
LABELS = """[heads]
min_values = 10
min_positives = 2
[labs.potassium]
[labs.hemoglobin]
[labs.sodium]
"""
COMMANDS = (
    "run --source sim:?potassium=6.5&speed=max --seconds 60 --view none --out sim.jsonl",
    "run --source sim:?seed=9&pvc_per_beat=0.1&speed=max --seconds 90 --view none --out noisy.jsonl",
    "run --source replay:{shared}/data/mitdb_100/100 --speed max --seconds 120 --view none --out mitdb.jsonl",
    "micro-package demo --out micro",
    "firmware c-side",
    "calibrate device --source sim:?signal=pulse&nv=0&gain=-0.37&offset_mv=3&noise_mv=0.01&speed=max --out board.toml",
    "simulate --patients 40 --seed 7 --seconds 30 --out cohort --quiet",
    "prepare --mcmed cohort --labels labels.toml --out prepared --quiet",
    "finetune --init scratch --shape tiny --data prepared --out teacher --epochs 2 --quiet",
    "convert foundation teacher --data cohort --out foundation",
    "convert micro teacher --data cohort --labels cohort --preset nano --float-epochs 2 --quant-epochs 1 --out student",
    "evaluate teacher --data prepared --out evaluated --quiet --jobs 1",
    "validate demo --data cohort --split all --out validated --hop 4 --robustness 2 --quiet",
    "bundle verify foundation",
    "bundle verify student",
)
"""Commands in order; the results of one are the inputs of the next."""


def main() -> None:
    """Run all commands and print the hashes."""
    parser = argparse.ArgumentParser(description="hash the results of a fixed set of runs")
    parser.add_argument("--checkout", type=Path, default=ROOT)
    parser.add_argument("--work", type=Path, help="an empty folder; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(exist_ok=True)
        (work / "labels.toml").write_text(LABELS, encoding="utf-8")
        for command in COMMANDS:
            run(command, options.checkout.resolve(), work)
        for path in sorted(p for p in work.rglob("*") if p.is_file()):
            print(f"{hashlib.sha256(comparable(path)).hexdigest()[:16]}  {path.relative_to(work)}")


def run(command: str, checkout: Path, work: Path) -> None:
    """Run one command; a failure is a part of the result and is printed."""
    argv = command.format(shared=checkout.parent / "shared").split()
    env = {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3", "SOURCE_DATE_EPOCH": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", *argv], cwd=work, env=env, capture_output=True, text=True, check=False
    )
    last = (done.stderr.strip().splitlines() or [""])[-1] if done.returncode else ""
    print(f"{done.returncode:<16}  anyecg {command} {last}", flush=True)


def comparable(path: Path) -> bytes:
    """Return the bytes of a file without the parts that depend on host or time."""
    data = path.read_bytes()
    if path.suffix == ".jsonl":
        return b"\n".join(json.dumps(without_host(json.loads(line))).encode() for line in data.splitlines())
    if path.suffix == ".json":
        return json.dumps(without_host(json.loads(data))).encode()
    if path.suffix in {".html", ".md", ".txt", ".csv", ".toml"}:
        return re.sub(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?", b"TIME", data)
    return data


def without_host(value: Any) -> Any:
    """Return a JSON value without the keys for host, time and duration."""
    if isinstance(value, dict):
        return {k: without_host(v) for k, v in value.items() if k not in HOST_KEYS}
    if isinstance(value, list):
        return [without_host(v) for v in value]
    return value


if __name__ == "__main__":
    main()
