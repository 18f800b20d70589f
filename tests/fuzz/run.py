"""Runs fuzz targets with atheris, guided by coverage: ``python tests/fuzz/run.py --seconds 600 csv edf``.

A finding is an input that raises anything but a documented error, hangs, needs memory out of proportion or gives an
impossible result. It is written to ``findings/TARGET`` beside this file, where the fast tests repeat it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FINDINGS = HERE / "findings"
HANG_S = 20
"""Time after which an input counts as a hang, s; slow ones are found by their processor time before."""
MEMORY_MIB = 2048
"""Limit of the whole process, MiB: coverage and corpus take most of it."""
PACKAGES = ["firmware_bridge", "edge", "convert", "calibration", "zipfile", "tomllib", "json.decoder"]


def main() -> int:
    """Run the command; returns 1 if there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="names; all without")
    parser.add_argument("--seconds", type=int, default=600, help="time for each target")
    parser.add_argument("--runs", type=int, default=-1, help="maximum number of inputs for each target; -1: any number")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--corpus", type=Path, help="folder in which the inputs of all runs are kept")
    parser.add_argument("--findings", type=Path, default=FINDINGS, help="folder for what fails")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(HERE.parent)]
    if args.child is not None:
        return child(args.child, args.seconds, args.seed, args.corpus, args.runs)
    from fuzz.registry import TARGETS

    if args.list:
        print("\n".join(TARGETS))
        return 0
    unknown = [name for name in args.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target is named {unknown[0]}; --list shows them")
    chosen = args.targets or list(TARGETS)
    failed = [name for name in chosen if not run(name, args.seconds, args.seed, args.corpus, args.findings, args.runs)]
    print(f"{len(failed)} of {len(chosen)} targets have a finding: {', '.join(failed) or 'none'}")
    return int(bool(failed))


def run(name: str, seconds: int, seed: int, corpus: Path | None, findings: Path = FINDINGS, runs: int = -1) -> bool:
    """Fuzz a target in a child process and print one line.

    With a seed and a number of runs, the inputs are the same each time, unless the time ends first.

    Returns:
        Whether it found nothing.
    """
    with tempfile.TemporaryDirectory(prefix="anyecg-fuzz-") as folder:
        held = Path(folder) if corpus is None else corpus / name
        held.mkdir(parents=True, exist_ok=True)
        limits = [f"--seconds={seconds}", f"--runs={runs}", f"--seed={seed}"]
        command = [sys.executable, str(HERE / "run.py"), "--child", name, *limits]
        started = time.monotonic()
        ran = subprocess.run(
            [*command, f"--corpus={held}"], cwd=folder, capture_output=True, text=True, errors="replace", check=False,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        used_s = time.monotonic() - started
        crashes = [p for p in Path(folder).iterdir() if p.name.startswith(("crash-", "timeout-", "oom-"))]
        counts = re.findall(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)", ran.stderr, re.MULTILINE)
        done = re.search(r"Done (\d+) runs", ran.stderr)
        tried = int(done[1]) if done else int(counts[-1][0]) if counts else 0
        edges, held_count = (counts[-1][1], counts[-1][3]) if counts else ("0", "0")
        good = ran.returncode == 0 and tried > 0
        counted = f"{name:<24} {tried:>9} runs {used_s:>5.0f} s {edges:>6} edges {held_count:>5} inputs"
        print(f"{counted}  {'ok' if good else 'FAILED'}")
        for crash in crashes:
            place = findings / name / hashlib.sha256(crash.read_bytes()).hexdigest()[:12]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(crash.read_bytes())
            print(f"  {place}")
        if not good:
            print("\n".join(f"  {line}" for line in _telling(ran.stdout + ran.stderr)))
        sys.stdout.flush()
    return good


def _telling(text: str) -> list[str]:
    """Return the end of the Python traceback in what the child said, or its last lines."""
    lines = text.splitlines()
    at = next((i for i, line in enumerate(lines) if "Uncaught Python exception" in line), None)
    if at is None:
        return lines[-12:]
    end = next((i for i in range(at, len(lines)) if lines[i].startswith("==") and i > at + 1), len(lines))
    return lines[max(at, end - 14) : end]


def child(name: str, seconds: int, seed: int, corpus: Path, runs: int) -> int:
    """Fuzz in this process; does not return after a finding."""
    import atheris

    with atheris.instrument_imports(include=PACKAGES):
        from fuzz.registry import TARGETS

        target = TARGETS[name]
        for data in target.seeds():
            target(data)  # many modules are imported only when they are needed
            (corpus / f"seed-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
    from fuzz.mutate import json_changed
    from fuzz.target import MAX_BYTES

    known = FINDINGS / name
    words = Path("words")
    escaped = ["".join(f"\\x{byte:02x}" for byte in word) for word in target.words]
    words.write_text("".join(f'"{word}"\n' for word in escaped))

    def mutate(data: bytes, largest: int, seed: int) -> bytes:
        random_ = random.Random(seed)
        changed = json_changed(data, random_, target.tag_bytes) if random_.random() < 0.5 else None
        return atheris.Mutate(data, largest) if changed is None else changed[:largest]

    options = {"custom_mutator": mutate} if target.is_json else {}
    arguments = [
        "fuzz", f"-max_total_time={seconds}", f"-timeout={HANG_S}", f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={MAX_BYTES}", f"-seed={seed}", "-print_final_stats=1", "-len_control=20",
        "-detect_leaks=0", f"-runs={runs}", str(corpus),
    ]  # fmt: skip
    if target.words:
        arguments.append(f"-dict={words}")
    if known.is_dir():
        arguments.append(str(known))
    atheris.Setup(arguments, target, **options)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    # The folder of this file would shadow modules of the standard library.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE]
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
