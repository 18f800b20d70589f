"""Scans for Bluetooth devices, with one user of an adapter at a time.

BlueZ answers a second scan, or a connection during a scan, with ``InProgress``, and some adapters then hang. So every
scan or connection holds the adapter's lock: within the event loop, and between processes by a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from firmware_bridge import devices
from firmware_bridge.devices import BleProfile
from firmware_bridge.errors import LinkError
from firmware_bridge.posix import CLOSE_ON_EXEC, lock
from firmware_bridge.transports._ble_errors import explained, missing_bleak
from firmware_bridge.transports._link import Trouble

if TYPE_CHECKING:
    from bleak.args.bluez import BlueZAdapterArgs, BlueZScannerArgs
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

DEFAULT_ADAPTER = "hci0"
"""Adapter whose lock is taken if none is named: on nearly every board it is the only one."""
OTHERS_S = 60.0
"""Time that another process may hold the adapter, in seconds; after that its lock is ignored."""
OTHERS_POLL_S = 0.1
ANSWER_S = 20.0
"""Time that BlueZ may take to begin and end a scan, in seconds."""
NO_RSSI = -127
"""Value that bleak returns if BlueZ gives no signal strength, dBm."""

_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class BleSighting:
    """A device that a scan received.

    Attributes:
        address: Bluetooth address, upper case.
        name: Local name; empty if it has none.
        rssi: Signal strength, dBm; ``None`` if BlueZ did not report it.
        device: Name of the device kind for ``devices.get``; ``None`` if unknown.
        url: Source URL that reads it; ``None`` if the kind is unknown.
    """

    address: str
    name: str
    rssi: int | None
    device: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """The device that `find` found.

    Attributes:
        device: Device object for bleak's client.
        name: Name for the user.
        rssi: Signal strength, dBm; ``None`` for a device that was already connected and so did not advertise.
    """

    device: BLEDevice
    name: str
    rssi: int | None


async def scan_ble(seconds: float, adapter: str | None = None) -> list[BleSighting]:
    """Scan for a while; return the devices received, strongest first.

    Args:
        seconds: Duration of the scan.
        adapter: Bluetooth adapter, such as ``hci1``; ``None`` for the first that is on.

    Raises:
        LinkError: Bluetooth cannot be used; the message says what to do.
        MissingExtraError: bleak is not installed.
    """
    scanner_class = _bleak_scanner()
    heard: dict[str, tuple[str, int, frozenset[str]]] = {}

    def note(device: BLEDevice, adv: AdvertisementData) -> None:
        name, _rssi, uuids = heard.get(device.address, ("", 0, frozenset()))
        known = adv.local_name or device.name or name
        heard[device.address] = (known, adv.rssi, uuids | {uuid.lower() for uuid in adv.service_uuids})

    try:
        within = asyncio.timeout(seconds + ANSWER_S)
        async with adapter_turn(adapter), within, scanner_class(note, bluez=_scanner_args(adapter)):
            await asyncio.sleep(seconds)
    except Exception as error:
        trouble = explained(error, "the scan")
        raise LinkError(trouble.what, trouble.fix) from error
    sightings = [_sighting(address, *what) for address, what in heard.items()]
    return sorted(sightings, key=lambda one: (one.rssi is None, -(one.rssi or 0), one.address))


@contextlib.asynccontextmanager
async def adapter_turn(adapter: str | None) -> AsyncIterator[None]:
    """Hold an adapter's lock for one scan or one connection."""
    name = adapter or DEFAULT_ADAPTER
    locks = _locks.setdefault(asyncio.get_running_loop(), {})
    async with locks.setdefault(name, asyncio.Lock()):
        file = await _claim(name)
        try:
            yield
        finally:
            if file is not None:
                os.close(file)


async def find(
    profile: BleProfile, *, address: str | None, name: str | None, adapter: str | None, seconds: float
) -> Found | None:
    """Scan for a device until it is received or the time is over; the scan has ended when this returns.

    A device that is already connected to this computer does not advertise. Such a device (connected by another
    program, or by one that was killed) is returned if the scan finds nothing.

    Args:
        profile: Identifies the device if neither address nor name is given.
        address: Bluetooth address in upper case.
        name: Local name; case does not matter.
        adapter: Bluetooth adapter, such as ``hci1``.
        seconds: Duration of the scan.
    """
    wanted = _matcher(profile, address, name)
    heard: asyncio.Future[Found] = asyncio.get_running_loop().create_future()

    def note(device: BLEDevice, adv: AdvertisementData) -> None:
        local = adv.local_name or device.name or ""
        if not heard.done() and wanted(device.address, local, adv.service_uuids):
            heard.set_result(Found(device, local or device.address, adv.rssi))

    async with _bleak_scanner()(note, bluez=_scanner_args(adapter)):
        await asyncio.wait({heard}, timeout=seconds)
    if heard.done():
        return heard.result()
    heard.cancel()
    return await _connected_already(wanted, adapter)


def kind_of(name: str, uuids: frozenset[str]) -> str | None:
    """Return the name of the device kind with that advertisement; ``None`` if there is none."""
    for kind in devices.known():
        if kind.ble is not None and _of_kind(kind.ble, name, uuids):
            return kind.name
    return None


def _of_kind(ble: BleProfile, name: str, uuids: frozenset[str]) -> bool:
    return bool(uuids & {*ble.advertised, ble.service}) or bool(name and name.startswith(ble.name_prefixes))


def _matcher(profile: BleProfile, address: str | None, name: str | None) -> Callable[[str, str, list[str]], bool]:
    def wanted(its_address: str, its_name: str, uuids: list[str]) -> bool:
        if address is not None:
            return its_address.upper() == address
        if name is not None:
            return its_name.casefold() == name.casefold()
        return _of_kind(profile, its_name, frozenset(uuid.lower() for uuid in uuids))

    return wanted


async def _connected_already(wanted: Callable[[str, str, list[str]], bool], adapter: str | None) -> Found | None:
    from bleak import BleakAdapter

    args: BlueZAdapterArgs = {} if adapter is None else {"adapter": adapter}
    for device in await (await BleakAdapter.get(bluez=args)).get_connected_devices(["1801", "1800", "180d"]):
        uuids = device.details.get("props", {}).get("UUIDs", [])
        if wanted(device.address, device.name or "", list(uuids)):
            return Found(device, device.name or device.address, None)
    return None


def _sighting(address: str, name: str, rssi: int, uuids: frozenset[str]) -> BleSighting:
    kind = kind_of(name, uuids)
    url = None if kind is None else f"ble:{kind}/{address.upper()}"
    return BleSighting(address.upper(), name, rssi if rssi > NO_RSSI else None, kind, url)


def _scanner_args(adapter: str | None) -> BlueZScannerArgs:
    return {} if adapter is None else {"adapter": adapter}


if TYPE_CHECKING:
    from bleak import BleakScanner


def _bleak_scanner() -> type[BleakScanner]:
    try:
        from bleak import BleakScanner
    except ImportError as error:
        raise missing_bleak() from error
    return BleakScanner


async def _claim(adapter: str) -> int | None:
    """Take the adapter's lock between processes: best effort; the system releases it when its holder dies."""
    folder = os.environ.get("XDG_RUNTIME_DIR")
    if not folder:
        return None
    try:
        file = os.open(Path(folder) / f"anyecg-ble-{adapter}.lock", os.O_RDWR | os.O_CREAT | CLOSE_ON_EXEC, 0o600)
    except OSError:
        return None
    deadline = asyncio.get_running_loop().time() + OTHERS_S
    try:
        while asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(BlockingIOError):
                lock(file)
                return file
            await asyncio.sleep(OTHERS_POLL_S)
    except BaseException:
        os.close(file)
        raise
    return file


__all__ = ["BleSighting", "Found", "Trouble", "adapter_turn", "find", "kind_of", "scan_ble"]
