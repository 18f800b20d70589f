"""Who makes the shards: this process, Dask's threads or processes, or a Dask cluster.

Dask decides where a job runs and runs it again when a worker dies. A job that ran twice has written the same bytes
twice, under its own name and by renaming, so nothing is lost and nothing doubled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from convert.prepare_shard import ShardJob, ShardReport, make_shard
from firmware_bridge.errors import AnyEcgError, LinkError, MissingExtraError, UsageError

CONNECT_S = 20.0
"""How long a cluster may take to answer."""

AHEAD = 4
"""Jobs handed out for each that can run: enough to keep a cluster busy, few enough to keep its scheduler small."""

_LOCAL = re.compile(r"(?P<kind>threads|processes)(?::(?P<n>\d{1,4}))?")
_CLUSTER = re.compile(r"(tcp|tls|ws|wss|ucx)://.+")

Make = Callable[[ShardJob], ShardReport]


def check_scheduler(text: str) -> str:
    """Returns ``text`` where it names a scheduler.

    Raises:
        UsageError: It does not.
    """
    if text == "none" or _LOCAL.fullmatch(text) or _CLUSTER.fullmatch(text):
        return text
    raise UsageError(f"--scheduler {text!r}", "give none, threads:N, processes:N, or tcp://HOST:PORT of a Dask cluster")


def run_jobs(jobs: Sequence[ShardJob], scheduler: str, make: Make = make_shard) -> Iterator[ShardReport]:
    """Makes every shard and gives its report as soon as it is there, in any order.

    Args:
        jobs: What to make.
        scheduler: As `check_scheduler` takes it.
        make: Makes one.

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


def _local(jobs: Sequence[ShardJob], kind: str, workers: int, make: Make) -> Iterator[ShardReport]:
    try:
        import dask
    except ImportError as error:
        raise MissingExtraError(f"--scheduler {kind}", "cluster") from error
    task = dask.delayed(make, pure=False)
    step = AHEAD * workers
    for some in (jobs[i : i + step] for i in range(0, len(jobs), step)):
        yield from dask.compute(*(task(job) for job in some), scheduler=kind, num_workers=workers)


def _cluster(jobs: Sequence[ShardJob], address: str, make: Make) -> Iterator[ShardReport]:
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
        waiting = iter(jobs)
        slots = AHEAD * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
        futures = as_completed([_submit(client, make, job) for job in islice(waiting, slots)], loop=client.loop)
        for future in futures:
            yield _result(future)
            futures.update([_submit(client, make, job) for job in islice(waiting, 1)])


def _submit(client: Any, make: Make, job: ShardJob) -> Any:
    # A key of its own: the same key would give an earlier run's answer.
    return client.submit(make, job, pure=False)


def _result(future: Any) -> ShardReport:
    try:
        report: ShardReport = future.result()
    except AnyEcgError:
        raise
    except Exception as error:  # whatever a cluster raises: killed workers, lost files, another version
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise LinkError(
            f"the cluster gave up on a shard: {why}",
            "look at its workers, then start again: what is done is kept",
        ) from error
    return report
