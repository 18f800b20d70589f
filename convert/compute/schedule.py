"""Who does the jobs of a long run: this process, Dask's threads or processes, or a Dask cluster.

Dask decides where a job runs and runs it again when a worker dies. A job writes its result under its own name and by
renaming, the same bytes whenever it runs, so one that ran twice has lost nothing and doubled nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from contextlib import ExitStack
from itertools import islice
from typing import Any, TypeVar

from firmware_bridge.errors import AnyEcgError, LinkError, MissingExtraError, UsageError

CONNECT_S = 20.0
"""How long a cluster may take to answer."""

AHEAD = 4
"""Jobs handed out for each that can run: enough to keep a cluster busy, few enough to keep its scheduler small."""

COUNT_S = 5.0
"""How often a cluster is asked how many workers it has: a queue starts them one after the other."""

_LOCAL = re.compile(r"(?P<kind>threads|processes)(?::(?P<n>\d{1,4}))?")
_CLUSTER = re.compile(r"(tcp|tls|ws|wss|ucx)://.+")

Job = TypeVar("Job")
Report = TypeVar("Report")

LOOK = "look at its workers, then start again: what is done is kept"


def check_scheduler(text: str) -> str:
    """Returns ``text`` where it names a scheduler.

    Raises:
        UsageError: It does not.
    """
    local = _LOCAL.fullmatch(text)
    if text == "none" or (local and int(local["n"] or 2) > 0) or _CLUSTER.fullmatch(text):
        return text
    raise UsageError(f"--scheduler {text!r}", "give none, threads:N, processes:N, or tcp://HOST:PORT of a Dask cluster")


def run_jobs(jobs: Sequence[Job], scheduler: str, make: Callable[[Job], Report]) -> Iterator[Report]:
    """Does every job and gives its report as soon as it is there, in any order.

    Args:
        jobs: What to do; for processes and clusters each can be pickled, and so can its report.
        scheduler: As `check_scheduler` takes it.
        make: Does one job; a function of this package, which is all that a worker has.

    Raises:
        MissingExtraError: Dask is not installed.
        LinkError: The cluster cannot be reached, or lost a job too often.
        AnyEcgError: As the job says.
    """
    local = _LOCAL.fullmatch(scheduler)
    if scheduler == "none":
        yield from map(make, jobs)
    elif local:
        yield from _local(jobs, local["kind"], int(local["n"] or 2), make)
    else:
        yield from _cluster(jobs, check_scheduler(scheduler), make)


def _local(jobs: Sequence[Job], kind: str, workers: int, make: Callable[[Job], Report]) -> Iterator[Report]:
    try:
        import dask
        from dask.multiprocessing import get_context, initialize_worker_process
    except ImportError as error:
        raise MissingExtraError(f"--scheduler {kind}", "cluster") from error
    task = dask.delayed(make, pure=False)
    step = AHEAD * workers
    options: dict[str, Any] = {"scheduler": kind, "num_workers": workers}
    with ExitStack() as stack:
        if kind == "processes":
            # One pool for the whole run: what a process has loaded for a job serves the next one.
            pool = ProcessPoolExecutor(workers, get_context(), initialize_worker_process)
            stack.callback(pool.shutdown, cancel_futures=True)
            options |= {"pool": pool, "chunksize": 1}
        for some in (jobs[i : i + step] for i in range(0, len(jobs), step)):
            try:
                reports = dask.compute(*(task(job) for job in some), **options)
            except BrokenProcessPool as error:
                raise LinkError(
                    "a process that made shards was killed", "is there memory for so many? start again with fewer"
                ) from error
            yield from reports


def _cluster(jobs: Sequence[Job], address: str, make: Callable[[Job], Report]) -> Iterator[Report]:
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise MissingExtraError(f"--scheduler {address}", "cluster") from error
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise LinkError(
            f"no Dask scheduler answers at {address}", "is it running, and does a firewall let it?"
        ) from error
    with client:
        waiting, crew = iter(jobs), _Crew(client)
        running = crew.slots()
        futures = as_completed([_submit(client, make, job) for job in islice(waiting, running)], loop=client.loop)
        for future in futures:
            report: Report = _result(future)
            running -= 1
            more = [_submit(client, make, job) for job in islice(waiting, max(0, crew.slots() - running))]
            futures.update(more)
            running += len(more)
            yield report


class _Crew:
    """How many jobs a cluster is given at a time."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._slots, self._asked_s = 0, 0.0

    def slots(self) -> int:
        now_s = time.monotonic()
        if not self._slots or now_s - self._asked_s > COUNT_S:
            self._asked_s = now_s
            found = self._client.scheduler_info(n_workers=-1)["workers"].values()
            self._slots = AHEAD * max(1, sum(worker["nthreads"] for worker in found))
        return self._slots


def _submit(client: Any, make: Callable[[Job], Report], job: Job) -> Any:
    # A key of its own: the same key would give an earlier run's answer.
    return client.submit(make, job, pure=False)


def _result(future: Any) -> Any:
    try:
        return future.result()
    except AnyEcgError:
        raise
    except Exception as error:  # whatever a cluster raises: killed workers, lost files, another version, its own end
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise LinkError(f"the cluster gave up on a shard: {why}", LOOK) from error
