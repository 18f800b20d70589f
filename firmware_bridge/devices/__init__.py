"""Which patches are known. One file a device; each is loaded only when it is asked for.

To add a device, write ``firmware_bridge/devices/<name>.py`` with a module-level ``DEVICE = Device(profile, decoder)``;
the file is the registration (one that starts with ``_`` is a helper). A decoder is sans-IO: it is fed bytes and events
of the link, and says what it wants sent.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, cast

from firmware_bridge.errors import UsageError
from firmware_bridge.items import DATA_CHANNEL, RawChunk, TransportItem
from firmware_bridge.samples import LinkEvent, LinkItem

__all__ = ["BleProfile", "Decoder", "Device", "DeviceProfile", "Write", "decode_item", "get", "names"]

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that a decoder wants sent to the device."""

    data: bytes
    channel: str = DATA_CHANNEL


class Decoder(Protocol):
    """One session with one device; sans-IO, and the same bytes always give the same items."""

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Takes bytes as they came, cut anywhere. Never raises, whatever they are."""
        ...

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Takes an event of the transport: half frames end at DISCONNECTED, held samples are accounted for at END."""
        ...

    def writes(self) -> list[Write]:
        """What is to be sent now, in order; handed out once. Not used where bytes come from a recording."""
        ...

    def counters(self) -> dict[str, int]:
        """Everything that was counted since the decoder was made (frames, lost samples, thrown-away bytes)."""
        ...


@dataclass(frozen=True, slots=True)
class BleProfile:
    """Where a device's bytes are on Bluetooth Low Energy. UUIDs are 128-bit text in lower case.

    Attributes:
        service: The GATT service that it streams by.
        notify: Channel name -> characteristic that is subscribed, in this order (control points before data).
        write: Channel name -> characteristic that takes what the decoder wants sent on that channel.
        advertised: Service UUIDs by which a scan knows it.
        name_prefixes: Beginnings of local names by which a scan knows it.
        min_mtu: ATT MTU below which it cannot stream, or not whole.
        write_response: Whether writes are acknowledged.
    """

    service: str
    notify: Mapping[str, str]
    write: Mapping[str, str] = field(default_factory=lambda: _NONE)
    advertised: tuple[str, ...] = ()
    name_prefixes: tuple[str, ...] = ()
    min_mtu: int = 23
    write_response: bool = True


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """What a person and the runtime should know about a device before a byte arrives.

    Attributes:
        name: As in URLs and ``get``.
        title: For people.
        transports: URL schemes it can be reached over.
        fs_hz: Sampling rates it offers; empty where any may come and the device tells.
        scale: How millivolts are known: ``"reported"`` by the device, ``"fixed"`` by its documents, or ``"unknown"``
            until calibrated.
        band_hz: Pass band of its front end; ``None`` where the device tells or nobody knows.
        clock: Which clock its samples carry.
        loss_detection: How missing samples are found.
        start: Sent to make it stream, after its transport is open (``channel, bytes``); decoders may add to it.
        stop: Sent before closing.
        baud: Usual serial rate; ``None`` without a serial side.
        usb: USB vendor and product ids by which a scan may know it (often those of a common serial chip).
        ble: Its GATT side; ``None`` without one.
        options: Keyword arguments that its decoder takes, name -> what it means, for URLs (``?rate=250``). Values
            come as text.
        notes: Caveats to be shown (licence, unverified scale).
    """

    name: str
    title: str
    transports: tuple[str, ...]
    fs_hz: tuple[float, ...]
    scale: str
    band_hz: tuple[float, float] | None
    clock: str
    loss_detection: str
    start: tuple[Write, ...] = ()
    stop: tuple[Write, ...] = ()
    baud: int | None = None
    usb: tuple[tuple[int, int], ...] = ()
    ble: BleProfile | None = None
    options: Mapping[str, str] = field(default_factory=lambda: _NONE)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """A known device: its profile, and a maker of decoders.

    ``decoder()`` works for every device; keyword arguments are those that ``profile.options`` names, as text. A wrong
    value is a ``UsageError`` that says which there are.
    """

    profile: DeviceProfile
    decoder: Callable[..., Decoder]


def names() -> tuple[str, ...]:
    """Names of the known devices, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"))


def get(name: str) -> Device:
    """The device of that name (``-`` and ``_`` are the same, case does not matter).

    Raises:
        UsageError: There is none; the message lists those there are.
    """
    module = name.strip().lower().replace("-", "_")
    if module not in names():
        raise UsageError(f"unknown device {name!r}", f"known devices: {', '.join(names())}")
    return cast("Device", importlib.import_module(f"{__name__}.{module}").DEVICE)


def decode_item(decoder: Decoder, item: TransportItem) -> list[LinkItem]:
    """What follows from one item of a transport or of a raw recording: the one way for both, so that they agree.

    Args:
        decoder: The session.
        item: Bytes, or an event of the link.

    Returns:
        The event itself first (where it is one), then what the decoder makes of it.
    """
    if isinstance(item, RawChunk):
        return decoder.feed(item.data, item.arrival_ns, item.channel)
    return [item, *decoder.link(item)]
