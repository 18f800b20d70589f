"""Runs tests on a changed module in a separate process, and finds which tests run which of its lines.

The changed source is never written to a file: a loader passes it to the import system. The process is forked from one
that has imported all third-party libraries already, so it takes a fraction of a second. Limits on processor time and
memory end a mutant that would never end.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

import coverage
import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[2]
MEMORY_BYTES = 12 << 30
"""Address space of a child, bytes: a mutant with a huge array must not take the memory of the machine."""
WALL_PER_CPU = 12.0
"""Limit of wall time of a child, as a multiple of its limit of processor time."""
PYTEST = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", "-o", "timeout=120"]
# pytest warns that it cannot rewrite plugins imported before it starts; these need no rewriting.
PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
NOT_FOUND = 4
"""Exit status of pytest if a named test does not exist."""
_NEVER_PRELOADED = ("tensorflow", "keras", "jax", "torch")


class _Loader(SourceFileLoader):
    """Loads a module from a string."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> Any:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """Finds one module."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, str(path), source

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != self._name:
            return None
        return spec_from_file_location(fullname, self._path, loader=_Loader(fullname, self._path, self._source))


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a child.

    Attributes:
        status: Exit status, or the negative number of the signal.
        cpu_s: Processor time, s.
    """

    status: int
    cpu_s: float


class Child:
    """A forked process.

    Args:
        work: Function to run in it; its result is the exit status.
        cpu_limit_s: Limit of processor time, s.
    """

    def __init__(self, work: Callable[[], int], cpu_limit_s: float) -> None:
        self._deadline_s = time.monotonic() + WALL_PER_CPU * cpu_limit_s
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _live(work, cpu_limit_s)

    def ended(self) -> Ended | None:
        """Return the end of the child, or ``None`` while it runs."""
        pid, status, used = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            if time.monotonic() > self._deadline_s:
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            return None
        return Ended(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)

    def wait(self) -> Ended:
        """Wait for the end of the child and return it."""
        while (ended := self.ended()) is None:
            time.sleep(0.02)
        return ended


def _live(work: Callable[[], int], cpu_limit_s: float) -> None:
    status = 70
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        log = os.environ.get("MUTANTS_LOG")
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else null
        for fd, to in ((null, 0), (out, 1), (out, 2)):
            os.dup2(fd, to)
        seconds = int(cpu_limit_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def prepare() -> None:
    """Prepare this process for forking: source tree before installed packages, hypothesis without randomness."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        # One failure is enough; shrinking it takes longer than everything else.
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutants")


def run_mutant(name: str, path: Path, source: str, nodes: list[str]) -> int:
    """Run tests on a changed module, and return pytest's exit status."""
    sys.meta_path.insert(0, _Finder(name, path, source))
    status = int(pytest.main([*PYTEST, *nodes]))
    if status == NOT_FOUND:
        # The change removed the name of a parameter.
        status = int(pytest.main([*PYTEST, *dict.fromkeys(node.partition("::")[0] for node in nodes)]))
    return status


class _Probe:
    """A plugin that tells coverage which test runs and records the processor time of each."""

    def __init__(self, watch: coverage.Coverage) -> None:
        self._watch = watch
        self.seconds: dict[str, float] = {}
        self._begun_s = 0.0

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._watch.switch_context(nodeid)
        self._begun_s = time.process_time()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.seconds[nodeid] = time.process_time() - self._begun_s
        self._watch.switch_context("")


def probe(into: dict[Path, Path], files: list[str]) -> int:
    """Run whole test files on unchanged modules and write which tests run which lines.

    Args:
        into: For each module, the file to write: durations by test, tests by line, and the foreign modules that were
            imported.
        files: The test files.
    """
    watch = coverage.Coverage(data_file=None, config_file=False, include=[str(path) for path in into])
    plugin = _Probe(watch)
    watch.start()
    status = int(pytest.main([*PYTEST[1:], *files], plugins=[plugin]))
    watch.stop()
    modules = [name for name, module in list(sys.modules.items()) if _is_foreign(name, module)]
    for path, out in into.items():
        lines = watch.get_data().contexts_by_lineno(str(path))
        found = {
            "seconds": plugin.seconds,
            "lines": {line: sorted(filter(None, names)) for line, names in lines.items()},
            "modules": modules,
        }
        out.write_text(json.dumps(found))
    return status


def _is_foreign(name: str, module: Any) -> bool:
    file = getattr(module, "__file__", None) or ""
    inside = str(ROOT) + os.sep
    return name.partition(".")[0] not in _NEVER_PRELOADED and (not file.startswith(inside) or "site-packages" in file)


def preload(modules: list[str]) -> None:
    """Import third-party modules, so that the children need not."""
    for name in modules:
        if name not in sys.modules and "__" not in name:
            with suppress(Exception):
                importlib.import_module(name)
