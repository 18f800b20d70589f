"""The training loop: AdamW, warm-up and cosine schedule, masked losses, resumable with identical results.

The state after every epoch (weights, optimizer moments, best weights so far) is written atomically. All random numbers
of an epoch are drawn from ``[seed, phase, epoch]``, so a run that was killed and resumed ends with the same numbers as
an uninterrupted one.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convert.compute.losses import huber
from convert.compute.qat import FloatOps, QuantOps, Weights, trainable_names
from convert.compute.replicas import Replicas
from convert.compute.students import StudentSpec, wire
from convert.compute.tf_runtime import load_tensorflow
from edge.process.files import output_error, write_atomically
from firmware_bridge.errors import InputError

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Inputs ``(n, 1, samples, 1)`` and targets ``(n, heads)``, NaN where a target is unknown."""

Parts = Mapping[int, Batch]
"""The rows of a batch that each replica of this process takes, by its number."""

ADAM_BETAS = (0.9, 0.99)
ADAM_EPSILON = 1e-7
WARMUP_SHARE = 0.05
"""Share of the steps during which the learning rate rises linearly. A cosine to zero follows."""

GRADIENT_NORM = 5.0
"""Largest global norm of the gradients; larger gradients are scaled down."""

PHASE_NUMBER = {"float": 1, "quant": 2, "teacher": 3}


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of the training.

    Attributes:
        kind: ``"float"`` (batch normalisation) or ``"quant"`` (folded, fake-quantized) of a student, or ``"teacher"``.
        epochs: Passes over the training data.
        steps_per_epoch: Batches in a pass.
        rate: Peak learning rate.
        decay: Decoupled weight decay on kernels.
        dropout: Dropout rate of the pooled features.
    """

    kind: Literal["float", "quant", "teacher"]
    epochs: int
    steps_per_epoch: int
    rate: float
    decay: float = 2e-3
    dropout: float = 0.2


@dataclass(frozen=True, slots=True)
class State:
    """The state of a training, from which it can resume.

    Attributes:
        epoch: Number of epochs done.
        weights: Current parameters.
        moments: First and second moments of the optimizer, ``m/NAME`` and ``v/NAME``.
        best: Parameters at the lowest validation loss.
        best_loss: The lowest validation loss.
    """

    epoch: int
    weights: Weights
    moments: Weights
    best: Weights
    best_loss: float


def start(weights: Weights) -> State:
    """Return the state before the first epoch."""
    moments = {f"{m}/{k}": np.zeros_like(v) for k, v in weights.items() for m in ("m", "v")}
    return State(0, dict(weights), moments, dict(weights), float("inf"))


def save_state(path: Path, state: State) -> None:
    """Write a state atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    arrays = {
        **{f"w:{k}": v for k, v in state.weights.items()},
        **{f"o:{k}": v for k, v in state.moments.items()},
        **{f"b:{k}": v for k, v in state.best.items()},
        "epoch": np.int64(state.epoch),
        "best_loss": np.float64(state.best_loss),
    }
    save_arrays(path, arrays)


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as ``.npz``, atomically; the folder is made where it is missing.

    Raises:
        OutputError: The file cannot be written.
    """
    buffer = io.BytesIO()
    plain: dict[str, Any] = {k: np.asarray(v) for k, v in arrays.items()}
    np.savez(buffer, **plain)
    advice = "free some space or name another folder"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error, advice) from None
    write_atomically(path, buffer.getvalue(), advice=advice)


def load_state(path: Path) -> State:
    """Read what :func:`save_state` wrote.

    Raises:
        InputError: The file is not a training state.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            parts: dict[str, Weights] = {"w": {}, "o": {}, "b": {}}
            for key in data.files:
                if key[1:2] == ":":
                    parts[key[0]][key[2:]] = data[key]
            epoch, best_loss = int(data["epoch"]), float(data["best_loss"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a training state", "delete it and rerun the command") from error
    return State(epoch, parts["w"], parts["o"], parts["b"], best_loss)


def agreed(replicas: Replicas, state: State) -> State:
    """Return the chief's state on every worker. Another worker may see the chief's file late, or an older one.

    Args:
        replicas: The replicas of the training.
        state: State that this worker read; its arrays have the chief's shapes.
    """
    if replicas.workers == 1:
        return state
    parts = (state.weights, state.moments, state.best)
    flat = replicas.chiefs(np.concatenate([part[k].ravel() for part in parts for k in sorted(part)]).astype(np.float32))
    epoch, best_loss = replicas.chiefs(np.array([state.epoch, state.best_loss], np.float64)).tolist()
    found: list[Weights] = []
    for part in parts:
        taken: Weights = {}
        for k in sorted(part):
            taken[k], flat = flat[: part[k].size].reshape(part[k].shape), flat[part[k].size :]
        found.append({k: taken[k] for k in part})
    return State(int(epoch), found[0], found[1], found[2], best_loss)


class Loop:
    """Trains one phase of a network. Subclasses define the outputs and may define the loss.

    The loss of a step is a sum over the replicas: each adds the share of its own rows of the batch.

    Args:
        variables: All variables of the network by name, ``tf.Variable`` with the weights of the state, created in the
            scope of the replicas.
        names: Names of the trained variables.
        is_value: For each head, whether it is a value (Huber's loss) rather than a probability.
        phase: The phase to train.
        state: The state to start from.
        seed: Seed of all random numbers.
        replicas: The replicas of the training; ``None`` for this process alone.
    """

    def __init__(
        self,
        variables: Mapping[str, Any],
        names: Sequence[str],
        is_value: Sequence[bool],
        phase: Phase,
        state: State,
        seed: int,
        replicas: Replicas | None = None,
    ) -> None:
        tf = self._tf = load_tensorflow()
        self._replicas = replicas = replicas or Replicas()
        self._vars, self._names = dict(variables), tuple(names)
        self._value = np.asarray(is_value, dtype=bool)
        self._phase = phase
        self._seed = seed
        with replicas.scope():
            self._moments = {k: tf.Variable(v, dtype=tf.float32) for k, v in state.moments.items()}
        self._best, self._best_loss, self.epoch = dict(state.best), state.best_loss, state.epoch
        self._step = replicas.summed(self._train_step)
        self._forward = replicas.gathered(lambda x: self._logits(x, None)[0])

    def run_epoch(self, batches: Iterator[Batch | Parts], validation: Batch, each: Callable[[int], None]) -> float:
        """Run one pass over the training data, then compute the validation loss.

        Args:
            batches: Training batches. With several processes, only the rows of this process's replicas.
            validation: Held-out windows.
            each: Function called after every step with the number of steps done.

        Returns:
            The validation loss.
        """
        total = self._phase.epochs * self._phase.steps_per_epoch
        tf = self._tf
        for i, batch in enumerate(batches):
            parts = batch if isinstance(batch, Mapping) else {0: batch}
            step = self.epoch * self._phase.steps_per_epoch + i
            draw = [self._seed * 2 + PHASE_NUMBER[self._phase.kind], step]
            self._step(
                *self._replicas.values(parts.__getitem__), tf.constant(self._rate(step, total), tf.float32),
                tf.constant(float(step + 1), tf.float32), tf.constant(draw, tf.int32),
            )  # fmt: skip
            each(i + 1)
        self.epoch += 1
        logits = np.concatenate([self._outputs(part) for part in _chunks(validation[0], 256 * self._replicas.count)])
        loss = float(self._loss(tf.constant(logits), tf.constant(validation[1])).numpy())
        # Other processors may round differently, and all workers must keep the same best weights.
        loss = float(self._replicas.chiefs(np.array([loss]))[0])
        if loss < self._best_loss:
            self._best_loss = loss
            self._best = {k: v.numpy() for k, v in self._vars.items()}
        return loss

    def _outputs(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        n, r = len(x), self._replicas
        padded = -(-n // r.count) * r.count
        filled = np.concatenate([x, np.zeros_like(x[: padded - n])]) if padded > n else x
        return np.asarray(self._forward(*r.values(lambda i: (filled[r.rows(padded, i)],)))[:n], dtype=np.float32)

    def state(self) -> State:
        """Return the current state, with the best weights."""
        return State(
            self.epoch,
            {k: v.numpy() for k, v in self._vars.items()},
            {k: v.numpy() for k, v in self._moments.items()},
            self._best,
            self._best_loss,
        )

    def _rate(self, step: int, total: int) -> float:
        warm = max(1.0, WARMUP_SHARE * total)
        if step < warm:
            return self._phase.rate * (step + 1) / warm
        return self._phase.rate * 0.5 * (1.0 + float(np.cos(np.pi * (step - warm) / max(1.0, total - warm))))

    def _logits(self, x: Any, draw: Any) -> tuple[Any, dict[str, Any]]:
        """Return the outputs, ``(n, heads)``, and the statistics to update; ``draw`` is ``None`` outside training."""
        raise NotImplementedError

    def _loss(self, logits: Any, y: Any, replicas: Replicas | None = None) -> Any:
        """Return the mean over heads of the mean over known targets: cross-entropy, or Huber's loss for values.

        Args:
            logits: Outputs of some rows.
            y: Targets of these rows, NaN where unknown.
            replicas: Replicas that have the other rows of the batch; ``None`` where ``logits`` has all rows.
        """
        tf = self._tf
        known = tf.cast(~tf.math.is_nan(y), tf.float32)
        y = tf.where(tf.math.is_nan(y), tf.zeros_like(y), y)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits)
        each = tf.where(tf.constant(self._value), huber(logits - y), entropy) * known
        count = tf.reduce_sum(known, 0)
        return tf.reduce_mean(tf.reduce_sum(each, 0) / tf.maximum(whole(count, replicas), 1.0))

    def _averaged(self) -> Callable[[Any], Any] | None:
        """Return a function that averages over the replicas inside a step; ``None`` for a single replica."""
        r = self._replicas
        return None if r.count == 1 else lambda value: r.all_reduce(value) / r.count

    def _train_step(self, x: Any, y: Any, rate: Any, count: Any, draw: Any) -> Any:
        tf = self._tf
        variables = [self._vars[k] for k in self._names]
        with tf.GradientTape() as tape:
            logits, updates = self._logits(x, draw)
            loss = self._loss(logits, y, self._replicas)
        gradients = self._replicas.all_reduce(tape.gradient(loss, variables))
        gradients, _ = tf.clip_by_global_norm(gradients, GRADIENT_NORM)
        for name, variable, gradient in zip(self._names, variables, gradients, strict=True):
            self._adam(name, variable, gradient, rate, count)
        for name, value in updates.items():
            self._vars[name].assign(value)
        return loss

    def _adam(self, name: str, variable: Any, gradient: Any, rate: Any, count: Any) -> None:
        tf, (beta1, beta2) = self._tf, ADAM_BETAS
        m, v = self._moments[f"m/{name}"], self._moments[f"v/{name}"]
        m.assign(beta1 * m + (1 - beta1) * gradient)
        v.assign(beta2 * v + (1 - beta2) * gradient * gradient)
        step = (m / (1 - beta1**count)) / (tf.sqrt(v / (1 - beta2**count)) + ADAM_EPSILON)
        if name.endswith("/kernel"):
            step = step + self._phase.decay * variable
        variable.assign_sub(rate * step)


class Trainer(Loop):
    """Trains one phase of one student.

    Args:
        spec: The student.
        is_value: For each head, whether it is a value (Huber's loss) rather than a probability.
        phase: The phase to train.
        state: The state to start from.
        seed: Seed of all random numbers.
        replicas: The replicas of the training; ``None`` for this process alone.
    """

    def __init__(
        self,
        spec: StudentSpec,
        is_value: Sequence[bool],
        phase: Phase,
        state: State,
        seed: int,
        replicas: Replicas | None = None,
    ) -> None:
        tf = load_tensorflow()
        replicas = replicas or Replicas()
        with replicas.scope():
            variables = {k: tf.Variable(v, dtype=tf.float32) for k, v in state.weights.items()}
        super().__init__(variables, trainable_names(spec, state.weights), is_value, phase, state, seed, replicas)
        self._spec = spec

    def _logits(self, x: Any, draw: Any) -> tuple[Any, dict[str, Any]]:
        tf, n = self._tf, len(self._value)
        drop = None
        if draw is not None and self._phase.dropout > 0.0:
            share = self._phase.dropout

            def drop(y: Any) -> Any:
                keep = self._drawn(tf.shape(y), draw) >= share
                return y * tf.cast(keep, tf.float32) / (1.0 - share)

        if self._phase.kind == "float":
            ops = FloatOps(
                self._spec, n, self._vars, training=draw is not None, dropout=drop, averaged=self._averaged()
            )
            logits, _ = wire(self._spec, ops, x)
            return tf.reshape(logits, [-1, n]), ops.updates
        quant = QuantOps(self._spec, n, self._vars, dropout=drop)
        logits, _ = wire(self._spec, quant, quant.input(x))
        return tf.reshape(logits, [-1, n]), {}

    def _drawn(self, shape: Any, draw: Any) -> Any:
        """Return uniform random numbers for the rows of this replica, the same as a single replica would draw."""
        tf, count = self._tf, self._replicas.count
        if count == 1:
            return tf.random.stateless_uniform(shape, draw)
        rows, me = shape[0], tf.distribute.get_replica_context().replica_id_in_sync_group
        everybodys = tf.random.stateless_uniform(tf.concat([shape[:1] * count, shape[1:]], 0), draw)
        return everybodys[me * rows : (me + 1) * rows]


def whole(count: Any, replicas: Replicas | None) -> Any:
    """Return the sum of a replica's count over all replicas, inside a step."""
    return count if replicas is None else replicas.all_reduce(count)


def _chunks(x: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    for i in range(0, len(x), size):
        yield x[i : i + size]
