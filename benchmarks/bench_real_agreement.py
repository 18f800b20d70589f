"""Measure on real recordings how closely a student follows its teacher: correlation of the logits of each head.

    python benchmarks/bench_real_agreement.py CHECKPOINT --outputs FILE --bundle BUNDLE --data DIR [--bn on]

DIR has ``reference.csv`` (columns ``id``, ``lead``, ``fs``) and a folder for each ``id``. The comparison uses sixteen
windows of every lead, spread over it, that pass the quality gate. Prints the correlation over the first lead of each
recording and over all leads. The exit code is 1 if the median over the heads is below 0.9 on the first leads. The
recordings must not have been used to train the student.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import tempfile
from pathlib import Path

import numpy as np

REQUIRED = 0.9
HOP_S, MOST = 5.0, 16


def _leads(data: Path):
    from convert.datasets.pairs import BLOCK_S, windows_of
    from edge.sources.replay.base import ReadOptions
    from edge.sources.replay.source import Playback, ReplaySource, open_reader
    from firmware_bridge.errors import AnyEcgError

    with (data / "reference.csv").open(encoding="utf-8") as file:
        rows = [(r["id"], r["lead"], float(r["fs"])) for r in csv.DictReader(file)]
    for name, lead, fs_hz in rows:
        files = [p for p in sorted((data / name).iterdir()) if not p.stem.endswith("_ann")]
        path = next((p for s in (".hea", ".csv", ".mat") for p in files if p.suffix == s), None)
        options = ReadOptions(lead=lead) if path and path.suffix == ".hea" else ReadOptions(fs_hz=fs_hz)
        try:
            reader = open_reader(path, options)
            blocks = ReplaySource(str(path), reader, name, Playback(speed=math.inf, block_s=BLOCK_S)).blocks()
            found = list(windows_of((item for _, item in blocks), HOP_S))
        except AnyEcgError as error:
            sys.stdout.write(f"{name} {lead}: {error}\n")
            continue
        keep = sorted({int(i) for i in np.linspace(0, len(found) - 1, MOST)}) if found else []
        yield name, lead, [found[i] for i in keep]


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--bundle", default="demo")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bn", choices=["on", "off"], default="on")
    args = parser.parse_args()
    from convert.compute.inference import run_int8
    from convert.datasets.pairs import student_stream
    from convert.teacher.open import CheckpointOptions, open_teacher
    from edge.bundle.reader import load_bundle
    from edge.frontend.stream import window_input_int8

    bundle = load_bundle(args.bundle)
    inputs, expected, record, lead = [], [], [], []
    with tempfile.TemporaryDirectory() as work:
        teacher = open_teacher(args.checkpoint, CheckpointOptions(args.outputs, 2, args.bn == "on"), Path(work))
        for name, of, windows in _leads(args.data):
            for window in windows:
                inputs.append(window_input_int8(student_stream(window.context)))
                expected.append(teacher.label(window.raw)[0])
                record.append(name)
                lead.append(of)
    found = run_int8(bundle.model, np.array(inputs)[:, None, :, None], "xnnpack").astype(np.float64)
    first = {name: next(w for r, w in zip(record, lead, strict=True) if r == name) for name in record}
    is_first = np.array([first[r] == w for r, w in zip(record, lead, strict=True)])
    medians = []
    for title, rows in (("first lead of each", is_first), ("all leads", np.ones(len(record), bool))):
        t = np.array(expected)[rows]
        r = [float(np.corrcoef(found[rows, h.index], t[:, h.index])[0, 1]) for h in bundle.manifest.outputs]
        medians.append(float(np.median(r)))
        sys.stdout.write(f"{title}: {int(rows.sum())} windows of {len({record[i] for i in np.flatnonzero(rows)})} ")
        sys.stdout.write(f"recordings, median {medians[-1]:.3f}\n")
        for head, value in zip(bundle.manifest.outputs, r, strict=True):
            sys.stdout.write(f"  {head.key:16s} {value:.3f}\n")
    return 0 if medians[0] >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main())
