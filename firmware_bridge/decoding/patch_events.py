"""Link events of the kit's own patch, worded for the user."""

from __future__ import annotations

from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ, LinkEvent, LinkEventKind, LinkItem
from firmware_bridge.wire.framing import FrameError
from firmware_bridge.wire.messages import (
    SUPPORTED,
    WITH_ESTIMATES,
    Ack,
    AckCode,
    EstimateReason,
    Hello,
    HelloTag,
    MessageType,
    PatchEstimate,
    WrongVersion,
)

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


def discarded(error: FrameError, arrival_ns: int, why: str = "") -> LinkEvent:
    """Return the event for bytes that are not a frame: boot text before the first valid frame, damage later."""
    data: dict[str, object] = {"bytes": error.size, "fault": str(error.fault)}
    if not error.synced:
        return LinkEvent(
            LinkEventKind.INFO, arrival_ns, f"{error.size} bytes before the first frame (boot text?)", data
        )
    return LinkEvent(LinkEventKind.CORRUPT, arrival_ns, f"{error.size} bytes discarded: {why or error.fault}", data)


def unplaced(samples: int, arrival_ns: int) -> LinkEvent:
    """Return the event for samples whose rate and scale nobody stated."""
    detail = f"{samples} samples arrived without a description of the patch (HELLO) and could not be used"
    return LinkEvent(LinkEventKind.CORRUPT, arrival_ns, detail, {"samples": samples, "bytes": 0})


def refusal(ack: Ack, arrival_ns: int) -> list[LinkItem]:
    """Return the event that reports a refused command; an empty list if the patch accepted it."""
    if ack.code == AckCode.OK:
        return []
    command = next((kind.name for kind in MessageType if kind == ack.command), str(ack.command))
    reason = next((code.name.replace("_", " ").lower() for code in AckCode if code == ack.code), f"code {ack.code}")
    data: dict[str, object] = {"command": ack.command, "code": ack.code, "detail": ack.detail}
    return [LinkEvent(LinkEventKind.REFUSED, arrival_ns, f"the patch refused {command}: {reason}", data)]


def version_refusal(wrong: WrongVersion, arrival_ns: int) -> LinkEvent:
    """Return the event for a patch that speaks no version of this program."""
    detail = (
        f"the patch speaks protocol version {wrong.version}, this program {SUPPORTED[0]} to {SUPPORTED[1]}: "
        "update anyecg-edge or the firmware"
    )
    return LinkEvent(LinkEventKind.REFUSED, arrival_ns, detail, {"version": wrong.version})


def rate_refusal(hello: Hello, arrival_ns: int) -> LinkEvent:
    """Return the event for a HELLO with a sampling rate that no ECG has."""
    detail = (
        f"the patch states a sampling rate of {hello.fs_hz:g} Hz ({hello.fs_num}/{hello.fs_den}); {MIN_FS_HZ:g} to "
        f"{MAX_FS_HZ:g} Hz are possible: its description (HELLO) is refused; correct the firmware"
    )
    return LinkEvent(LinkEventKind.REFUSED, arrival_ns, detail, {"fs_hz": hello.fs_hz, "boot_id": hello.boot_id})


def hello_event(hello: Hello, arrival_ns: int) -> LinkEvent:
    """Return the event that describes the patch, from its HELLO."""
    kind = hello.texts.get(HelloTag.KIND, "anyecg patch")
    name = hello.texts.get(HelloTag.DEVICE_ID, "")
    scale = "scale unknown" if hello.lsb_mv is None else f"{hello.lsb_mv * 1000:g} µV per count"
    data: dict[str, object] = {
        "kind": kind,
        "device_id": name,
        "firmware": hello.texts.get(HelloTag.FIRMWARE, ""),
        "lead": hello.texts.get(HelloTag.LEAD, ""),
        "boot_id": hello.boot_id,
        "fs_hz": hello.fs_hz,
        "lsb_mv": hello.lsb_mv,
        "sample_bits": hello.sample_bits,
        "tick_hz": hello.tick_hz,
        "ring_s": hello.ring_samples / hello.fs_hz,
        "band_hz": [hello.band_low_mhz / 1000, hello.band_high_mhz / 1000] if hello.band_high_mhz else None,
    }
    detail = f"{' '.join(filter(None, (kind, name)))}, {hello.fs_hz:g} Hz, {scale}"
    return LinkEvent(LinkEventKind.HELLO, arrival_ns, detail, data)


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
