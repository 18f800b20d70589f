"""``serial:/dev/ttyACM0?device=anyecg_patch&baud=115200``: a patch on a serial port."""

from __future__ import annotations

from edge.sources import Source, SourceInfo, SourceUrl
from edge.sources.wire import WireSource, decoder_options
from firmware_bridge import devices
from firmware_bridge.errors import UsageError
from firmware_bridge.transports.serial import STALL_S, SerialTransport

KEYS = ("device", "baud", "wait", "stall")
"""What the query may say: whose protocol, the rate, ``wait=0`` to fail at once without a device, seconds until a
silent port is opened again. The device's own options come beside them."""
DEFAULT_DEVICE = "anyecg_patch"
DEFAULT_BAUD = 115_200


def open_serial(url: SourceUrl) -> Source:
    """The source for a serial port; the port itself is opened when the first item is asked for.

    Raises:
        UsageError: The URL is wrong.
    """
    device = devices.get(url.params.get("device", DEFAULT_DEVICE))
    profile = device.profile
    options = decoder_options(url, device, *KEYS)
    if not url.path:
        raise UsageError("serial: names no port", "write serial:/dev/ttyACM0 or serial:/dev/serial/by-id/NAME")
    if "serial" not in profile.transports:
        raise UsageError(f"{profile.title} has no serial side", f"it is reached by {', '.join(profile.transports)}")
    baud = url.integer("baud", profile.baud or DEFAULT_BAUD, 50, 20_000_000)
    transport = SerialTransport(
        url.path,
        baud,
        wait=url.flag("wait", default=True),
        stall_s=url.number("stall", STALL_S, 0.1, 86_400.0),
    )
    info = SourceInfo(
        url=url.text,
        device=profile.name,
        live=True,
        host_clock=True,
        arrival_timed=True,
        fs_hz=profile.fs_hz[0] if len(profile.fs_hz) == 1 else None,
        notes=profile.notes,
    )
    hint = f"wrong baud rate or another device? {url.path} is open at {baud} baud"
    return WireSource(transport, device, info, options, hint)
