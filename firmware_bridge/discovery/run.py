"""Finds patches that can be used now: Bluetooth and serial together, each with its source URL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from firmware_bridge import devices
from firmware_bridge.errors import AnyEcgError
from firmware_bridge.transports.serial_ports import ROOT, SerialPort, holders, list_ports

LATE_S = 90.0
"""Time that a Bluetooth scan may take beyond the requested one: another program may use the adapter first."""
NAME_MAX = 64
"""Characters of a name that are shown, at most; Bluetooth allows any 248 bytes."""

CHIP_MAKERS = {0x0403: "FTDI", 0x067B: "Prolific", 0x10C4: "Silicon Labs", 0x1A86: "WCH"}
"""USB vendors of common serial chips: such a chip does not identify the device around it."""


class BleSeen(Protocol):
    """A device that a Bluetooth scan heard (`transports.ble.BleSighting`)."""

    @property
    def address(self) -> str: ...  # noqa: D102 - as in BleSighting
    @property
    def name(self) -> str: ...  # noqa: D102 - as in BleSighting
    @property
    def rssi(self) -> int | None: ...  # noqa: D102 - as in BleSighting
    @property
    def device(self) -> str | None: ...  # noqa: D102 - as in BleSighting
    @property
    def url(self) -> str | None: ...  # noqa: D102 - as in BleSighting


BleScan = Callable[[float, str | None], Awaitable[Sequence[BleSeen]]]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A device that was found.

    Attributes:
        transport: ``ble`` or ``serial``.
        kinds: Device kinds that it may be, as in ``device=``; empty if nothing identifies it.
        name: The device's own name, printable.
        rssi_dbm: Signal strength, dBm; ``None`` on a cable and if unknown.
        url: Source URL for ``anyecg run --source``; ``None`` if the kind is unknown but required.
        note: An obstacle, such as a program that uses the port; empty for none.
        usb: Vendor and product id as text; empty if there is none.
    """

    transport: str
    kinds: tuple[str, ...]
    name: str
    rssi_dbm: int | None
    url: str | None
    note: str = ""
    usb: str = ""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The result of a scan.

    Attributes:
        sightings: Bluetooth devices first, strongest first; then ports by name.
        ble_problem: Why Bluetooth was not scanned; empty if it was.
    """

    sightings: tuple[Sighting, ...]
    ble_problem: str

    @property
    def usable(self) -> tuple[Sighting, ...]:
        """Return the sightings that have a URL."""
        return tuple(sighting for sighting in self.sightings if sighting.url is not None)


def scan(seconds: float, adapter: str | None = None, *, ble: BleScan | None = None, root: Path = ROOT) -> ScanResult:
    """List the serial ports, without opening them, and listen on Bluetooth.

    Args:
        seconds: Duration of the Bluetooth scan.
        adapter: Bluetooth adapter, such as ``hci1``; ``None`` for the default one.
        ble: Scanner that replaces the real radio.
        root: Root of the file system with the ports.
    """
    problem, seen = "", []
    try:
        seen = _listen(seconds, adapter, ble)
    except AnyEcgError as error:
        problem = str(error)
    except TimeoutError:
        problem = "the Bluetooth adapter did not answer (sudo systemctl restart bluetooth)"
    except OSError as error:
        problem = f"Bluetooth cannot be used: {error.strerror or error} (run anyecg doctor)"
    return ScanResult((*seen, *(_serial(port, root) for port in list_ports(root))), problem)


def _listen(seconds: float, adapter: str | None, ble: BleScan | None) -> list[Sighting]:
    async def listen() -> Sequence[BleSeen]:
        return await asyncio.wait_for(_scanner(ble)(seconds, adapter), seconds + LATE_S)

    heard = sorted(asyncio.run(listen()), key=lambda one: (one.rssi is None, -(one.rssi or 0), one.address))
    return [
        Sighting("ble", (one.device,) if one.device else (), printable(one.name) or one.address, one.rssi, one.url)
        for one in heard
    ]


def _scanner(ble: BleScan | None) -> BleScan:
    if ble is not None:
        return ble
    from firmware_bridge.transports.ble import scan_ble

    return scan_ble


def printable(text: str) -> str:
    """Make text from a radio or a cable safe for a terminal: one line, no control characters, limited length."""
    plain = "".join(c if c.isprintable() else "?" for c in text.strip())
    return plain if len(plain) <= NAME_MAX else plain[: NAME_MAX - 1] + "…"


def _serial(port: SerialPort, root: Path) -> Sighting:
    kinds = tuple(kind.name for kind in devices.known() if port.usb and port.usb in kind.usb)
    others = holders(port.device, root)
    notes = [f"in use by {' and '.join(map(str, others))}"] if others else []
    if kinds and port.usb and port.usb[0] in CHIP_MAKERS:
        maker = CHIP_MAKERS[port.usb[0]]
        notes.append(f"a common chip by {maker}: it may be another device (set device= in the URL)")
    return Sighting(
        transport="serial",
        kinds=kinds,
        name=printable(port.description) or port.device,
        rssi_dbm=None,
        url=f"serial:{port.name}" + (f"?device={kinds[0]}" if kinds else ""),
        note="; ".join(notes),
        usb=f"{port.usb[0]:04x}:{port.usb[1]:04x}" if port.usb else "",
    )
