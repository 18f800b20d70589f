"""Types of the entries that the conversion of a teacher writes to the manifest and to ``validation/parity.json``."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from convert.bundle.records import Manifest
from convert.checkpoint.spec import Net1DSpec
from convert.datasets.outputs_file import OutputEntry
from convert.datasets.representative import Covered
from convert.quantization import StepRow
from edge.bundle.schema import Form

Wanted = Literal["auto", "dynamic", "int8", "float16", "float32"]
"""Form that a conversion is asked for."""


class LineEntry(TypedDict):
    """Centre and scale of a standardised head, in logits or in its unit."""

    centre: float
    scale: float


class Standardised(TypedDict):
    """Entry of ``manifest.conversion``: the line of each standardised head."""

    standardised: NotRequired[dict[str, LineEntry]]


class FormRow(TypedDict):
    """One form of the model in the report.

    Attributes:
        form: The form.
        gate: ``open`` or ``shut``.
        bytes: Size of the model.
        ms: Time of one window on the converting machine with one thread, milliseconds.
        times_float32: Time of the float32 form divided by that of this form.
        correlation_median: Median correlation with the float model over the heads; ``None`` where not defined.
        correlation_min: Lowest correlation.
        worst_head: Key of that head.
        heads_below: Number of heads with a fault.
        flat_heads: Number of heads that hardly vary over the windows.
        steps_per_sd_min: Smallest standard deviation of a head over the windows, in steps of the output.
        faults: The first faults.
    """

    form: Form
    gate: str
    bytes: int
    ms: float
    times_float32: float
    correlation_median: float | None
    correlation_min: float | None
    worst_head: str | None
    heads_below: int
    flat_heads: int
    steps_per_sd_min: float
    faults: list[str]


class ShownOutputs(TypedDict):
    """Remark on the outputs that the parity report shows; only with standardised values."""

    outputs: NotRequired[str]


IntegerSteps = TypedDict("IntegerSteps", {"int8 steps": NotRequired[list[StepRow]]})
"""What each step of the preparation of full int8 bought; only if that form was made."""


ConversionFacts = TypedDict(
    "ConversionFacts",
    {
        "form": Form,
        "gate": str,
        "gate faults": list[str],
        "forms": list[FormRow],
        "self-test limits, steps": dict[str, dict[str, float]],
        "flat heads (judged by odds)": int,
        "checkpoint": str,
        "checkpoint sha256": str,
        "parameters": int,
        "multiply-accumulates": int,
        "model bytes": int,
        "output step": float,
        "outputs": NotRequired[str],
        "int8 steps": NotRequired[list[StepRow]],
        "input clamp": float,
        "share of z-scores beyond the clamp": float,
        "calibration windows": int,
        "calibration windows chosen by": str,
        "range of the recordings that they cover": Covered,
        "evaluation windows": int,
        "recordings used": list[str],
        "recordings skipped": dict[str, str],
    },
)
"""Facts of the parity report of a conversion; the keys are the texts that the report shows."""


class FoundationBudgets(TypedDict):
    """Budgets of the tier: bytes of the model, time around the model as a share of its time, and peak RSS, MiB."""

    model_bytes: int
    added_share: float
    rss_mib: int


class NetworkEntry(TypedDict):
    """Facts of the network that its tensors do not tell.

    Attributes:
        stride: Stride of each stage's first block.
        use_bn: Whether the network uses batch normalisation.
        key: Name of the network in a checkpoint with several.
    """

    stride: int
    use_bn: bool
    key: NotRequired[str]


def network_entry(spec: Net1DSpec, key: str | None) -> NetworkEntry:
    """Return the facts of a network; the key only if one was given, as only then the checkpoint needs it."""
    entry: NetworkEntry = {"stride": spec.stride, "use_bn": spec.use_bn}
    if key is not None:
        entry["key"] = key
    return entry


class ConversionEntry(Standardised):
    """Result of the conversion: form and gate."""

    form: Form
    gate_open: bool


class FoundationManifest(Manifest):
    """Manifest of a converted teacher.

    Attributes:
        created: Date of the conversion.
        form: Form of the model.
        outputs: The heads.
        budgets: Budgets of the tier.
        network: Facts of the network.
        conversion: Result of the conversion.
    """

    created: str
    form: Form
    outputs: list[OutputEntry]
    budgets: FoundationBudgets
    network: NetworkEntry
    conversion: ConversionEntry
