"""The known devices: one file per device, loaded only when the device is used.

To add a device, write ``firmware_bridge/devices/<name>.py`` with a module-level ``DEVICE = Device(profile, decoder)``;
the file is the registration (a name that starts with ``_`` marks a helper). A decoder is sans-IO: it receives bytes and
link events, and returns what it wants to send.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

from firmware_bridge.errors import AnyEcgError, UsageError
from firmware_bridge.items import DATA_CHANNEL, RawChunk, TransportItem
from firmware_bridge.samples import LinkEvent, LinkItem
from firmware_bridge.suggest import did_you_mean

if TYPE_CHECKING:
    from firmware_bridge.plugins import Plugin

__all__ = ["BleProfile", "Decoder", "Device", "DeviceKind", "Write", "decode_item", "get", "known", "names"]

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that a decoder wants sent to the device."""

    data: bytes
    channel: str = DATA_CHANNEL


class Decoder(Protocol):
    """One session with one device; sans-IO. The same bytes always give the same items."""

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode received bytes, split anywhere. Never raises, whatever they are."""
        ...

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Handle an event of the transport: DISCONNECTED ends an incomplete frame, END releases held samples."""
        ...

    def writes(self) -> list[Write]:
        """Return the pending writes in order and clear them. Not used for bytes from a recording."""
        ...

    def counters(self) -> dict[str, int]:
        """Return all counters since the decoder was created (frames, lost samples, discarded bytes)."""
        ...


@dataclass(frozen=True, slots=True)
class BleProfile:
    """The GATT side of a device on Bluetooth Low Energy. UUIDs are 128-bit text in lower case.

    Attributes:
        service: The GATT service that streams the data.
        notify: Channel name -> characteristic to subscribe to, in this order (control points before data).
        write: Channel name -> characteristic that receives the decoder's writes on that channel.
        advertised: Service UUIDs by which a scan recognises the device.
        name_prefixes: Beginnings of local names by which a scan recognises the device.
        min_mtu: Smallest ATT MTU at which the device streams completely, bytes.
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
class DeviceKind:
    """Description of a kind of device, known before a byte arrives.

    Attributes:
        name: Name in URLs and for ``get``.
        title: Name for the user.
        transports: URL schemes over which the device can be reached.
        fs_hz: Sampling rates that it offers, Hz; empty if any rate is possible and the device reports it.
        scale: Source of the scale: ``"reported"`` by the device, ``"fixed"`` by its documents, or ``"unknown"`` until
            calibrated.
        band_hz: Pass band of its analog front end, Hz; ``None`` if the device reports it or it is unknown.
        clock: Clock that its samples carry, described for the user.
        loss_detection: Method that finds missing samples, described for the user.
        start: Writes that start the stream once the transport is open (``channel, bytes``); decoders may add to it.
        stop: Writes sent before closing.
        baud: Usual serial rate; ``None`` without a serial side.
        usb: USB vendor and product ids by which a scan may recognise it (often those of a common serial chip).
        ble: Its GATT side; ``None`` without one.
        options: Keyword arguments of its decoder, name -> meaning, for URLs (``?rate=250``). Values are text.
        notes: Caveats to show to the user (licence, unverified scale).
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
    """A known device: its description, and a factory of decoders.

    ``decoder()`` works for every device; the keyword arguments are those that ``profile.options`` names, as text. A
    wrong value raises a ``UsageError`` that lists the allowed ones.
    """

    profile: DeviceKind
    decoder: Callable[..., Decoder]


def names() -> tuple[str, ...]:
    """Return the names of the devices of the kit, sorted; other packages can offer more (`known`)."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"))


def get(name: str) -> Device:
    """Return the device of that name (``-`` and ``_`` are the same, case does not matter).

    Raises:
        UsageError: No device has that name; the message lists the known ones.
        PluginError: Another package offers it and is broken.
    """
    module = name.strip().lower().replace("-", "_")
    if module in names():
        return cast("Device", importlib.import_module(f"{__name__}.{module}").DEVICE)
    # Imported here, because a run with a device of the kit must not pay for it.
    from firmware_bridge import plugins

    plugin = plugins.find(plugins.DEVICES, module)
    if plugin is None:
        every = sorted({*names(), *(one.name for one in plugins.found(plugins.DEVICES))})
        hint = f"{did_you_mean(name, every)}known devices: {', '.join(every)}"
        raise UsageError(f"unknown device {name!r}", hint)
    return _of_plugin(plugin)


@functools.cache
def known() -> tuple[DeviceKind, ...]:
    """Return all devices, those of other packages included; broken ones are left out."""
    from firmware_bridge import plugins

    own = names()
    found = [get(name).profile for name in own]
    for name in sorted({one.name for one in plugins.found(plugins.DEVICES)} - set(own)):
        with suppress(AnyEcgError):
            found.append(get(name).profile)
    return tuple(found)


def decode_item(decoder: Decoder, item: TransportItem) -> list[LinkItem]:
    """Decode one item of a transport or of a raw recording: both use this function, so that they agree.

    Args:
        decoder: Decoder of the session.
        item: Received bytes, or an event of the link.

    Returns:
        The event itself first (if the item is one), then the decoder's items.
    """
    if isinstance(item, RawChunk):
        return decoder.feed(item.data, item.arrival_ns, item.channel)
    return [item, *decoder.link(item)]


def _of_plugin(plugin: Plugin) -> Device:
    """Load a device of another package.

    Raises:
        PluginError: It cannot be loaded, or is not a device of that name.
    """
    found = plugin.load()
    if not isinstance(found, Device) or not isinstance(found.profile, DeviceKind) or not callable(found.decoder):
        raise plugin.error(f"is {type(found).__name__!r}, not a firmware_bridge.devices.Device")
    if found.profile.name != plugin.name:
        raise plugin.error(f"calls itself {found.profile.name!r} in its profile")

    def decoder(**options: str) -> Decoder:
        with plugin.guard():
            return _Guarded(found.decoder(**options), plugin)

    return Device(found.profile, decoder)


class _Guarded:
    """A decoder whose errors name its package, because a decoder must not raise."""

    def __init__(self, decoder: Decoder, plugin: Plugin) -> None:
        self._decoder, self._plugin = decoder, plugin

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        with self._plugin.guard():
            return self._decoder.feed(data, arrival_ns, channel)

    def link(self, event: LinkEvent) -> list[LinkItem]:
        with self._plugin.guard():
            return self._decoder.link(event)

    def writes(self) -> list[Write]:
        with self._plugin.guard():
            return self._decoder.writes()

    def counters(self) -> dict[str, int]:
        with self._plugin.guard():
            return self._decoder.counters()
