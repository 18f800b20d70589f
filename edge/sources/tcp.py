"""``tcp:192.168.4.1:4567?device=heartypatch``: a patch, or a bridge to one, that listens on the network."""

from __future__ import annotations

from edge.sources import Source, SourceInfo, SourceUrl
from edge.sources.wire import WireSource, decoder_options, patience
from firmware_bridge import devices
from firmware_bridge.errors import UsageError
from firmware_bridge.transports._link import STALL_S
from firmware_bridge.transports.tcp import TcpTransport

KEYS = ("device", "wait", "stall")
"""Keys of the query: the device, ``wait=0`` to fail at once if the peer is absent, and the seconds after which a silent
connection is renewed. The options of the device's decoder are allowed, too."""
DEFAULT_DEVICE = "anyecg_patch"
PORT_MAX = 65_535


def open_tcp(url: SourceUrl) -> Source:
    """Return the source for a peer on the network; the connection is made with the first item.

    Raises:
        UsageError: The URL is invalid.
    """
    host, port = _address(url)
    device = devices.get(url.params.get("device", DEFAULT_DEVICE))
    profile = device.profile
    options = decoder_options(url, device, *KEYS)
    if "tcp" not in profile.transports:
        raise UsageError(f"{profile.title} is not on the network", f"it uses {', '.join(profile.transports)}")
    wait, insist = patience(url)
    transport = TcpTransport(
        host,
        port,
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
    return WireSource(transport, device, info, options)


def _address(url: SourceUrl) -> tuple[str, int]:
    host, colon, port = url.path.strip("/").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isascii() and port.isdigit() else 0
    if not colon or not host or not 0 < number <= PORT_MAX:
        raise UsageError(f"{url.text!r} names no host and port", "write tcp:HOST:PORT, such as tcp:192.168.4.1:4567")
    return host, number
