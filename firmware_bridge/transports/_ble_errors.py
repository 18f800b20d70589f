"""Explains Bluetooth errors: what happened, what to do about it, and whether waiting may help."""

from __future__ import annotations

from firmware_bridge.errors import MissingExtraError
from firmware_bridge.transports._link import SOON_S, Trouble

RESTART = "sudo systemctl restart bluetooth"
"""Command that recovers most adapters that hang."""
POWER_ON = "rfkill unblock bluetooth; bluetoothctl power on"
START_BLUEZ = "sudo apt-get install bluez; sudo systemctl enable --now bluetooth"

_RADIO = "the radio was disturbed: use Ethernet or 5 GHz Wi-Fi, or a USB Bluetooth dongle away from the board"
_BY_NAME: dict[str, tuple[str, str, bool, bool]] = {
    "org.freedesktop.DBus.Error.ServiceUnknown": ("BlueZ is not running", START_BLUEZ, False, True),
    "org.freedesktop.DBus.Error.NameHasNoOwner": ("BlueZ is not running", START_BLUEZ, False, True),
    "org.freedesktop.systemd1.NoSuchUnit": ("BlueZ is not installed", START_BLUEZ, False, True),
    "org.freedesktop.systemd1.LoadFailed": ("BlueZ is not installed", START_BLUEZ, False, True),
    "org.freedesktop.systemd1.UnitMasked": (
        "BlueZ is switched off (masked)",
        "sudo systemctl unmask bluetooth; sudo systemctl start bluetooth",
        False,
        True,
    ),
    "org.freedesktop.DBus.Error.AccessDenied": (
        "no permission to use Bluetooth",
        "sudo usermod -aG bluetooth $USER, then log in again",
        False,
        True,
    ),
    "org.freedesktop.DBus.Error.NoReply": ("BlueZ does not answer", RESTART, True, True),
    "org.freedesktop.DBus.Error.TimedOut": ("BlueZ does not answer", RESTART, True, True),
    "org.freedesktop.DBus.Error.UnknownObject": ("the device disappeared from BlueZ", "", True, False),
    "org.bluez.Error.NotReady": ("the Bluetooth adapter is off", POWER_ON, True, True),
    "org.bluez.Error.InProgress": (
        "the Bluetooth adapter is busy with another scan or connection",
        "end other Bluetooth programs; bluetoothctl scan off",
        True,
        True,
    ),
    "org.bluez.Error.NotAvailable": ("the device is out of reach", "", True, False),
    "org.bluez.Error.DoesNotExist": ("the device disappeared from BlueZ", "", True, False),
}
"""D-Bus error -> what, fix, whether waiting may help, whether the fault lies with this computer."""
_PAIRING = ("AuthenticationFailed", "AuthenticationRejected", "AuthenticationCanceled", "AuthenticationTimeout")
_SECURITY_CODES = {0x05, 0x08, 0x0C, 0x0F}
"""ATT errors for a missing or too weak pairing (Core Specification 5.2, vol. 3, part F, 3.4.1.1)."""


def missing_bleak() -> MissingExtraError:
    """Return the error for a Python without bleak."""
    return MissingExtraError("Bluetooth", "ble")


def explained(error: BaseException, device: str) -> Trouble:
    """Return the trouble behind an exception of bleak, dbus-fast or the D-Bus socket.

    Args:
        error: The exception.
        device: The device as named to the user, such as ``Polar H10 at AA:BB:CC:DD:EE:FF``.
    """
    from bleak.exc import (
        BleakBluetoothNotAvailableError,
        BleakCharacteristicNotFoundError,
        BleakDBusError,
        BleakDeviceNotFoundError,
        BleakGATTProtocolError,
    )

    if isinstance(error, Trouble):
        return error
    if isinstance(error, BleakBluetoothNotAvailableError):
        return _not_available(error.reason.name)
    if isinstance(error, BleakDeviceNotFoundError):
        return Trouble(f"{device} disappeared before it was connected")
    if isinstance(error, BleakCharacteristicNotFoundError):
        return Trouble(
            f"{device} has no characteristic {error.char_specifier}",
            "check that the URL names the right device; if its firmware was changed: bluetoothctl remove ADDRESS",
        )
    if isinstance(error, BleakGATTProtocolError):
        if int(error.code) in _SECURITY_CODES:
            return wants_pairing(device)
        return Trouble(f"{device} refused: {error}")
    if isinstance(error, BleakDBusError):
        return _by_name(error.dbus_error, error.dbus_error_details or "", device)
    if isinstance(error, TimeoutError):
        return Trouble(f"{device} did not answer in time", "bring it nearer; " + _RADIO)
    if isinstance(error, OSError):
        return _no_bus(error)
    return _other(error, device)


def wants_pairing(device: str) -> Trouble:
    """Return the trouble of a device that answers only paired hosts."""
    fix = "add pair=1 to the URL; for a PIN: bluetoothctl, agent KeyboardOnly, default-agent, pair ADDRESS"
    return Trouble(f"{device} must be paired first", fix)


def _not_available(reason: str) -> Trouble:
    known = {
        "NO_BLUETOOTH": Trouble(
            "this computer has no Bluetooth adapter",
            "plug in a USB dongle; on a Raspberry Pi remove dtoverlay=disable-bt from /boot/firmware/config.txt",
            passes=False,
            adapter=True,
        ),
        "NO_BLE_CENTRAL_ROLE": Trouble(
            "the Bluetooth adapter does not support Low Energy", "plug in a Bluetooth 4.0 or newer dongle", False, True
        ),
        "POWERED_OFF": Trouble("the Bluetooth adapter is off", POWER_ON, adapter=True),
        "DENIED_BY_SYSTEM": Trouble(
            "D-Bus does not allow this user",
            "sudo usermod -aG bluetooth $USER and log in again; in a container set BLEAK_DBUS_AUTH_UID",
            passes=False,
            adapter=True,
        ),
    }
    return known.get(reason) or Trouble(f"Bluetooth is not available ({reason})", RESTART, adapter=True)


def _by_name(name: str, details: str, device: str) -> Trouble:
    lower = details.lower()
    if name == "org.bluez.Error.NotPermitted" and "acquired" in lower:
        return Trouble(
            f"another program on this computer uses the data of {device}", "end that program; it releases the device"
        )
    if name.rpartition(".")[2] in _PAIRING or (name.startswith("org.bluez.") and "not paired" in lower):
        return wants_pairing(device)
    if "abort" in lower or "le-connection" in lower:
        return Trouble(f"the connection to {device} was lost while it was being set up ({details})", _RADIO)
    if name.startswith("org.freedesktop.DBus.Error.Spawn"):
        return Trouble("BlueZ cannot be started", START_BLUEZ, passes=False, adapter=True)
    if name in _BY_NAME:
        what, fix, passes, adapter = _BY_NAME[name]
        # Nothing shows from outside that another program has ended its scan.
        return Trouble(what, fix, passes, adapter, SOON_S if name.endswith(".InProgress") else None)
    short = name.removeprefix("org.bluez.Error.")
    return Trouble(f"{device} cannot be connected: {short} {details}".rstrip(), RESTART, adapter=True)


def _no_bus(error: OSError) -> Trouble:
    if isinstance(error, PermissionError):
        fix = "in a container mount /run/dbus and run as its user"
        return Trouble("no permission to reach D-Bus", fix, passes=False, adapter=True)
    if isinstance(error, FileNotFoundError | ConnectionError):
        fix = "sudo apt-get install dbus bluez; in a container mount /run/dbus"
        return Trouble("no D-Bus system bus is running here, so there is no Bluetooth", fix, False, adapter=True)
    return Trouble(f"the connection to D-Bus failed: {error.strerror or error}", RESTART, adapter=True)


def _other(error: BaseException, device: str) -> Trouble:
    text = str(error)
    if text.startswith("adapter '") and text.endswith("not found"):
        return Trouble(
            f"this computer has no Bluetooth {text.removesuffix(' not found')}",
            "bluetoothctl list shows all",
            False,
            True,
        )
    if "device disconnected" in text or "Not connected" in text:
        return Trouble(f"the connection to {device} was lost while it was being set up", _RADIO)
    if "BlueZ >= " in text:
        return Trouble("BlueZ is too old: 5.55 or newer is needed", "update the operating system", False, adapter=True)
    kind = type(error).__name__
    return Trouble(f"{device} cannot be connected: {kind} {text}".rstrip(), RESTART, adapter=True)
