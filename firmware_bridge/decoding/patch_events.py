"""Link events of the kit's own patch, worded for the user."""

from __future__ import annotations

from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ, LinkEvent, LinkEventKind, LinkItem
from firmware_bridge.wire.framing import FrameError
from firmware_bridge.wire.messages import Ack, AckCode, Hello, HelloTag, MessageType


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
