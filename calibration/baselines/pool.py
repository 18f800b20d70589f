"""The same work on many things, in this process or in some of their own."""

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
"""Things per process below which it is not worth the start."""


def _begin() -> None:
    # Ctrl-C reaches every process of the terminal; only the first shall answer it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_each(work: Callable[[Thing], Result], things: Sequence[Thing], jobs: int) -> Iterator[Result]:
    """Does some work on each of some things and gives the results as they come, in any order.

    Args:
        work: A module's function.
        things: What to do it on; must travel to another process.
        jobs: Processes; 0 for as many as there are cores.

    Raises:
        AnyEcgError: As the work says, or a process was killed.
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
                "a process that helped was killed",
                "was memory short? start again with fewer jobs: what is done is kept",
            ) from None
        finally:
            for future in waiting:
                future.cancel()
