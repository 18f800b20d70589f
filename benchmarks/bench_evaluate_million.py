"""Measure `anyecg evaluate` without inference: a report on a million segments and 108 heads.

    python benchmarks/bench_evaluate_million.py [--segments N] [--labs K] [--patients P] [--plain-heads H]

Writes shards of labels and of scores, as `anyecg prepare` and an earlier run leave them, and evaluates them in a new
process: reading, rankings, calibration, horizons and ten minutes. No network runs and no baseline is trained. Prints
time and peak memory, and for a head the time of the plain form of the statistics (`tests/helpers/plain_statistics.py`)
divided by the time of the form in use, measured in turns. A laboratory value has four heads of a direction: now and
30, 60 and 120 minutes ahead. The exit code is 1 above 4 GB or ten minutes of CPU time.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

MOST_GB = 4.0
MOST_S = 600.0
SHARD = 20_000
SEGMENTS_A_VISIT = 144
HORIZONS = (None, 30, 60, 120)
DIRECTIONS = ("low", "high", "abnormal")
ROOT = Path(__file__).resolve().parents[1]


def heads(labs: int) -> list[dict[str, Any]]:
    """Return the heads of the manifest: twelve for each lab."""
    keys = [(f"lab{i:02d}", d, h) for i in range(labs) for d in DIRECTIONS for h in HORIZONS]
    return [
        {"key": f"{lab}_{d}" + ("" if h is None else f"_{h}min"), "lab": lab, "loinc": "1-1", "unit": "1",
         "kind": "probability", "direction": d, "horizon_min": h, "column": j, "median": 0.0, "iqr": 1.0,
         "kept": True, "dropped": ""}
        for j, (lab, d, h) in enumerate(keys)
    ]  # fmt: skip


def write_data(folder: Path, segments: int, patients: int, described: list[dict[str, Any]]) -> None:
    """Write a prepared data set without its segments: their file has the right size and takes no space."""
    from convert.datasets.prepared import SCHEMA, UNKNOWN
    from edge.process.files import sha256_of

    (folder / "shards").mkdir(parents=True)
    rng = np.random.default_rng(0)
    risk = rng.normal(0.0, 1.0, (patients, len(described))).astype(np.float32)
    shards = []
    for k, first in enumerate(range(0, segments, SHARD)):
        n = min(SHARD, segments - first)
        visit = (first + np.arange(n)) // SEGMENTS_A_VISIT
        patient = visit % patients
        present = rng.random((n // SEGMENTS_A_VISIT + 2, len(described)))[visit - visit[0]] < 0.8
        ill = risk[patient] + rng.normal(0.0, 0.3, (n, len(described))).astype(np.float32) > 1.5
        names, of = np.unique([f"{p:06d}" for p in patient], return_inverse=True)
        at_s = 10.0 * (np.arange(first, first + n) % SEGMENTS_A_VISIT)
        arrays = {
            "scale": np.ones(n, np.float32), "start_s": 1.6e9 + 1e5 * visit + at_s, "visit": visit,
            "patients": names, "patient": of, "recordings": np.unique(visit).astype(str),
            "recording": visit - visit[0], "age": np.full(n, 60, np.float32), "sex": np.full(n, "F"),
            "sd_mv": np.ones(n, np.float32), "binary": np.where(present, ill, UNKNOWN).astype(np.uint8),
            "values": np.empty((n, 0), np.float32),
        }  # fmt: skip
        name = f"test-{k:04d}"
        np.savez(folder / "shards" / f"{name}.npz", **arrays)
        with (folder / "shards" / f"{name}.npy").open("wb") as file:
            form = {"descr": "<i2", "fortran_order": False, "shape": (n, 5000)}
            np.lib.format.write_array_header_1_0(file, form)
            file.truncate(file.tell() + n * 10_000)
        sha256 = {".npy": "0" * 64, ".npz": sha256_of(folder / "shards" / f"{name}.npz")}
        shards.append({"name": name, "part": "test", "segments": n, "sha256": sha256})
    manifest = {
        "schema": SCHEMA, "key": "bench", "source": "bench", "simulated": True, "heads": described, "shards": shards,
        "segments": {"train": 0, "val": 0, "test": segments}, "origin": {"kind": "simulated", "seed": 1},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


def open_fake(labs: int) -> Any:
    """Return a teacher whose scores exist already."""
    from calibration.evaluate.teacher import OpenTeacher
    from convert.datasets.heads import TeacherHead

    outputs = tuple(
        TeacherHead(h["key"], h["lab"], h["loinc"], h["unit"], h["kind"], h["direction"], h["horizon_min"])
        for h in heads(labs)
    )
    return OpenTeacher(
        "bench", "checkpoint", "0", "bench", outputs, (None,) * len(outputs), lambda: b"none", None, None
    )


def write_scores(folder: Path, teacher: Any, work: Path) -> None:
    """Write the shards of scores: logits that follow the labels where they are known."""
    from calibration.evaluate import score
    from convert.datasets.prepared import PreparedDataset

    data = PreparedDataset(folder)
    rng = np.random.default_rng(1)
    for job in score._jobs(data, "test", teacher, work):  # noqa: SLF001  # as make_scores writes them
        job.out.parent.mkdir(parents=True, exist_ok=True)
        truth = np.nan_to_num(data.shard(job.name).targets(), nan=0.5)
        buffer = io.BytesIO()
        np.save(buffer, (truth - 2.0 + rng.normal(0.0, 1.0, truth.shape)).astype(np.float32), allow_pickle=False)
        job.out.write_bytes(score._digest(job, buffer.getvalue()) + buffer.getvalue())  # noqa: SLF001  # as make_scores does


def whole(folder: Path, labs: int) -> None:
    """Evaluate in this process and print time and memory as JSON."""
    from calibration.evaluate import run
    from calibration.evaluate.run import EvaluateOptions, evaluate

    run.open_teacher = lambda _path, _how: open_fake(labs)  # type: ignore[attr-defined]  # no inference
    wall, cpu = time.monotonic(), time.process_time()
    report = evaluate(EvaluateOptions(Path("bench"), folder / "data", folder / "out", baselines=False), None)
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "wall": time.monotonic() - wall, "cpu": time.process_time() - cpu, "gb": used.ru_maxrss * 1024 / 1e9,
        "judged": sum(h["auroc"] is not None for h in report["heads"]),
    }  # fmt: skip
    print(json.dumps(found))


def per_head(segments: int, patients: int, count: int) -> tuple[float, float]:
    """Return the CPU time of the plain form and of the form in use for a head, seconds, measured in turns."""
    from calibration.evaluate.heads import Draws
    from convert.stats.reliability import reliability
    from edge.stats import sigmoid
    from helpers.plain_statistics import PlainResampler, plain_ranked, plain_reliability

    rng = np.random.default_rng(0)
    patient = np.sort(rng.integers(0, patients, segments))
    y = (rng.normal(0, 1, patients)[patient] + rng.normal(0, 0.3, segments)) > 1.5
    scores = (y - 2.0 + rng.normal(0, 1, segments)).astype(np.float32).astype(np.float64)
    times = np.empty((count, 2))
    for i in range(count):
        start = time.process_time()
        resampler = PlainResampler(patient, 1, 1000)
        plain = plain_ranked(scores, y, resampler), plain_reliability(sigmoid(scores), y, resampler, 1)
        middle = time.process_time()
        draws = Draws(1, 1000)
        ours = draws.ranked(scores, y, patient), reliability(sigmoid(scores), y, draws.of(patient), 1)
        times[i] = middle - start, time.process_time() - middle
        assert (plain[0].auroc, plain[1].curve) == (ours[0].auroc, ours[1].curve), "the forms differ"
    return float(times[:, 0].min()), float(times[:, 1].min())


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=1_000_000)
    parser.add_argument("--labs", type=int, default=9, help="a lab has twelve heads")
    parser.add_argument("--patients", type=int, default=6000)
    parser.add_argument("--plain-heads", type=int, default=1, help="rounds of the comparison; 0 for none")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    if args.inside is not None:
        whole(args.inside, args.labs)
        return 0
    if args.plain_heads:
        from sklearn.linear_model import LogisticRegression  # noqa: F401  # loaded before the clock starts

        plain, ours = per_head(args.segments, args.patients, args.plain_heads)
        print(f"a head: plain {plain:.2f} s, in use {ours:.2f} s of CPU: {plain / ours:.1f} times", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "data", args.segments, args.patients, heads(args.labs))
        write_scores(folder / "data", open_fake(args.labs), folder / "out" / "work")
        again = [sys.executable, __file__, "--inside", name, "--labs", str(args.labs)]
        found = json.loads(subprocess.run(again, check=True, stdout=subprocess.PIPE).stdout)
    print(
        f"{args.segments} segments, {12 * args.labs} heads ({found['judged']} judged): {found['cpu']:.0f} s of CPU, "
        f"{found['wall']:.0f} s, peak {found['gb']:.2f} GB"
    )
    return 0 if found["gb"] < MOST_GB and found["cpu"] < MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
