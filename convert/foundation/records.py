"""Types of the entries that the conversion of a teacher writes to the manifest and to ``validation/parity.json``."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from convert.bundle.records import Manifest
from convert.datasets.outputs_file import OutputEntry
from convert.datasets.representative import Covered

Form = Literal["int8", "int8 with float layers", "int16 activations"]
"""Quantized form of a teacher."""


class LineEntry(TypedDict):
    """Centre and scale of a standardised value, in its unit."""

    centre: float
    scale: float


class Standardised(TypedDict):
    """Entry of ``manifest.conversion``: the line of each standardised value. It is missing if there is no value."""

    values: NotRequired[dict[str, LineEntry]]


class AttemptRow(TypedDict):
    """One quantized form in the report.

    Attributes:
        form: The form.
        ok: Whether the gate opened.
        bytes: Size of the model.
        float_layers: Short names of the layers that stay in float.
        correlation_median: Median correlation with the teacher; ``None`` where not defined.
        flat_heads: Number of heads that hardly vary over the windows.
        faults: The first faults.
    """

    form: Form
    ok: bool
    bytes: int
    float_layers: list[str]
    correlation_median: float | None
    flat_heads: int
    faults: list[str]


class ShownOutputs(TypedDict):
    """Remark on the outputs that the parity report shows; only with standardised values."""

    outputs: NotRequired[str]


ConversionFacts = TypedDict(
    "ConversionFacts",
    {
        "form": Form,
        "gate": str,
        "gate faults": list[str],
        "layers kept in float": list[str],
        "attempts": list[AttemptRow],
        "flat heads (judged by odds)": int,
        "checkpoint": str,
        "checkpoint sha256": str,
        "parameters": int,
        "multiply-accumulates": int,
        "model bytes": int,
        "output step": float,
        "outputs": NotRequired[str],
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
    """Facts of the network that its tensors do not tell."""

    stride: int
    use_bn: bool


class ConversionEntry(Standardised):
    """Result of the conversion: form, gate, and the layers that stay in float."""

    form: Form
    gate_open: bool
    float_layers: list[str]


class FoundationManifest(Manifest):
    """Manifest of a converted teacher.

    Attributes:
        created: Date of the conversion.
        outputs: The heads.
        budgets: Budgets of the tier.
        network: Facts of the network.
        conversion: Result of the conversion.
    """

    created: str
    outputs: list[OutputEntry]
    budgets: FoundationBudgets
    network: NetworkEntry
    conversion: ConversionEntry
