"""Mutation tests: change a module in one place at a time and check that a test fails.

``python tests/mutants/run.py [NAME ...] [--sample N]``, where a name is a target of ``targets.toml`` or a module.
Results are kept in ``.mutants/``: a stopped run continues on the next call, and after a change of the tests only the
surviving mutants run again.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import random
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from math import sqrt
from pathlib import Path

import isolate
from isolate import ROOT, Child, Ended
from mutations import Mutant, mutants_of

KEPT = ROOT / ".mutants"
HERE = Path(__file__).resolve().parent
CPU_FACTOR, CPU_EXTRA_S = 3.0, 4.0
"""Limit of processor time of a mutant: this multiple of the time of its tests without a change, plus these seconds."""
SAY_EVERY_S = 20.0
"""Width of a line if the output is not a terminal."""
KILLED, SURVIVED, UNCOVERED, FAULT = "killed", "survived", "uncovered", "fault"


@dataclass
class Subject:
    """A module to mutate.

    Attributes:
        path: Path from the root of the repository.
        tests: Paths of its test files from the root of the repository.
        seconds: Processor time of each test, s.
        lines: Tests by the lines that they run.
        modules: Third-party modules that the tests import.
        longest_s: Longest test to use, s.
    """

    path: Path
    tests: list[str]
    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[int, set[str]] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)
    longest_s: float = 1.0

    @property
    def name(self) -> str:
        """Name of the module in an import statement."""
        return ".".join(self.path.with_suffix("").parts)

    def digest(self, *, source: bool) -> str:
        """Return a hash of its test files and, with ``source``, of the module."""
        files = [*self.tests, *([str(self.path)] if source else [])]
        return hashlib.sha256(b"".join((ROOT / f).read_bytes() for f in files)).hexdigest()[:12]

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Return the tests that run the lines of a mutant, fastest first; all tests for lines that run on import."""
        lines = range(mutant.first_line, mutant.last_line + 1)
        found = set().union(*(self.lines.get(line, ()) for line in lines))
        at_import = not found and any(line in self.lines for line in lines)
        if at_import or mutant.what.startswith("module:"):
            found = set().union(*self.lines.values())
        short = [test for test in found if self.seconds.get(test, 0.0) <= self.longest_s]
        return sorted(short, key=lambda test: (self.seconds.get(test, 0.0), test))


def subjects(names: list[str]) -> list[Subject]:
    """Return the modules for names of targets or modules; all modules without names."""
    targets = tomllib.loads((HERE / "targets.toml").read_text())
    found: list[Subject] = []
    for name, target in targets.items():
        files = [str(f.relative_to(ROOT)) for test in target["tests"] for f in sorted((ROOT / "tests").rglob(test))]
        for pattern in target["modules"]:
            paths = sorted(p.relative_to(ROOT) for p in ROOT.glob(pattern) if p.name != "__init__.py")
            if not paths:
                raise SystemExit(f"{pattern} of target {name} is not a module: correct tests/mutants/targets.toml")
            found += [Subject(p, files) for p in paths if not names or {name, str(p), p.stem} & set(names)]
    if not found:
        raise SystemExit(f"no target or module in tests/mutants/targets.toml is named {' or '.join(names)}")
    return found


def probe(found: list[Subject]) -> None:
    """Find which tests run which lines; the result is kept until a module or a test changes.

    Args:
        found: Modules with the same test files, which run once for all of them.
    """
    paths = {s.name: KEPT / f"{s.name}.tests.json" for s in found}
    states = {s.name: s.digest(source=True) for s in found}
    kept = {name: json.loads(path.read_text()) if path.exists() else {} for name, path in paths.items()}
    new = [s for s in found if kept[s.name].get("state") != states[s.name]]
    if new:
        into = {ROOT / s.path: paths[s.name] for s in new}
        ended = Child(lambda: isolate.probe(into, new[0].tests), 900.0).wait()
        if ended.status != 0:
            names = ", ".join(str(s.path) for s in new)
            raise SystemExit(
                f"the tests of {names} fail on the unchanged module; fix them first: {' '.join(new[0].tests)}"
            )
        for s in new:
            kept[s.name] = json.loads(paths[s.name].read_text()) | {"state": states[s.name]}
            paths[s.name].write_text(json.dumps(kept[s.name]))
    for s in found:
        s.seconds, s.modules = kept[s.name]["seconds"], kept[s.name]["modules"]
        s.lines = {int(line): set(tests) for line, tests in kept[s.name]["lines"].items()}


class Results:
    """The results of the mutants of a module, one line of JSON per mutant in a file."""

    def __init__(self, subject: Subject) -> None:
        self._path = KEPT / f"{subject.name}.jsonl"
        self._tests = subject.digest(source=False)
        self.by_key: dict[str, dict[str, str]] = {}
        if self._path.exists():
            for line in self._path.read_text().splitlines():
                one = json.loads(line)
                # A killed mutant stays killed; a survivor runs again after a change of the tests.
                if one["result"] == KILLED or one["tests"] == self._tests:
                    self.by_key[one["key"]] = one

    def add(self, mutant: Mutant, result: str, cpu_s: float) -> None:
        """Record a result."""
        one = {"key": mutant.key, "result": result, "tests": self._tests, "cpu_s": f"{cpu_s:.2f}", "what": mutant.what}
        self.by_key[mutant.key] = one
        with self._path.open("a") as file:
            file.write(json.dumps(one) + "\n")


def verdict(ended: Ended) -> str:
    """Return the result of a child: status 0 all tests pass, 1 one fails, 2 an import fails; signals are limits."""
    if ended.status == 0:
        return SURVIVED
    return KILLED if ended.status in {1, 2} or ended.status < 0 else FAULT


class Progress:
    """Prints the progress on one line."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._started_s = self._said_s = time.monotonic()
        self._count = dict.fromkeys((KILLED, SURVIVED, UNCOVERED, FAULT), 0)

    def step(self, result: str) -> None:
        """Count one finished mutant."""
        self._done += 1
        self._count[result] += 1
        rate = self._done / max(time.monotonic() - self._started_s, 1e-3)
        left_s = (self._total - self._done) / rate
        counts = ", ".join(f"{n} {name}" for name, n in self._count.items() if n)
        end = "\r" if sys.stdout.isatty() and self._done < self._total else "\n"
        if end == "\r" or time.monotonic() - self._said_s > SAY_EVERY_S or self._done == self._total:
            self._said_s = time.monotonic()
            text = f"  {self._done} of {self._total}: {counts}; {rate:.1f} per second, {left_s / 60:.1f} min left"
            print(f"{text:<110}", end=end, flush=True)


def run(subject: Subject, chosen: list[Mutant], jobs: int, *, again: bool) -> Results:
    """Test mutants, several at a time."""
    results = Results(subject)
    known = {key for key, one in results.by_key.items() if not again or one["result"] == KILLED}
    left = [m for m in chosen if m.key not in known]
    progress = Progress(len(left))
    running: dict[Child, Mutant] = {}

    def collect(most: int) -> None:
        while len(running) > most:
            for child in list(running):
                if (ended := child.ended()) is not None:
                    mutant = running.pop(child)
                    results.add(mutant, verdict(ended), ended.cpu_s)
                    progress.step(verdict(ended))
            time.sleep(0.02)

    for mutant in left:
        tests = subject.tests_of(mutant)
        if not tests:
            results.add(mutant, UNCOVERED, 0.0)
            progress.step(UNCOVERED)
            continue
        cpu_s = CPU_EXTRA_S + CPU_FACTOR * sum(subject.seconds.get(test, 0.0) for test in tests)
        work = partial(isolate.run_mutant, subject.name, ROOT / subject.path, mutant.source(), tests)
        running[Child(work, cpu_s)] = mutant
        collect(jobs - 1)
    collect(0)
    return results


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, JASA 1927;22:209)."""
    if not of:
        return 0.0, 1.0
    z, p = 1.959964, hits / of
    middle, half = p + z * z / (2 * of), z * sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


def explained() -> dict[str, str]:
    """Return the reasons why mutants change no behaviour, by key."""
    path = HERE / "equivalent.toml"
    return {one["key"]: one["reason"] for one in tomllib.loads(path.read_text()).get("mutant", [])}


def report(subject: Subject, chosen: list[Mutant], results: Results, of: int) -> Iterator[str]:
    """Yield the score of a module and the change of every survivor."""
    reasons = explained()
    equal = [m for m in chosen if m.key in reasons and results.by_key[m.key]["result"] != KILLED]
    alive = [m for m in chosen if results.by_key[m.key]["result"] != KILLED and m.key not in reasons]
    counted = len(chosen) - len(equal)
    low, high = wilson(counted - len(alive), counted)
    share = 100 * (counted - len(alive)) / max(counted, 1)
    sampled = "" if len(chosen) == of else f", a sample of {of}: {100 * low:.0f} to {100 * high:.0f} %"
    yield f"{subject.path}: {counted - len(alive)} of {counted} killed, {share:.1f} %{sampled}" + (
        f"; {len(equal)} equivalent" if equal else ""
    )
    old = (ROOT / subject.path).read_text().splitlines()
    for mutant in alive:
        one = results.by_key[mutant.key]
        yield f"\n{mutant.key} {one['result']}, line {mutant.line}, {mutant.what}"
        yield from list(difflib.unified_diff(old, mutant.source().splitlines(), lineterm="", n=1))[2:]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="target of targets.toml or module (default: all)")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="test only N random mutants of each module (see --seed)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="number of parallel tests (default: 2)")
    parser.add_argument(
        "--longest",
        type=float,
        default=1.0,
        metavar="S",
        help="skip tests that take longer than S seconds (default: 1)",
    )
    parser.add_argument("--again", action="store_true", help="test survivors again")
    parser.add_argument("--min", type=float, default=0.0, metavar="PERCENT", help="exit with an error below this score")
    arguments = parser.parse_args()
    KEPT.mkdir(exist_ok=True)
    isolate.prepare()
    lines: list[str] = []
    killed = counted = 0
    chosen_subjects = subjects(arguments.names)
    for subject in chosen_subjects:
        subject.longest_s = arguments.longest
        if not subject.seconds:
            probe([s for s in chosen_subjects if s.tests == subject.tests])
        isolate.preload(subject.modules)
        mutants = mutants_of(ROOT / subject.path)
        chosen = mutants
        if arguments.sample is not None and arguments.sample < len(mutants):
            drawn = set(random.Random(arguments.seed).sample(range(len(mutants)), arguments.sample))
            chosen = [m for i, m in enumerate(mutants) if i in drawn]
        print(f"{subject.path}: {len(chosen)} of {len(mutants)} mutants, {len(subject.seconds)} tests", flush=True)
        results = run(subject, chosen, arguments.jobs, again=arguments.again)
        texts = list(report(subject, chosen, results, len(mutants)))
        print(texts[0], flush=True)
        lines += [*texts, ""]
        reasons = explained()
        killed += sum(results.by_key[m.key]["result"] == KILLED for m in chosen)
        counted += sum(results.by_key[m.key]["result"] == KILLED or m.key not in reasons for m in chosen)
    (KEPT / "report.txt").write_text("\n".join(lines))
    score = 100 * killed / max(counted, 1)
    print(f"{killed} of {counted} killed, {score:.1f} %; see {(KEPT / 'report.txt').relative_to(ROOT)}")
    return int(score < arguments.min)


if __name__ == "__main__":
    sys.exit(main())
