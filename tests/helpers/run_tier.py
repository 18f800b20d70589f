"""Runs one tier of the tests and prints one summary: ``python tests/helpers/run_tier.py fast`` (or ``slow``).

It calls pytest twice. The first call spreads the test files over several workers. The second runs the tests marked
``alone``, which measure speed or memory or need an idle machine, one after the other.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MIB_PER_WORKER = {"fast": 2000, "slow": 4000}
"""Memory per worker, MiB: 1.3 GB with TensorFlow loaded, and the rest for the programs that its tests start."""

MAX_WORKERS, PLENTY_MIB = 8, 32_000

MARK = "mark." + "alone"

INTERRUPTED, NOTHING_COLLECTED = 2, 5
"""Exit codes of pytest."""


@dataclass
class Call:
    """One call of pytest and its results."""

    name: str
    arguments: list[str]
    code: int = -1
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    def run(self, report: Path) -> None:
        """Run the call with its output on this terminal, and read its report."""
        print(f"\n--- {self.name}: pytest {' '.join(self.arguments)}", flush=True)
        started = time.monotonic()
        self.code = subprocess.run(
            [sys.executable, "-m", "pytest", *self.arguments, f"--junitxml={report}"], check=False
        ).returncode
        self.seconds = time.monotonic() - started
        if report.exists():
            self._read(ET.parse(report).getroot())

    def _read(self, root: ET.Element) -> None:
        for case in root.iter("testcase"):
            outcome = next((c.tag for c in case if c.tag in {"failure", "error", "skipped"}), "passed")
            said = {"failure": "failed", "error": "errors"}.get(outcome, outcome)
            self.counts[said] = self.counts.get(said, 0) + 1
            if said in {"failed", "errors"}:
                self.bad.append(f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}")

    def line(self) -> str:
        kinds = [kind for kind in ("passed", "failed", "errors", "skipped") if kind in self.counts]
        counts = ", ".join(f"{self.counts[kind]} {kind}" for kind in kinds)
        return f"{self.name}: {counts or f'no tests (pytest exit code {self.code})'} in {self.seconds:.0f} s"


def workers(tier: str) -> int:
    """As many as this process may use processors, and as fit into memory."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(processors, MAX_WORKERS, free_mib() // MIB_PER_WORKER[tier]))


def free_mib() -> int:
    """Memory available without swapping, MiB; a large number if the kernel does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return PLENTY_MIB
    found = [int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else PLENTY_MIB


def calls(tier: str, count: int, more: list[str]) -> list[Call]:
    """The two calls of a tier."""
    limit = ["--timeout=3600"] if tier == "slow" else []
    chosen = "slow" if tier == "slow" else "not slow"
    # conftest.py sorts the files into the order in which they start.
    spread = ["-n", str(count), "--dist", "loadfile", "--no-loadscope-reorder"] if count > 1 else []
    named = any(Path(word.partition("::")[0]).exists() for word in more)
    name = f"on {count} workers" if count > 1 else "on one worker"
    return [
        Call(name, ["-m", f"{chosen} and not alone", *spread, *limit, *more]),
        Call("alone", ["-m", f"{chosen} and alone", *limit, *more, *([] if named else with_alone())]),
    ]


def with_alone() -> list[str]:
    """The files with a test marked ``alone``: collecting all others again would take longer than these tests."""
    return sorted(str(path) for path in Path("tests").rglob("test_*.py") if MARK in path.read_text(encoding="utf-8"))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Runs a tier of the tests; unknown options are passed to pytest.")
    parser.add_argument("tier", choices=("fast", "slow"))
    parser.add_argument("--workers", type=int, default=0, help="test processes (default: by processors and memory)")
    arguments, more = parser.parse_known_args(argv)
    planned = calls(arguments.tier, arguments.workers or workers(arguments.tier), more)
    done: list[Call] = []
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        for call in planned:
            call.run(Path(folder) / f"{len(done)}.xml")
            done.append(call)
            if call.code == INTERRUPTED:
                break
    return summary(arguments.tier, done, len(planned))


def summary(tier: str, done: list[Call], planned: int) -> int:
    """Print the results of the calls; return 0 only if each ran and nothing failed."""
    ran = [call for call in done if call.code != NOTHING_COLLECTED]
    good = len(done) == planned and bool(ran) and all(call.code == 0 for call in ran)
    print(f"\n=== {tier} tier: {'passed' if good else 'FAILED'} in {sum(call.seconds for call in done):.0f} s")
    for call in done:
        print(f"    {call.line()}")
        for name in call.bad:
            print(f"        FAILED {name}")
    if len(done) < planned:
        print("    stopped: the rest did not run")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
