"""Run one function on many items, in this process or in several worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from firmware_bridge.errors import AnyEcgError

Thing = TypeVar("Thing")
Result = TypeVar("Result")

WORTHWHILE = 3
"""Minimum number of items per process; with fewer, starting a process costs more than it saves."""


def _begin() -> None:
    # Ctrl-C reaches every process of the terminal; only the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the parent process ends; otherwise a worker would wait for work indefinitely."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_each(work: Callable[[Thing], Result], things: Sequence[Thing], jobs: int) -> Iterator[Result]:
    """Call a function on each item and yield the results as they complete, in any order.

    Args:
        work: A module-level function.
        things: The items; they must be picklable.
        jobs: Number of processes; 0 for one per core.

    Raises:
        AnyEcgError: The function raised it, or a process was killed.
    """
    jobs = min(jobs or cores(), len(things) // WORTHWHILE)
    if jobs <= 1:
        yield from map(work, things)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin) as pool:
        waiting = [pool.submit(work, thing) for thing in things]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BrokenProcessPool:
            raise AnyEcgError(
                "a worker process was killed, perhaps because memory ran out",
                "run the command again with fewer jobs; finished work is kept",
            ) from None
        finally:
            for future in waiting:
                future.cancel()
