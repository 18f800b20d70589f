"""The epochs of a training: batches that are read ahead, a score on validation patients, and states to resume from."""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.progress import Progress
from convert.compute.replicas import Replicas, lost_worker
from convert.datasets.prepared import PreparedDataset
from convert.finetune.augment import intensity
from convert.finetune.batches import Epoch, Reader, Rows, drawn_rows, epoch_order
from convert.finetune.log import Log
from convert.finetune.loss import HeadWeights, macro_auroc, segment_losses
from convert.finetune.options import FinetuneOptions
from convert.finetune.step import (
    Progressed,
    Schedule,
    StepLoop,
    StepOptions,
    Trained,
    load_progress,
    save_progress,
)
from firmware_bridge.errors import EXIT_SIGTERM, InputError

F32 = NDArray[np.float32]
Parts = Mapping[int, tuple[F32, F32]]

STATE, BEST = "state.npz", "best.npz"

MIN_EACH = 5
"""Minimum number of positive and of negative validation segments with which a head counts in the choice of the epoch.
"""

AHEAD = 3
"""Number of batches that are read while a step is computed."""

CURVE_POINTS = 4000
"""Approximate number of points of the loss curve."""

SCORE_BATCH = 64
"""Number of segments in a batch when the network is scored."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Data and options of one training.

    Attributes:
        data: The prepared data set.
        reader: Reader of its segments, or of their features.
        train: Training segments.
        visit: Visit of each training segment, ``(n,)``.
        val: Validation segments, which select the epoch.
        weights: Weights of the heads.
        options: Options of the training.
        folder: Folder of the states; the logs are in its parent.
        key: Fingerprint of data, start and options; states with another key are refused.
        save_every_s: Time between states within an epoch, seconds.
    """

    data: PreparedDataset
    reader: Reader
    train: Rows
    visit: NDArray[np.int64]
    val: Rows
    weights: HeadWeights
    options: FinetuneOptions
    folder: Path
    key: str
    save_every_s: float

    def batch(self, replicas: int) -> int:
        """Return the number of segments of a step, a multiple of replicas times passes; smaller for small data."""
        parts = replicas * self.options.passes
        n = min(self.options.batch, len(drawn_rows(self.train, self.visit, self.options.segments_per_visit, [0])))
        if n < parts:
            raise InputError(f"{n} training segments are too few for {parts} workers and passes", "use fewer of them")
        return n // parts * parts


class Run:
    """One run of a training through its epochs.

    Args:
        task: Data and options.
        trained: The network, made within ``replicas.scope()``.
        replicas: Workers that train.
        progress: Stream for the progress line, or ``None``.
    """

    def __init__(self, task: Task, trained: Trained, replicas: Replicas, progress: TextIO | None) -> None:
        self._task, self._replicas = task, replicas
        self._progress = progress if replicas.chief else None
        o = task.options
        self.batch = task.batch(replicas.count)
        options = StepOptions(self.batch, o.passes, o.decay, o.clip, half=o.precision == "float16", average=o.average)
        self.loop = StepLoop(trained, task.weights, options, replicas)
        self.steps = len(drawn_rows(task.train, task.visit, o.segments_per_visit, [0])) // self.batch
        self._schedule = Schedule(o.peak, o.epochs * self.steps)
        self._every = max(1, self._schedule.steps // CURVE_POINTS)
        self._best = self.loop.network()
        self._saved_s = time.monotonic()
        self._val_y = task.reader.targets(task.val)

    def run(self) -> Progressed:
        """Train until the last epoch or until the score no longer improves; resume an interrupted run.

        Raises:
            InputError: The training diverged, or a state is damaged or belongs to another run.
            LinkError: Another worker has stopped.
            OutputError: A state cannot be written.
            KeyboardInterrupt: The user stopped the run with Ctrl-C; the state is saved.
            SystemExit: SIGTERM stopped the run; the state is saved.
        """
        at = self._begin()
        o = self._task.options
        bar = Progress(
            "fine-tuning", o.epochs * self.steps, f"batches of {self.batch}", self._progress,
            at.epoch * self.steps + at.step,
        )  # fmt: skip
        with Log(self._task.folder.parent / "tensorboard" if self._replicas.chief else None) as log, _stop() as stop:
            try:
                while at.epoch < o.epochs and at.epoch - 1 - at.best < o.patience:
                    self._epoch(at, bar, log, stop)
            except Exception as error:
                lost = lost_worker(error)
                if lost is None:
                    raise
                raise lost from None
        return at

    def restore_best(self) -> None:
        """Set the weights of the network to those of the best epoch."""
        self.loop.load_network(self._best)

    def score(self, rows: Rows) -> F32:
        """Return the network's outputs of segments, ``(n, heads)`` float32."""
        parts = [
            self.loop.score(self._task.reader.segments(rows.take(slice(i, i + SCORE_BATCH))))
            for i in range(0, len(rows), SCORE_BATCH)
        ]
        return np.concatenate(parts)

    def _begin(self) -> Progressed:
        folder, key = self._task.folder, self._task.key
        found = load_progress(folder / STATE, key)
        at = Progressed()
        if found is not None:
            arrays, at = found
            self.loop.load(arrays)
            best = load_progress(folder / BEST, key)
            if at.best >= 0:
                if best is None:
                    raise InputError(
                        f"{folder / BEST} is missing", f"delete {folder / STATE} and run the command again"
                    )
                # After a kill between the two writes it may be one epoch newer; that epoch is then run again.
                self._best = best[0]
        self._replicas.barrier(at.epoch * self.steps + at.step)
        return at

    def _epoch(self, at: Progressed, bar: Progress, log: Log, stop: list[int]) -> None:
        t, o = self._task, self._task.options
        drawn = drawn_rows(t.train, t.visit, o.segments_per_visit, [o.seed, at.epoch])
        epoch = Epoch(
            t.reader, drawn.take(epoch_order(drawn, [o.seed, at.epoch])), o.seed, at.epoch, self.batch,
            o.augmentation if o.mode == "full" else None, intensity(at.epoch, o.epochs),
        )  # fmt: skip
        note, losses = self._note(at), _Losses(at)
        for parts in self._ahead(epoch, at.step):
            done = at.epoch * self.steps + at.step
            losses.add(self.loop.step(parts, self._schedule.rate(done)))
            at.step += 1
            if done % self._every == 0 or at.step == self.steps:
                last = losses.settle()
                at.curve.append((done, last))
                log.step(done, last, self._schedule.rate(done))
            bar.step(done + 1, note)
            due = time.monotonic() - self._saved_s > t.save_every_s
            if at.step < self.steps and (due or stop):
                losses.settle()
                self._save(at)
            _obey(stop)
        self._judge(at, log)
        self._save(at)
        _obey(stop)

    def _judge(self, at: Progressed, log: Log) -> None:
        """Score the epoch, and keep the network if it is the best so far."""
        with self.loop.averaged():
            self._judge_now(at, log)

    def _judge_now(self, at: Progressed, log: Log) -> None:
        logits = self.score(self._task.val)
        heads = self._task.data.heads
        area, each = macro_auroc(heads, logits, self._val_y, MIN_EACH)
        loss = float(np.mean(segment_losses(self._task.weights, logits, self._val_y)))
        # Without a head that can be judged, the loss selects the epoch.
        score = -loss if area is None else area
        if score > at.best_score:
            at.best, at.best_score = at.epoch, score
            self._best = self.loop.network()
            if self._replicas.chief:
                save_progress(self._task.folder / BEST, self._best, Progressed(at.epoch + 1), self._task.key)
        at.history.append({
            "epoch": at.epoch + 1, "loss": at.loss / self.steps, "val_loss": loss, "val_macro_auroc": area,
            "heads_judged": len(each), "best": at.best == at.epoch,
        })  # fmt: skip
        log.epoch(at.epoch + 1, at.loss / self.steps, loss, area, each)
        at.epoch, at.step, at.loss = at.epoch + 1, 0, 0.0

    def _save(self, at: Progressed) -> None:
        self._saved_s = time.monotonic()
        if self._replicas.chief:
            save_progress(self._task.folder / STATE, self.loop.arrays(), at, self._task.key)

    def _ahead(self, epoch: Epoch, first: int) -> Iterator[Parts]:
        """Yield the batches from ``first`` on, which another thread reads while a step is computed."""

        def read(step: int) -> Parts:
            return {r: epoch.read(step, self._replicas.rows(self.batch, r)) for r in self._replicas.local()}

        with ThreadPoolExecutor(1) as pool:
            waiting: deque[Future[Parts]] = deque()
            try:
                for step in range(first, self.steps):
                    waiting.append(pool.submit(read, step))
                    if len(waiting) > AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    @staticmethod
    def _note(at: Progressed) -> str:
        if not at.history:
            return "(epoch 1)"
        last = at.history[-1]
        shown = "none" if last["val_macro_auroc"] is None else f"{last['val_macro_auroc']:.4f}"
        return f"(epoch {at.epoch + 1}; macro AUROC {shown}, best in epoch {at.best + 1})"


class _Losses:
    """Sums the losses of an epoch in their order, independent of interruptions, and rarely waits for them.

    Args:
        at: Progress of the run, which gets the sum.
    """

    def __init__(self, at: Progressed) -> None:
        self._at = at
        self._open: list[Any] = []

    def add(self, loss: Any) -> None:
        """Add the loss of a step, whose computation may not be finished."""
        self._open.append(loss)

    def settle(self) -> float:
        """Sum the losses, and return the last one.

        Raises:
            InputError: A loss is not finite.
        """
        value = math.nan
        for value in map(float, self._open):
            self._at.loss += value
        self._open.clear()
        if not math.isfinite(self._at.loss):
            where = f"epoch {self._at.epoch + 1}, step {self._at.step}"
            raise InputError(
                f"the training diverged in {where}: its loss is not finite", "lower --rate, or use --clip 1"
            )
        return value


def _obey(received: list[int]) -> None:
    """End the run if a signal was received, with the exit code of that signal."""
    if received and received[0] == signal.SIGTERM:
        raise SystemExit(EXIT_SIGTERM)
    if received:
        raise KeyboardInterrupt


@contextmanager
def _stop() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, so that the run can end between two steps; a second signal ends it immediately.

    Yields:
        The received signals.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, note)
        except ValueError:  # not in the main thread, where the caller handles signals
            break
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
