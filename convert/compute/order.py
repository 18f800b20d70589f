"""The order of a run that several workers share.

What is done once (labels, states, the bundle) is the chief's; the others wait for it and find it on the shared folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from convert.compute.replicas import Replicas, lost_worker
from firmware_bridge.errors import UsageError

Found = TypeVar("Found")


def chief_first(replicas: Replicas | None, number: int, work: Callable[[], Found]) -> Found:
    """Does something after the chief has done it, so that it finds what the chief left.

    Args:
        replicas: Who takes part; ``None`` for this process alone.
        number: Of the place in the run.
        work: Quick where it is done already.
    """
    if replicas is not None and not replicas.chief:
        replicas.barrier(number)
    found = work()
    if replicas is not None and replicas.chief:
        replicas.barrier(number)
    return found


def check_alike(replicas: Replicas | None, what: str) -> None:
    """Refuses workers that would train different things.

    Args:
        replicas: Who takes part; ``None`` for this process alone.
        what: Names this worker's run.

    Raises:
        UsageError: Another one's is different.
    """
    if replicas is None:
        return
    mine = int.from_bytes(hashlib.sha256(what.encode()).digest()[:7], "little")
    found = replicas.gathered(lambda x: x)(*replicas.values(lambda _: (np.array([mine], np.int64),)))
    if len(set(found.tolist())) > 1:
        raise UsageError("the workers were not given the same command and data", "start all of them again, all alike")


def farewell(replicas: Replicas | None, number: int) -> None:
    """Waits until the chief has written everything; that another one is gone by then does no harm to the chief."""
    if replicas is None:
        return
    try:
        replicas.barrier(number)
    except Exception as error:
        if not replicas.chief or lost_worker(error) is None:
            raise


@contextmanager
def together(replicas: Replicas | None) -> Iterator[None]:
    """Within it, a worker that is gone is one line.

    Raises:
        LinkError: A worker is gone.
    """
    try:
        yield
    except Exception as error:
        lost = None if replicas is None or replicas.workers == 1 else lost_worker(error)
        if lost is None:
            raise
        raise lost from None
