"""Training steps: gradients over a batch, AdamW, warm-up and cosine schedule, and states from which a run can resume.

Keras and TensorFlow provide the optimizer, mixed precision and the exchange between replicas. This module makes runs
comparable: the loss of a batch is a sum over its segments, however the batch is divided, and nothing depends on time.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.compute.replicas import Replicas
from convert.compute.tf_runtime import load_tensorflow
from convert.compute.training import save_arrays
from convert.finetune.loss import HeadWeights, segment_losses
from convert.finetune.records import HistoryEntry
from firmware_bridge.errors import InputError

F32 = NDArray[np.float32]

WARMUP_SHARE, FINAL_SHARE = 0.1, 0.01
"""Linear warm-up over a tenth of the steps, then a cosine down to a hundredth (shunxio/AnyECG-CCTA, train.py)."""

ADAM_BETAS, ADAM_EPSILON = (0.9, 0.999), 1e-8
"""Defaults of PyTorch, which the recipe uses."""

UNDECAYED = ("bias", "gamma", "beta")
"""Variables without weight decay."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rate by step.

    Attributes:
        peak: Peak learning rate.
        steps: Number of steps of the whole run.
    """

    peak: float
    steps: int

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        warm = max(1.0, WARMUP_SHARE * self.steps)
        if step < warm:
            return self.peak * (step + 1) / warm
        way = min(1.0, (step - warm) / max(1.0, self.steps - warm))
        return self.peak * (FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1.0 + math.cos(math.pi * way)))


@dataclass(frozen=True, slots=True)
class StepOptions:
    """Options of a step.

    Attributes:
        batch: Number of segments of a step over all replicas.
        passes: Number of parts in which each replica computes its share, to save memory.
        decay: Decoupled weight decay of kernels.
        clip: Largest global norm of the gradient; 0 for no limit.
        half: Whether the computation uses float16, which needs loss scaling.
        average: Factor of the moving average of the weights, the share that it keeps in each step; 0 for none.
    """

    batch: int
    passes: int = 1
    decay: float = 5e-4
    clip: float = 0.0
    half: bool = False
    average: float = 0.0


class Trained(Protocol):
    """A network, or a part of one, that is trained.

    Attributes:
        variables: All variables of a state.
        trainable: Trainable variables.
    """

    variables: list[Any]
    trainable: list[Any]

    def logits(self, x: Any, *, training: bool) -> Any:
        """Return the outputs of a batch, ``(n, heads)`` float32."""
        ...


@dataclass(slots=True)
class Progressed:
    """Progress of a run.

    Attributes:
        epoch: Number of finished epochs.
        step: Number of finished steps of the current epoch.
        loss: Sum of the losses of these steps.
        history: One entry for each epoch.
        curve: Step and loss at regular intervals.
        best: Epoch of the best network, from 0; -1 for none.
        best_score: Score of the best network.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    history: list[HistoryEntry] = field(default_factory=list)
    curve: list[tuple[int, float]] = field(default_factory=list)
    best: int = -1
    best_score: float = -math.inf


class StepLoop:
    """Runs training steps and keeps the state.

    Args:
        trained: The network, made within ``replicas.scope()``.
        weights: Weights of the heads.
        options: Options of a step.
        replicas: Workers that train.
    """

    def __init__(self, trained: Trained, weights: HeadWeights, options: StepOptions, replicas: Replicas) -> None:
        import keras

        self._tf = load_tensorflow()
        self._trained, self._weights, self._options, self._replicas = trained, weights, options, replicas
        share = replicas.count
        with replicas.scope():
            optimizer = keras.optimizers.AdamW(
                1e-3, options.decay, *ADAM_BETAS, ADAM_EPSILON, global_clipnorm=options.clip / share or None,
                use_ema=options.average > 0, ema_momentum=options.average or 0.99,
            )  # fmt: skip
            optimizer.exclude_from_weight_decay(var_names=list(UNDECAYED))
            optimizer.build(list(trained.trainable))
            self._rate, self._inner = optimizer.learning_rate, optimizer
            self._optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if options.half else optimizer
            if options.half:
                self._optimizer.build(list(trained.trainable))
        self._step = replicas.summed(self._train)
        self._forward = replicas.gathered(lambda x: trained.logits(x, training=False))

    def step(self, parts: Mapping[int, tuple[F32, F32]], rate: float) -> Any:
        """Run one step.

        Args:
            parts: Segments and targets of each replica of this process: its rows of the global batch.
            rate: Learning rate.

        Returns:
            The loss, a scalar tensor.
        """
        values = self._replicas.values(lambda r: parts[r])
        self._rate.assign(rate)
        return self._step(*values)

    def score(self, x: F32) -> F32:
        """Return the outputs of segments, ``(n, heads)`` float32.

        Args:
            x: Segments or features, ``(n, width)``; the same on all workers.
        """
        n, count = len(x), self._replicas.count
        padded = -(-n // count) * count
        x = np.concatenate([x, np.zeros((padded - n, *x.shape[1:]), np.float32)]) if padded > n else x
        found = self._forward(*self._replicas.values(lambda r: (x[self._replicas.rows(padded, r)],)))
        return np.asarray(found[:n], dtype=np.float32)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Set the weights of the network to their moving average, if there is one, until the block ends."""
        if not self._options.average:
            yield
            return
        now = [v.numpy() for v in self._trained.trainable]
        with self._replicas.scope():
            self._inner.finalize_variable_values(list(self._trained.trainable))
        try:
            yield
        finally:
            for variable, value in zip(self._trained.trainable, now, strict=True):
                variable.assign(value)

    def _train(self, x: Any, y: Any) -> Any:
        tf, passes = self._tf, self._options.passes
        variables = [v.value for v in self._trained.trainable]
        if passes == 1:
            loss, gradients = self._gradients(x, y, variables)
        else:
            xs, ys = (tf.reshape(a, [passes, -1, a.shape[-1]]) for a in (x, y))
            loss, gradients = tf.constant(0.0), [tf.zeros_like(v) for v in variables]
            for i in tf.range(passes):
                part, found = self._gradients(xs[i], ys[i], variables)
                loss, gradients = loss + part, [g + f for g, f in zip(gradients, found, strict=True)]
        gradients = self._replicas.all_reduce(gradients)
        # Keras sums over the replicas again, so the sum is divided by their number.
        shared = [g / self._replicas.count for g in gradients]
        self._optimizer.apply(shared, list(self._trained.trainable))
        return loss

    def _gradients(self, x: Any, y: Any, variables: Sequence[Any]) -> tuple[Any, list[Any]]:
        tf = self._tf
        with tf.GradientTape() as tape:
            logits = self._trained.logits(x, training=True)
            loss = tf.reduce_sum(segment_losses(self._weights, logits, y)) / float(self._options.batch)
            scaled = self._optimizer.scale_loss(loss) if self._options.half else loss
        return loss, tape.gradient(scaled, variables)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all variables of network and optimizer by name."""
        return {name: np.asarray(v.numpy()) for name, v in self._named()}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Set all variables from the result of :meth:`arrays`.

        Raises:
            InputError: The arrays belong to another network.
        """
        for name, variable in self._named():
            if name not in arrays or arrays[name].shape != tuple(variable.shape):
                raise InputError("the state belongs to another network", "name another --out or delete it")
            variable.assign(arrays[name])

    def network(self) -> dict[str, NDArray[Any]]:
        """Return the variables of the network by name."""
        return {v.path: np.asarray(v.numpy()) for v in self._trained.variables}

    def load_network(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Set the variables of the network from the result of :meth:`network`."""
        for v in self._trained.variables:
            v.assign(arrays[v.path])

    def _named(self) -> list[tuple[str, Any]]:
        network = [(f"n:{v.path}", v) for v in self._trained.variables]
        return network + [(f"o:{i}", v) for i, v in enumerate(self._optimizer.variables)]


def save_progress(path: Path, arrays: Mapping[str, NDArray[Any]], at: Progressed, key: str) -> None:
    """Write a state atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    facts = {
        "key": key, "epoch": at.epoch, "step": at.step, "loss": at.loss, "history": at.history, "curve": at.curve,
        "best": at.best, "best_score": at.best_score if math.isfinite(at.best_score) else None,
    }  # fmt: skip
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    save_arrays(path, {**arrays, "facts": text})


def load_progress(path: Path, key: str) -> tuple[dict[str, NDArray[Any]], Progressed] | None:
    """Read a state of :func:`save_progress`; return ``None`` if there is none.

    Raises:
        InputError: The file is damaged, or belongs to another run.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        facts = json.loads(arrays.pop("facts").tobytes())
        score = -math.inf if facts["best_score"] is None else float(facts["best_score"])
        at = Progressed(
            facts["epoch"], facts["step"], facts["loss"], facts["history"],
            [(int(a), float(b)) for a, b in facts["curve"]], facts["best"], score,
        )  # fmt: skip
        found = facts["key"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a training state", "delete it and run the command again") from error
    if found != key:
        raise InputError(
            f"{path} belongs to other data, another --init or other options", "name another --out or delete it"
        )
    return arrays, at
