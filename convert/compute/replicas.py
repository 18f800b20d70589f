"""One training on several GPUs or machines: TensorFlow's own strategies behind one small interface.

``MirroredStrategy`` where the machine has several GPUs, ``MultiWorkerMirroredStrategy`` where ``TF_CONFIG`` names other
machines, nothing at all otherwise. The rule everywhere: every worker draws the *same* global batch and takes its own
rows of it, losses are sums over rows divided by what the whole batch has, and whatever is a sum is summed over all. So
two workers do what one does with the same batch, up to the order of additions.
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
    """Whoever takes part in a training: one replica a GPU or machine, or just this process.

    Args:
        strategy: TensorFlow's, or ``None`` for this process alone.

    Attributes:
        count: Replicas everywhere.
        workers: Processes everywhere.
        worker: Number of this one.
    """

    def __init__(self, strategy: Any = None, workers: int = 1, worker: int = 0) -> None:
        self._tf = load_tensorflow()
        self._strategy = strategy
        self.count: int = 1 if strategy is None else int(strategy.num_replicas_in_sync)
        self.workers, self.worker = workers, worker

    @property
    def chief(self) -> bool:
        """Whether this process writes the files; the others only compute."""
        return self.worker == 0

    def scope(self) -> AbstractContextManager[Any]:
        """Where variables are made, so that every replica has them."""
        scope: AbstractContextManager[Any] = nullcontext() if self._strategy is None else self._strategy.scope()
        return scope

    def rows(self, n: int, replica: int) -> slice:
        """A replica's rows of a global batch of ``n``.

        Raises:
            UsageError: The batch cannot be shared evenly.
        """
        if n % self.count:
            raise UsageError(f"a batch of {n} cannot be shared among {self.count} replicas", "give a multiple of it")
        share = n // self.count
        return slice(replica * share, (replica + 1) * share)

    def local(self) -> list[int]:
        """Numbers of the replicas in this process."""
        if self._strategy is None:
            return [0]
        each = self._strategy.num_replicas_in_sync // self.workers
        return list(range(self.worker * each, (self.worker + 1) * each))

    def values(self, make: Callable[[int], Arrays]) -> tuple[Any, ...]:
        """What each replica is given.

        Args:
            make: A replica's arrays, by its number; asked only for those in this process.

        Returns:
            As many tensors, each with a value a replica.
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
        """A compiled function that runs ``step`` on every replica and gives the sum of what they return.

        Args:
            step: Takes what :meth:`values` gives (and plain tensors) and returns a tensor.
        """
        tf, strategy = self._tf, self._strategy

        def run(*args: Any) -> Any:
            if strategy is None:
                return step(*args)
            return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(step, args=args), axis=None)

        compiled: Callable[..., Any] = tf.function(run, reduce_retracing=True)
        return compiled

    def gathered(self, step: Callable[..., Any]) -> Callable[..., NDArray[Any]]:
        """A function that runs ``step`` on every replica and gives their rows, one replica's after the other's."""
        tf, strategy = self._tf, self._strategy
        if strategy is None:
            compiled = tf.function(step, reduce_retracing=True)
        else:

            def run(*args: Any) -> Any:
                return strategy.gather(strategy.run(step, args=args), axis=0)

            compiled = tf.function(run, reduce_retracing=True)
        return lambda *args: np.asarray(compiled(*args))

    def all_reduce(self, tensors: Any) -> Any:
        """Sums over replicas, within a step; differentiable.

        Args:
            tensors: One, or a list of them.
        """
        if self._strategy is None or self.count == 1:
            return tensors
        tf = self._tf
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)

    def chiefs(self, array: NDArray[Any]) -> NDArray[Any]:
        """What the chief has, on every worker.

        Args:
            array: Numbers, of the same shape and kind on all.
        """
        if self._strategy is None:
            return array
        sent = self.values(lambda replica: (array if replica == 0 else np.zeros_like(array),))
        return np.asarray(self.summed(lambda x: x)(*sent), dtype=array.dtype)

    def barrier(self, number: int) -> None:
        """Waits for all workers, and makes sure that they are all at the same place.

        Args:
            number: Where this one is.

        Raises:
            UsageError: Another one is elsewhere.
        """
        if self._strategy is None:
            return
        found = self.gathered(lambda x: x)(*self.values(lambda _: (np.array([number], np.int64),)))
        if len(set(found.tolist())) > 1:
            raise UsageError(
                f"the workers stand at different steps: {sorted(set(found.tolist()))}",
                "they must all see the same --out folder; start all of them again",
            )


def open_replicas() -> Replicas:
    """The replicas that the environment asks for. Must come before anything else of TensorFlow.

    Raises:
        UsageError: ``TF_CONFIG`` is malformed.
        LinkError: The other workers do not answer.
    """
    cluster = _cluster(os.environ.get(ENVIRONMENT, ""))
    if not os.environ.get(ENVIRONMENT, "x").strip():
        # TensorFlow stumbles over one that is there and empty.
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
            fix = "are they all started, with the same TF_CONFIG but for the index, and is the port free?"
            raise LinkError(f"the {workers} workers of {ENVIRONMENT} do not come together: {why}", fix) from None
        return Replicas(strategy, workers, worker)
    return Replicas(tf.distribute.MirroredStrategy() if len(gpus()) > 1 else None)


def lost_worker(error: BaseException) -> LinkError | None:
    """The error to show where TensorFlow says that another worker is gone; ``None`` where it says another thing."""
    tf = load_tensorflow()
    gone = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    if not isinstance(error, gone):
        return None
    return LinkError("another worker is gone", "start all of them again: the training goes on from its last state")


def _cluster(text: str) -> tuple[int, int] | None:
    """Number of workers and of this one; ``None`` where there are no others.

    Raises:
        UsageError: The text is no such description.
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
        raise UsageError(f"{ENVIRONMENT} names {wrong[0]!r}", fix)
    return (len(hosts), number) if len(hosts) > 1 else None


def _is_port(host: str) -> bool:
    return 0 < int(host.rpartition(":")[2]) < 65536
