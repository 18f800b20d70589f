"""Training logs: event files for TensorBoard, and a table and a plot of the losses."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from convert.compute.tf_runtime import load_tensorflow
from convert.finetune.step import Progressed
from firmware_bridge.errors import OutputError


class Log:
    """Writes scalars for TensorBoard with TensorFlow alone.

    Args:
        folder: Folder of the event files; ``None`` writes nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._tf = load_tensorflow()
        self._writer: Any = None
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._writer = self._tf.summary.create_file_writer(str(folder))
            except (OSError, self._tf.errors.OpError) as error:
                raise OutputError(
                    f"cannot write to {folder}: {error}", "free some space or name another --out"
                ) from None
        self._metadata = _scalar_metadata() if self._writer is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def step(self, step: int, loss: float, rate: float) -> None:
        """Log one step."""
        self._write(step, {"train/loss": loss, "train/learning_rate": rate})

    def epoch(self, epoch: int, loss: float, val_loss: float, area: float | None, each: Mapping[str, float]) -> None:
        """Log one epoch."""
        scalars = {"epoch/train_loss": loss, "epoch/val_loss": val_loss}
        if area is not None:
            scalars["epoch/val_macro_auroc"] = area
        self._write(epoch, scalars | {f"auroc/{key}": value for key, value in each.items()})
        if self._writer is not None:
            self._writer.flush()

    def _write(self, step: int, scalars: Mapping[str, float]) -> None:
        if self._writer is None:
            return
        with self._writer.as_default():
            for tag, value in scalars.items():
                # Same as tf.summary.scalar, which is in the package tensorboard and not in TensorFlow.
                self._tf.summary.write(tag, self._tf.constant(value, "float32"), step, self._metadata)


def _scalar_metadata() -> Any:
    from tensorflow.core.framework import summary_pb2

    metadata = summary_pb2.SummaryMetadata(data_class=summary_pb2.DATA_CLASS_SCALAR)
    metadata.plugin_data.plugin_name = "scalars"
    return metadata


def curve_csv(curve: Sequence[tuple[int, float]]) -> str:
    """Return step and loss as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("step", "loss"))
    table.writerows(curve)
    return text.getvalue()


def curve_svg(at: Progressed, steps: int) -> str:
    """Return a plot of the losses and the macro AUROC over the epochs, as SVG.

    Args:
        at: The finished run.
        steps: Number of steps of an epoch.
    """
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "anyecg", "svg.fonttype": "none"}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.0, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        epochs = [entry["epoch"] for entry in at.history]
        left.plot([step / steps for step, _ in at.curve], [loss for _, loss in at.curve], color="0.8", lw=0.8)
        left.plot(epochs, [entry["loss"] for entry in at.history], label="training", color="tab:blue")
        left.plot(epochs, [entry["val_loss"] for entry in at.history], label="validation", color="tab:orange")
        left.set(xlabel="epoch", title="loss")
        left.legend(frameon=False)
        judged = [(e["epoch"], e["val_macro_auroc"]) for e in at.history if e["val_macro_auroc"] is not None]
        right.plot([e for e, _ in judged], [a for _, a in judged], color="tab:orange")
        right.axhline(0.5, color="0.6", lw=0.8, ls="--")
        right.axvline(at.best + 1, color="tab:green", lw=0.8, label=f"best: epoch {at.best + 1}")
        right.set(xlabel="epoch", title="macro AUROC, validation patients")
        right.legend(frameon=False, loc="upper left")
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        return text.getvalue()
