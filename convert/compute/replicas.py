"""One training on several GPUs or machines: TensorFlow's strategies behind one small interface.

It is ``MirroredStrategy`` where the machine has several GPUs, ``MultiWorkerMirroredStrategy`` where ``TF_CONFIG`` names
other machines, and no strategy otherwise. Every worker draws the *same* global batch and takes its own rows of it.
Losses are sums over rows divided by a count over the whole batch, and sums are reduced over all replicas. So two
workers compute the same as one with the same batch, up to the order of additions.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.meeting import meet
from convert.compute.tf_runtime import gpus, load_tensorflow, quiet_stderr
from firmware_bridge.errors import LinkError, UsageError

ENVIRONMENT = "TF_CONFIG"
ROLES = ("chief", "worker")

Arrays = tuple[NDArray[Any], ...]


class Replicas:
    """The replicas of a training: one for each GPU or machine, or this process alone.

    Args:
        strategy: TensorFlow's strategy, or ``None`` for this process alone.
        workers: Number of processes.
        worker: Number of this process.

    Attributes:
        count: Number of replicas on all machines.
        workers: Number of processes on all machines.
        worker: Number of this process, from 0.
    """

    def __init__(self, strategy: Any = None, workers: int = 1, worker: int = 0) -> None:
        self._tf = load_tensorflow()
        self._strategy = strategy
        self.count: int = 1 if strategy is None else int(strategy.num_replicas_in_sync)
        self.workers, self.worker = workers, worker

    @property
    def chief(self) -> bool:
        """Whether this process writes the files; the other processes only compute."""
        return self.worker == 0

    def scope(self) -> AbstractContextManager[Any]:
        """Return the scope in which variables are created, so that every replica has them."""
        scope: AbstractContextManager[Any] = nullcontext() if self._strategy is None else self._strategy.scope()
        return scope

    def rows(self, n: int, replica: int) -> slice:
        """Return the rows of a global batch of ``n`` that belong to a replica.

        Raises:
            UsageError: The batch size is not a multiple of the number of replicas.
        """
        if n % self.count:
            raise UsageError(
                f"a batch of {n} cannot be shared among {self.count} replicas", f"use a multiple of {self.count}"
            )
        share = n // self.count
        return slice(replica * share, (replica + 1) * share)

    def local(self) -> list[int]:
        """Return the numbers of the replicas in this process."""
        if self._strategy is None:
            return [0]
        each = self._strategy.num_replicas_in_sync // self.workers
        return list(range(self.worker * each, (self.worker + 1) * each))

    def values(self, make: Callable[[int], Arrays]) -> tuple[Any, ...]:
        """Distribute arrays to the replicas.

        Args:
            make: Function from the number of a replica to its arrays. It is called only for the replicas of this
                process.

        Returns:
            One distributed tensor for each array, with one value for each replica.
        """
        tf = self._tf
        if self._strategy is None:
            return tuple(tf.constant(a) for a in make(0))
        made = {replica: make(replica) for replica in self.local()}
        spread = self._strategy.experimental_distribute_values_from_function
        return tuple(
            spread(lambda context, i=i: tf.constant(made[context.replica_id_in_sync_group][i]))
            for i in range(len(made[self.local()[0]]))
        )

    def summed(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return a compiled function that runs ``step`` on every replica and returns the sum of the results.

        Args:
            step: Function of the result of :meth:`values` (and of plain tensors) that returns a tensor.
        """
        tf, strategy = self._tf, self._strategy

        def run(*args: Any) -> Any:
            if strategy is None:
                return step(*args)
            return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(step, args=args), axis=None)

        compiled: Callable[..., Any] = tf.function(run, reduce_retracing=True)
        return compiled

    def gathered(self, step: Callable[..., Any]) -> Callable[..., NDArray[Any]]:
        """Return a function that runs ``step`` on every replica and concatenates the resulting rows."""
        tf, strategy = self._tf, self._strategy
        if strategy is None:
            compiled = tf.function(step, reduce_retracing=True)
        else:

            def run(*args: Any) -> Any:
                return strategy.gather(strategy.run(step, args=args), axis=0)

            compiled = tf.function(run, reduce_retracing=True)
        return lambda *args: np.asarray(compiled(*args))

    def all_reduce(self, tensors: Any) -> Any:
        """Return sums over the replicas, inside a step; differentiable.

        Args:
            tensors: A tensor or a list of tensors.
        """
        if self._strategy is None or self.count == 1:
            return tensors
        tf = self._tf
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)

    def chiefs(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the chief's array on every worker.

        Args:
            array: The array of this worker; all workers have the same shape and type.
        """
        if self._strategy is None:
            return array
        sent = self.values(lambda replica: (array if replica == 0 else np.zeros_like(array),))
        return np.asarray(self.summed(lambda x: x)(*sent), dtype=array.dtype)

    def barrier(self, number: int) -> None:
        """Wait for all workers, and check that all are at the same step of the run.

        Args:
            number: Number of this worker's step.

        Raises:
            UsageError: Another worker is at another step.
        """
        if self._strategy is None:
            return
        found = self.gathered(lambda x: x)(*self.values(lambda _: (np.array([number], np.int64),)))
        if len(set(found.tolist())) > 1:
            raise UsageError(
                f"the workers are at different steps: {sorted(set(found.tolist()))}",
                "give all workers the same --out folder and restart all of them",
            )


def open_replicas() -> Replicas:
    """Create the replicas that the environment describes. Call it before any other use of TensorFlow.

    Raises:
        UsageError: ``TF_CONFIG`` is malformed.
        LinkError: The other workers do not answer.
    """
    cluster = _cluster(os.environ.get(ENVIRONMENT, ""))
    if not os.environ.get(ENVIRONMENT, "x").strip():
        # TensorFlow fails on an empty variable.
        del os.environ[ENVIRONMENT]
    tf = load_tensorflow()
    if cluster is not None:
        workers, worker = cluster
        listed = json.loads(os.environ[ENVIRONMENT])["cluster"]
        meet([*listed.get("chief", []), *listed.get("worker", [])], worker)
        try:
            with quiet_stderr():
                strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except (tf.errors.OpError, RuntimeError, ValueError) as error:
            why = " ".join(str(error).split())[:160]
            fix = "start all of them with the same TF_CONFIG except for the index, and check that the ports are free"
            raise LinkError(f"the {workers} workers of {ENVIRONMENT} could not connect: {why}", fix) from None
        return Replicas(strategy, workers, worker)
    return Replicas(tf.distribute.MirroredStrategy() if len(gpus()) > 1 else None)


def lost_worker(error: BaseException) -> LinkError | None:
    """Return the error to show where TensorFlow's error means a lost worker; ``None`` for any other error."""
    tf = load_tensorflow()
    gone = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    if not isinstance(error, gone):
        return None
    return LinkError("another worker is gone", "restart all workers: training resumes from its last state")


def _cluster(text: str) -> tuple[int, int] | None:
    """Return the number of workers and the number of this worker; ``None`` for a single worker.

    Raises:
        UsageError: The text does not describe a cluster.
    """
    if not text.strip():
        return None
    fix = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        raw = json.loads(text)
        cluster, task = raw["cluster"], raw["task"]
        hosts = [*cluster.get("chief", []), *cluster.get("worker", [])]
        role, index = task["type"], task["index"]
        number = index if role == "chief" else index + len(cluster.get("chief", []))
        known = role in ROLES and set(cluster) <= set(ROLES) and index < len(cluster[role])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UsageError(f"{ENVIRONMENT} does not describe a cluster", fix) from None
    if not known or not isinstance(index, int) or index < 0:
        raise UsageError(f"{ENVIRONMENT} has no task {role!r} {index!r}", fix)
    wrong = [h for h in hosts if not isinstance(h, str) or not re.fullmatch(r".+:\d{1,5}", h) or not _is_port(h)]
    if wrong:
        raise UsageError(f"{ENVIRONMENT} names {wrong[0]!r}, which is not HOST:PORT", fix)
    return (len(hosts), number) if len(hosts) > 1 else None


def _is_port(host: str) -> bool:
    return 0 < int(host.rpartition(":")[2]) < 65536
