"""``serial:/dev/ttyACM0?device=anyecg_patch&baud=115200``: a patch on a serial port."""

from __future__ import annotations

from edge.sources import Source, SourceInfo, SourceUrl
from edge.sources.wire import WireSource, decoder_options, patience
from firmware_bridge import devices
from firmware_bridge.errors import UsageError
from firmware_bridge.transports.serial import STALL_S, SerialTransport

KEYS = ("device", "baud", "wait", "stall")
"""Keys of the query: the device, the baud rate, ``wait=0`` to fail at once if the port is absent, and the seconds after
which a silent port is reopened. The options of the device's decoder are allowed, too."""
DEFAULT_DEVICE = "anyecg_patch"
DEFAULT_BAUD = 115_200


def open_serial(url: SourceUrl) -> Source:
    """Return the source for a serial port; the port is opened with the first item.

    Raises:
        UsageError: The URL is invalid.
    """
    device = devices.get(url.params.get("device", DEFAULT_DEVICE))
    profile = device.profile
    options = decoder_options(url, device, *KEYS)
    if not url.path:
        raise UsageError("serial: names no port", "write serial:/dev/ttyACM0 or serial:/dev/serial/by-id/NAME")
    if "serial" not in profile.transports:
        raise UsageError(f"{profile.title} has no serial port", f"it uses {', '.join(profile.transports)}")
    baud = url.integer("baud", profile.baud or DEFAULT_BAUD, 50, 20_000_000)
    wait, insist = patience(url)
    transport = SerialTransport(
        url.path,
        baud,
        wait=wait,
        insist=insist,
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
