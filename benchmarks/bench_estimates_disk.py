"""Measure the size of estimates on disk, JSON Lines against the compact form, and what writing them costs.

python benchmarks/bench_estimates_disk.py
python benchmarks/bench_estimates_disk.py --source replay:RECORDING --seconds 1000

Runs the whole chain with the demonstration bundle, and with a wider one whose 108 outputs are mixed from those of the
demonstration model, so that they move like the outputs of a network. Both forms get the same estimates; what the
compact form gives back is compared with them to the byte. Exit code 1 if it is not at least ten times smaller.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.bundle.tensors import Steps
from edge.model import Model
from edge.records import Estimate, to_json
from edge.session import Loaded, load, run
from edge.sinks import BaseSink
from edge.sinks._append import AppendFile
from edge.sources import open_source
from edge.store import EstimateReader
from edge.store.compact import CompactFile
from edge.store.forecast import DAY_S, estimates_a_day

HOPS_S = (1.0, 5.0)
MIN_RATIO = 10.0


class MixedModel:
    """A model with more outputs: mixtures of those of another one."""

    backend = "mixed"

    def __init__(self, model: Model, zero_point: int, outputs: int) -> None:
        self._model, self._zero_point, self._outputs = model, zero_point, outputs
        self._mix: np.ndarray | None = None

    def run(self, window: Steps) -> Steps:
        """Run one window; see `edge.model.Model`."""
        found = self._model.run(window).astype(float) - self._zero_point
        if self._mix is None:
            self._mix = np.random.default_rng(5).normal(0.0, len(found) ** -0.5, (self._outputs, len(found)))
        return np.clip(np.rint(self._mix @ found) + self._zero_point, -128, 127).astype(np.int8)


class Keeping(BaseSink):
    """Keeps the estimates of a run."""

    def __init__(self) -> None:
        self.estimates: list[Estimate] = []

    def estimate(self, e: Estimate) -> None:
        """Keep one."""
        self.estimates.append(e)


def widened(loaded: Loaded, outputs: int) -> Loaded:
    """Return a bundle with so many outputs, each calibrated as one of the given bundle."""
    manifest = loaded.bundle.manifest
    given = [manifest.outputs[i % len(manifest.outputs)] for i in range(outputs)]
    heads = tuple(dataclasses.replace(head, index=i, key=f"{head.key}_{i}") for i, head in enumerate(given))
    calibration = {new.key: loaded.bundle.calibration[old.key] for new, old in zip(heads, given, strict=True)}
    wide = dataclasses.replace(manifest, outputs=heads)
    bundle = dataclasses.replace(loaded.bundle, manifest=wide, calibration=calibration)
    return Loaded(bundle, MixedModel(loaded.model, manifest.output.zero_point, outputs))


def timed(lines: list[str], write: Callable[[str], None]) -> float:
    """Return the processor time of one write, ms."""
    started = time.process_time()
    for line in lines:
        write(line)
    return (time.process_time() - started) / len(lines) * 1e3


def peak_mib(folder: Path, form: str) -> float:
    """Return the peak memory of a process that writes the lines of a file in one form, MiB."""
    code = (
        "import sys; from pathlib import Path; from edge.process.budget import peak_rss_mib\n"
        "from edge.sinks._append import AppendFile; from edge.store.compact import CompactFile\n"
        "folder, form = Path(sys.argv[1]), sys.argv[2]\n"
        "text = AppendFile(folder / 'copy.jsonl', b'{'); compact = CompactFile(folder / 'copy.aee'); text.open()\n"
        "file = compact if form == 'compact' else text\n"
        "for line in (folder / 'estimates.jsonl').open(): file.write_line(line[:-1])\n"
        "text.close(); compact.close(); print(peak_rss_mib())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder), form], check=True, capture_output=True, text=True)
    for path in folder.glob("copy*"):
        path.unlink()
    return float(done.stdout)


def row(folder: Path, loaded: Loaded, hop_s: float, source: str, seconds: float) -> float:
    """Measure one bundle at one hop, print a row, and return the ratio of the sizes."""
    kept = Keeping()
    run(open_source(source), loaded, [kept], seconds=seconds, hop_s=hop_s)
    started = time.process_time()
    lines = [to_json(e) for e in kept.estimates]
    json_ms = (time.process_time() - started) / len(lines) * 1e3
    text = AppendFile(folder / "estimates.jsonl", b"{")
    text.open()
    text_ms = timed(lines, text.write_line)
    text.close()
    compact = CompactFile(folder / "estimates.aee")
    compact_ms = timed(lines, compact.write_line)
    compact.close()
    added_mib = peak_mib(folder, "compact") - peak_mib(folder, "text")
    started = time.process_time()
    if list(EstimateReader(folder / "estimates.aee").lines()) != lines:
        raise SystemExit("the compact form does not give the same lines back")
    read_ms = (time.process_time() - started) / len(lines) * 1e3
    sizes = [(folder / name).stat().st_size / len(lines) for name in ("estimates.jsonl", "estimates.aee")]
    (folder / "estimates.aee").unlink()
    (folder / "estimates.jsonl").unlink()
    a_day = [size * DAY_S / hop_s / 1e6 for size in sizes]
    heads = len(loaded.bundle.manifest.outputs)
    print(
        f"{heads:7} {hop_s:5g} {len(lines):6} {sizes[0]:9.0f} {sizes[1]:9.0f} {sizes[0] / sizes[1]:6.1f} "
        f"{a_day[0]:9.1f} {a_day[1]:9.1f} {estimates_a_day(heads, hop_s) / 1e6:9.1f} "
        f"{json_ms + text_ms:8.3f} {json_ms + compact_ms:8.3f} {read_ms:8.3f} {added_mib:7.1f}"
    )
    return sizes[0] / sizes[1]


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--source", default="sim:?speed=max", help="source of the signal (default %(default)s)")
    p.add_argument("--seconds", type=float, default=3600.0, help="signal of each run, s (default %(default)g)")
    p.add_argument("--outputs", type=int, nargs="*", default=[108], help="numbers of outputs besides the demonstration")
    args = p.parse_args()
    demo = load("demo")
    print(f"{'':20} {'bytes a line':>19} {'':6} {'MB a day':>19} {'':9} {'CPU, ms a line':>26} {'memory':>7}")
    print(
        f"outputs   hop  lines {'JSON':>9} {'compact':>9}  ratio {'JSON':>9} {'compact':>9} {'forecast':>9} "
        f"{'JSON':>8} {'compact':>8} {'read':>8} {'MiB':>7}"
    )
    with tempfile.TemporaryDirectory() as folder:
        ratios = [
            row(Path(folder), loaded, hop_s, args.source, args.seconds)
            for loaded in (demo, *(widened(demo, outputs) for outputs in args.outputs))
            for hop_s in HOPS_S
        ]
    return 0 if min(ratios) >= MIN_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
