"""The order of work in a training with several workers.

The chief does the work that is done once: labels, states, the bundle. The other workers wait for it and read the
results from the shared folder.
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
    """Do some work after the chief has done it, so that the other workers find the chief's results.

    Args:
        replicas: The replicas of the training; ``None`` for this process alone.
        number: Number of this step of the run, the same on all workers.
        work: The work. It is quick where its results exist already.
    """
    if replicas is not None and not replicas.chief:
        replicas.barrier(number)
    found = work()
    if replicas is not None and replicas.chief:
        replicas.barrier(number)
    return found


def check_alike(replicas: Replicas | None, what: str) -> None:
    """Refuse workers with different commands or data.

    Args:
        replicas: The replicas of the training; ``None`` for this process alone.
        what: Text that identifies the run of this worker.

    Raises:
        UsageError: Another worker has another text.
    """
    if replicas is None:
        return
    mine = int.from_bytes(hashlib.sha256(what.encode()).digest()[:7], "little")
    found = replicas.gathered(lambda x: x)(*replicas.values(lambda _: (np.array([mine], np.int64),)))
    if len(set(found.tolist())) > 1:
        raise UsageError(
            "the workers were not given the same command and data", "restart all workers with the same command"
        )


def farewell(replicas: Replicas | None, number: int) -> None:
    """Wait until the chief has written everything. The chief ignores a worker that has already ended."""
    if replicas is None:
        return
    try:
        replicas.barrier(number)
    except Exception as error:
        if not replicas.chief or lost_worker(error) is None:
            raise


@contextmanager
def together(replicas: Replicas | None) -> Iterator[None]:
    """Turn the errors that TensorFlow raises for a lost worker into one clear error.

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
