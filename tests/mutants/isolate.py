"""Runs tests on a changed module in a process of its own, and finds out which tests run which of its lines.

The changed source never touches a file: a loader hands it to the import system. A process is forked off one that has
imported every foreign library already, so it costs a fraction of a second; limits on its processor time and memory end
a mutant that never ends.
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
"""Address space of a child: an array of a mutant's size must not take the whole machine."""
WALL_PER_CPU = 12.0
"""A child that waits instead of working is ended after its limit of processor time, times this."""
PYTEST = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", "-o", "timeout=120"]
# Plugins that are imported before pytest is begun cannot be rewritten, which it says; they need not be.
PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
NOT_FOUND = 4
"""Exit status of pytest where a test that was named is not there."""
_NEVER_PRELOADED = ("tensorflow", "keras", "jax", "torch")


class _Loader(SourceFileLoader):
    """Loads a module from a text."""

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
    """How a child ended.

    Attributes:
        status: Exit status, or the negative number of the signal.
        cpu_s: Processor time.
    """

    status: int
    cpu_s: float


class Child:
    """A forked process.

    Args:
        work: What it does; its result is the exit status.
        cpu_limit_s: Processor time after which it is ended.
    """

    def __init__(self, work: Callable[[], int], cpu_limit_s: float) -> None:
        self._deadline_s = time.monotonic() + WALL_PER_CPU * cpu_limit_s
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _live(work, cpu_limit_s)

    def ended(self) -> Ended | None:
        """How it ended, ``None`` while it runs."""
        pid, status, used = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            if time.monotonic() > self._deadline_s:
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            return None
        return Ended(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)

    def wait(self) -> Ended:
        """Waits for its end."""
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
    """Makes this process one to fork from: the tree before what is installed, and hypothesis without chance."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        # A failure is enough: to look for the smallest one takes longer than everything else.
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutants")


def run_mutant(name: str, path: Path, source: str, nodes: list[str]) -> int:
    """Runs tests on a changed module; returns pytest's exit status."""
    sys.meta_path.insert(0, _Finder(name, path, source))
    status = int(pytest.main([*PYTEST, *nodes]))
    if status == NOT_FOUND:
        # The change took a parameter's name away.
        status = int(pytest.main([*PYTEST, *dict.fromkeys(node.partition("::")[0] for node in nodes)]))
    return status


class _Probe:
    """A plugin that tells coverage which test runs and remembers the processor time of each."""

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


def probe(path: Path, files: list[str], into: Path) -> int:
    """Runs whole test files on the unchanged module and writes which tests run which lines.

    Args:
        path: The module.
        files: The test files.
        into: Where to write: durations by test, tests by line, and the foreign modules that were imported.
    """
    watch = coverage.Coverage(data_file=None, config_file=False, include=[str(path)])
    plugin = _Probe(watch)
    watch.start()
    status = int(pytest.main([*PYTEST[1:], *files], plugins=[plugin]))
    watch.stop()
    lines = watch.get_data().contexts_by_lineno(str(path))
    modules = [name for name, module in list(sys.modules.items()) if _is_foreign(name, module)]
    found = {
        "seconds": plugin.seconds,
        "lines": {line: sorted(filter(None, names)) for line, names in lines.items()},
        "modules": modules,
    }
    into.write_text(json.dumps(found))
    return status


def _is_foreign(name: str, module: Any) -> bool:
    file = getattr(module, "__file__", None) or ""
    inside = str(ROOT) + os.sep
    return name.partition(".")[0] not in _NEVER_PRELOADED and (not file.startswith(inside) or "site-packages" in file)


def preload(modules: list[str]) -> None:
    """Imports foreign modules, so that no child has to."""
    for name in modules:
        if name not in sys.modules and "__" not in name:
            with suppress(Exception):
                importlib.import_module(name)
