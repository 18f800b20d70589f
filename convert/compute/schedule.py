"""Run the jobs of a long run in this process, in Dask's threads or processes, or on a Dask cluster.

Dask decides where a job runs and repeats it when a worker dies. A job writes its result atomically to a file of its
own, with the same bytes in every run, so a repeated job does no harm.
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
"""Seconds to wait for the answer of a cluster."""

AHEAD = 4
"""Jobs submitted for each job that can run: enough to keep a cluster busy, few enough to keep its scheduler small."""

COUNT_S = 5.0
"""Seconds between two counts of a cluster's workers, because a batch queue starts them one after the other."""

_LOCAL = re.compile(r"(?P<kind>threads|processes)(?::(?P<n>\d{1,4}))?")
_CLUSTER = re.compile(r"(tcp|tls|ws|wss|ucx)://.+")

Job = TypeVar("Job")
Report = TypeVar("Report")

LOOK = "check its workers, then rerun the command to resume"


def check_scheduler(text: str) -> str:
    """Return ``text`` if it names a scheduler.

    Raises:
        UsageError: The text does not name a scheduler.
    """
    local = _LOCAL.fullmatch(text)
    if text == "none" or (local and int(local["n"] or 2) > 0) or _CLUSTER.fullmatch(text):
        return text
    raise UsageError(
        f"--scheduler {text!r} is not a scheduler",
        "give none, threads:N, processes:N, or tcp://HOST:PORT of a Dask cluster",
    )


def run_jobs(jobs: Sequence[Job], scheduler: str, make: Callable[[Job], Report]) -> Iterator[Report]:
    """Do all jobs and yield each report as soon as it is ready, in any order.

    Args:
        jobs: The jobs. For processes and clusters each job and each report can be pickled.
        scheduler: Name of the scheduler as `check_scheduler` accepts it.
        make: Function that does one job. It belongs to this package, the only code that a worker has.

    Raises:
        MissingExtraError: Dask is not installed.
        LinkError: The cluster cannot be reached, or lost a job too often.
        AnyEcgError: A job failed.
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
            # One pool serves the whole run, so that a process loads its libraries only once.
            pool = ProcessPoolExecutor(workers, get_context(), initialize_worker_process)
            stack.callback(pool.shutdown, cancel_futures=True)
            options |= {"pool": pool, "chunksize": 1}
        for some in (jobs[i : i + step] for i in range(0, len(jobs), step)):
            try:
                reports = dask.compute(*(task(job) for job in some), **options)
            except BrokenProcessPool as error:
                raise LinkError(
                    "a worker process was killed",
                    "use fewer processes if memory ran out, then rerun the command to resume",
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
            f"no Dask scheduler answers at {address}", "start it, or check the address and the firewall"
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
    """The number of jobs that a cluster gets at a time."""

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
    # Each job has its own key, because a key of an earlier run would return that run's result.
    return client.submit(make, job, pure=False)


def _result(future: Any) -> Any:
    try:
        return future.result()
    except AnyEcgError:
        raise
    except Exception as error:  # clusters raise many types: lost workers or files, another version, a shutdown
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise LinkError(f"the cluster gave up on a shard: {why}", LOOK) from error
