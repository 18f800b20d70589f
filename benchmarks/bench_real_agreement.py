"""Measure on real recordings how closely a student follows its teacher: correlation of the logits of each head.

    python benchmarks/bench_real_agreement.py CHECKPOINT --outputs FILE --data DIR --bundle NEW [--before OLD]

DIR has a folder for each group of recordings, and ``reference.csv`` (columns ``id``, ``fs``) for those that do not
state their rate. Every lead of every recording is compared, except those of the folders in ``--without``: sixteen
windows of a lead, spread over it, that pass the quality gate. Both bundles are compared with the same teacher on the
same windows. Prints each head before and after, the median over the heads, and the worst head. The column *band* is the
most that a student could reach: the teacher itself on the 125 Hz signal that the student gets. The column *shift* says
how steady the teacher is: its answers if the window begins 100 ms later (and ends with its last 100 ms twice).

A recording that one of the bundles was made from is refused: the files are compared with the hashes in
``validation/report.json``. The exit code is 1 if the new bundle misses a limit, and 2 for a refused recording.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

MEDIAN, WORST = 0.95, 0.90
"""Limits for the new bundle: correlation over all leads, median over the heads and worst head."""
HOP_S, MOST = 5.0, 16
SHIFT = 50
"""Shift of a window for the column of that name, samples at 500 Hz."""
NOT_RECORDINGS = {"LICENSES", "reference_peaks"}


@dataclass(frozen=True)
class Student:
    """A bundle, the SHA-256 of its teacher, and the hashes of the recordings that it was made from."""

    title: str
    bundle: object
    teacher: str
    seen: frozenset[str]


def student(title: str, name: str) -> Student:
    """Open a bundle with the hashes of its recordings."""
    from edge.bundle.reader import demo_bundle_path, load_bundle

    path = demo_bundle_path() if name == "demo" else Path(name)
    report = json.loads((path / "validation" / "report.json").read_text(encoding="utf-8"))
    entry = report.get("imitated") or {"recordings": []}
    seen = frozenset(h for r in entry["recordings"] for h in r["files"].values())
    return Student(title, load_bundle(name), report["teacher"]["sha256"], seen)


def windows(data: Path, without: set[str], seen: frozenset[str]):
    """Yield the group and name of each lead of all recordings, and its windows."""
    from convert.datasets.described import RecordingOptions, Stated
    from convert.datasets.pairs import FileItems, Recording, chosen_windows
    from convert.demo.imitated import Imitation, files_of, leads_of
    from edge.process.files import sha256_of
    from edge.sources.replay.folder import recording_files
    from firmware_bridge.errors import AnyEcgError

    with (data / "reference.csv").open(encoding="utf-8") as file:
        rates = {row["id"]: float(row["fs"]) for row in csv.DictReader(file)}
    for folder in sorted(p for p in data.iterdir() if p.is_dir() and p.name not in NOT_RECORDINGS | without):
        for path in recording_files(folder):
            fs_hz = None if path.suffix == ".hea" else rates.get(folder.name)
            items = FileItems(path, Stated(options=RecordingOptions(fs_hz=fs_hz)))
            recording = Recording(path.stem, path.stem, None, 0, str(folder), items)
            try:
                if not seen.isdisjoint(sha256_of(p) for p in files_of(path)):
                    sys.stderr.write(f"{path}: a bundle was made from this recording; leave it out with --without\n")
                    raise SystemExit(2)
                _, leads = leads_of(recording, Imitation())
            except AnyEcgError as error:
                sys.stdout.write(f"left out: {folder.name}/{path.name}: {error.what}\n")
                continue
            for lead in leads:
                name = f"{path.stem} {lead.stated.entry.lead or ''}".rstrip()
                found, why = chosen_windows(Recording(name, name, None, 0, str(folder), lead), HOP_S, 100_000)
                if why:
                    sys.stdout.write(f"left out: {folder.name}/{name}: {why}\n")
                keep = sorted({int(i) for i in np.linspace(0, len(found) - 1, MOST)}) if found else []
                yield f"{folder.name}/{path.stem}", name, [found[i] for i in keep]


def correlations(found, expected, heads) -> np.ndarray:
    """Return the correlation of each head, ``(heads,)``."""
    return np.array([np.corrcoef(found[:, h.index], expected[:, h.index])[0, 1] for h in heads])


def _row(title: str, values: np.ndarray) -> str:
    return f"{title:16s}" + " ".join(f"{x:6.3f}" for x in values)


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bundle", default="demo", help="the new bundle")
    parser.add_argument("--before", default="demo", help="the bundle that it is compared with")
    parser.add_argument("--without", action="append", default=[], help="a folder of DIR that is left out")
    parser.add_argument("--bn", choices=["on", "off"], default="on")
    args = parser.parse_args()
    from convert.compute.inference import run_int8
    from convert.datasets.pairs import student_stream
    from convert.teacher.open import CheckpointOptions, open_teacher
    from edge.frontend.stream import window_input_int8

    students = [student("before", args.before), student("after", args.bundle)]
    seen = students[0].seen | students[1].seen
    inputs, expected, banded, shifted, record, lead_of = [], [], [], [], [], []
    with tempfile.TemporaryDirectory() as work:
        teacher = open_teacher(args.checkpoint, CheckpointOptions(args.outputs, 2, args.bn == "on"), Path(work))
        for name, lead, found in windows(args.data, set(args.without), seen):
            for window in found:
                stream = student_stream(window.context)
                inputs.append(window_input_int8(stream))
                banded.append(teacher.label(resample_poly(stream, 4, 1).astype(np.float32))[0])
                shifted.append(teacher.label(np.concatenate([window.raw[SHIFT:], window.raw[-SHIFT:]]))[0])
                expected.append(teacher.label(window.raw)[0])
                record.append(name)
                lead_of.append(f"{name} {lead}")
    x, y = np.array(inputs)[:, None, :, None], np.array(expected).astype(np.float64)
    heads = students[0].bundle.manifest.outputs
    if [h.key for h in heads] != [h.key for h in students[1].bundle.manifest.outputs]:
        sys.stderr.write("the two bundles have different outputs\n")
        return 2
    answers = [run_int8(s.bundle.model, x, "xnnpack").astype(np.float64) for s in students]
    answers += [np.array(banded).astype(np.float64), np.array(shifted).astype(np.float64)]
    r = np.array([correlations(a, y, heads) for a in answers])
    sys.stdout.write(f"{len(x)} windows of {len(set(lead_of))} leads of {len(set(record))} recordings\n")
    for s in students:
        other = "" if s.teacher == teacher.sha256 else f"; its own teacher is another one, sha256 {s.teacher[:12]}"
        sys.stdout.write(f"{s.title:16s} {s.bundle.manifest.name} {s.bundle.manifest.version}{other}\n")
    sys.stdout.write(f"{'':16s} before  after   band  shift\n")
    for j, head in enumerate(heads):
        sys.stdout.write(_row(head.key, r[:, j]) + "\n")
    medians, worst = np.median(r, axis=1), r.min(axis=1)
    sys.stdout.write(f"{_row('median', medians)}  (limit {MEDIAN})\n{_row('worst head', worst)}  (limit {WORST})\n")
    return 0 if medians[1] >= MEDIAN and worst[1] >= WORST else 1


if __name__ == "__main__":
    sys.exit(main())
