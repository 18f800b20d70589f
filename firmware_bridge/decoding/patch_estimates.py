"""Estimates that a patch made itself, as link events. Sans-IO."""

from __future__ import annotations

from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem
from firmware_bridge.wire.messages import WITH_ESTIMATES, EstimateReason, Hello, PatchEstimate

REASONS: dict[EstimateReason, str | None] = {
    EstimateReason.NONE: None,
    EstimateReason.WARMING_UP: "warming_up",
    EstimateReason.GAP: "gap",
    EstimateReason.POOR_SIGNAL: "poor_signal",
    EstimateReason.FLAT: "flat",
    EstimateReason.SATURATED: "saturated",
    EstimateReason.LEAD_OFF: "lead_off",
}
"""Reasons of an abstention by their names in an estimate."""


def wanted_version(hello: Hello, highest: int) -> int:
    """Return the version to choose in START: the highest that both sides speak."""
    return min(hello.proto_max, highest)


def announcement(hello: Hello, arrival_ns: int) -> list[LinkItem]:
    """Return the event that says that the patch estimates itself; an empty list if it does not."""
    model = hello.model
    if model is None or hello.proto_max < WITH_ESTIMATES:
        return []
    every = f" every {model.hop_s} s" if model.hop_s else ""
    without = "" if model.samples else " and sends no samples"
    detail = f"the patch makes its own estimates{every}{without}; --trust-patch shows them"
    data: dict[str, object] = {"model": model.identity.hex(), "heads": model.heads, "samples": model.samples}
    return [LinkEvent(LinkEventKind.INFO, arrival_ns, detail, data)]


def estimate_event(message: PatchEstimate, hello: Hello, behind: int | None, arrival_ns: int) -> LinkEvent:
    """Return the event for an ESTIMATE.

    Args:
        message: The message.
        hello: Description of the patch, with its model.
        behind: Samples that arrived since the window ended; ``None`` if the patch sends none.
        arrival_ns: Arrival time, ns.
    """
    model = hello.model
    data: dict[str, object] = {
        "model": "" if model is None else model.identity.hex(),
        "outputs": 0 if model is None else model.heads,
        "hop_s": 0 if model is None else model.hop_s,
        "index": message.index,
        "behind_s": None if behind is None else behind / hello.fs_hz,
        "end_s": message.index / hello.fs_hz,
        "reason": REASONS[message.reason],
        "windows": message.windows,
        "first": message.first,
        "heads": [[score, int(state)] for score, state in message.heads],
    }
    return LinkEvent(LinkEventKind.ESTIMATE, arrival_ns, "the patch made an estimate", data)
