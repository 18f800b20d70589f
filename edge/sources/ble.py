"""``ble:polar_h10/A0:9E:1A:12:34:56``, ``ble:movesense?name=Movesense 1234``: a patch on Bluetooth Low Energy."""

from __future__ import annotations

from edge.sources import Source, SourceInfo, SourceUrl
from edge.sources.wire import WireSource, decoder_options, patience
from firmware_bridge import devices
from firmware_bridge.errors import UsageError
from firmware_bridge.transports._link import STALL_S
from firmware_bridge.transports.ble import BleTransport

KEYS = ("name", "adapter", "wait", "pair", "stall")
"""Keys of the query: the device's local name, the adapter (``hci1``), ``wait=0`` to fail at once if the device is
absent, ``pair=1`` to pair with it, and the seconds after which a silent connection is renewed. The options of the
device's decoder are allowed, too."""


def open_ble(url: SourceUrl) -> Source:
    """Return the source for a Bluetooth device; scanning starts with the first item.

    Raises:
        UsageError: The URL is invalid.
    """
    kind, _slash, address = url.path.partition("/")
    if not kind:
        raise UsageError("ble: names no device", f"write ble:DEVICE or ble:DEVICE/ADDRESS; devices: {_with_ble()}")
    device = devices.get(kind)
    profile = device.profile
    options = decoder_options(url, device, *KEYS)
    if profile.ble is None:
        fix = f"it uses {', '.join(profile.transports)}; Bluetooth devices: {_with_ble()}"
        raise UsageError(f"{profile.title} has no Bluetooth", fix)
    name = url.params.get("name")
    if address and name:
        raise UsageError(f"{url.text!r} has an address and a name", "give one of them")
    wait, insist = patience(url)
    transport = BleTransport(
        profile.ble,
        title=profile.title,
        address=address or None,
        name=name or None,
        adapter=_adapter(url),
        wait=wait,
        insist=insist,
        pair=url.flag("pair", default=False),
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


def _adapter(url: SourceUrl) -> str | None:
    adapter = url.params.get("adapter")
    if adapter is not None and not (adapter.isascii() and adapter.isalnum()):
        raise UsageError(
            f"adapter={adapter!r} is not an adapter name", "use hci0, hci1 ...; list them with bluetoothctl list"
        )
    return adapter


def _with_ble() -> str:
    return ", ".join(kind.name for kind in devices.known() if kind.ble is not None)
