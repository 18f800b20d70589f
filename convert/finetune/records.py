"""Types of ``finetune.json``; ``docs/finetune.md`` describes the file."""

from __future__ import annotations

from typing import Any, TypedDict


class HistoryEntry(TypedDict):
    """One epoch of a training.

    Attributes:
        epoch: Number of the epoch, from 1.
        loss: Mean loss of its steps.
        val_loss: Loss on the validation segments.
        val_macro_auroc: Macro AUROC on the validation segments; ``None`` if no head can be judged.
        heads_judged: Number of heads in that mean.
        best: Whether the epoch was the best one so far.
    """

    epoch: int
    loss: float
    val_loss: float
    val_macro_auroc: float | None
    heads_judged: int
    best: bool


class DataEntry(TypedDict):
    """The prepared data set: its fingerprint, its description, and whether the simulator wrote it."""

    key: str
    source: str
    simulated: bool


InitEntry = TypedDict("InitEntry", {"from": str, "sha256": str, "remarks": list[str]})
"""The checkpoint at the start: its file name or ``scratch``, its SHA-256 in hexadecimal, and remarks."""


class Versions(TypedDict):
    """Versions of the libraries."""

    tensorflow: str
    keras: str


class Report(TypedDict):
    """``finetune.json``.

    Attributes:
        schema: Name and version of the format.
        notice: Notice of research use.
        key: Fingerprint of everything that the result depends on, except the machine.
        data: The data set.
        init: The checkpoint at the start.
        network: Shape of the network.
        options: Options of the training.
        batch: Batch size over all workers.
        steps_per_epoch: Number of steps of an epoch.
        heads: Keys of the heads.
        best_epoch: The best epoch, from 1; 0 for none.
        val_macro_auroc: Macro AUROC of that epoch; ``None`` if no head can be judged.
        val_auroc: AUROC by head.
        history: The epochs.
        read_back: Largest difference of the outputs from the network by file, in standard deviations of a target.
        versions: Versions of the libraries.
        labels: Name of the file with the label plan.
    """

    schema: str
    notice: str
    key: str
    data: DataEntry
    init: InitEntry
    network: dict[str, Any]
    options: dict[str, Any]
    batch: int
    steps_per_epoch: int
    heads: list[str]
    best_epoch: int
    val_macro_auroc: float | None
    val_auroc: dict[str, float]
    history: list[HistoryEntry]
    read_back: dict[str, float]
    versions: Versions
    labels: str
