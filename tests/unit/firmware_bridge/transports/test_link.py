"""What transports on the event loop share: bounded queue, growing pauses, explained failures."""

import asyncio

import pytest
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)

from firmware_bridge.items import RawChunk
from firmware_bridge.samples import LinkEvent, LinkEventKind
from firmware_bridge.transports._ble_errors import explained
from firmware_bridge.transports._link import JITTER, Backoff, ItemQueue, Trouble


def chunk(size, value=1):
    return RawChunk(0, "data", bytes([value]) * size)


def drained(queue):
    async def go():
        return [item async for item in queue.items()]

    queue.end()
    return asyncio.run(go())


def test_dropped_bytes_are_counted_where_they_are_missing():
    queue = ItemQueue("here", limit=1000)
    for _ in range(6):
        queue.put(chunk(100))
    queue.put(LinkEvent(LinkEventKind.INFO, 0, "events always pass"))
    first, second, third, fourth, overflow, event = drained(queue)
    assert [len(c.data) for c in (first, second, third, fourth)] == [100] * 4
    assert overflow.data == {"bytes": 200, "frames": 2, "fault": "overflow"}
    assert overflow.kind is LinkEventKind.CORRUPT
    assert event.detail == "events always pass"


def test_many_tiny_pieces_are_bounded_too():
    queue = ItemQueue("here", limit=100_000)
    for _ in range(100_000):
        queue.put(chunk(1))
    assert len(drained(queue)) < 1000


def test_reading_frees_space_in_the_queue():
    async def go():
        queue = ItemQueue("here", limit=1000)
        got = []
        items = queue.items()
        for value in range(50):
            queue.put(chunk(800, value))
            got.append(await anext(items))
        return got

    assert [one.data[0] for one in asyncio.run(go())] == list(range(50))


def test_pauses_double_up_to_a_limit_and_are_the_same_in_every_run():
    a, b, other = Backoff("strap", 0.5, 10.0), Backoff("strap", 0.5, 10.0), Backoff("patch", 0.5, 10.0)
    pauses = [a.next_s() for _ in range(12)]
    assert pauses == [b.next_s() for _ in range(12)]
    assert pauses != [other.next_s() for _ in range(12)]
    for i, pause in enumerate(pauses):
        whole = min(0.5 * 2**i, 10.0)
        assert whole * (1 - JITTER) <= pause <= whole * (1 + JITTER)
    a.reset()
    assert a.next_s() <= 0.5 * (1 + JITTER)


@pytest.mark.parametrize(
    ("error", "words", "fix", "passes", "adapter"),
    [
        (FileNotFoundError(2, "No such file"), "no D-Bus system bus", "apt-get install dbus", False, True),
        (ConnectionRefusedError(111, "refused"), "no D-Bus system bus", "apt-get install dbus", False, True),
        (PermissionError(13, "denied"), "no permission to reach D-Bus", "mount /run/dbus", False, True),
        (OSError(5, "I/O"), "the connection to D-Bus failed: I/O", "restart bluetooth", True, True),
        (
            BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", ["x"]),
            "BlueZ is not running",
            "--now",
            False,
            True,
        ),
        (BleakDBusError("org.freedesktop.systemd1.NoSuchUnit", []), "BlueZ is not installed", "bluez", False, True),
        (BleakDBusError("org.freedesktop.DBus.Error.Spawn.ExecFailed", []), "cannot be started", "bluez", False, True),
        (BleakDBusError("org.freedesktop.DBus.Error.AccessDenied", []), "no permission", "-aG bluetooth", False, True),
        (BleakDBusError("org.freedesktop.DBus.Error.NoReply", []), "does not answer", "restart", True, True),
        (BleakDBusError("org.bluez.Error.NotReady", []), "adapter is off", "rfkill unblock bluetooth", True, True),
        (BleakDBusError("org.bluez.Error.InProgress", []), "busy", "scan off", True, True),
        (
            BleakDBusError("org.bluez.Error.Failed", ["le-connection-abort-by-local"]),
            "was lost while",
            "5 GHz",
            True,
            False,
        ),
        (
            BleakDBusError("org.bluez.Error.NotPermitted", ["Notify acquired"]),
            "another program",
            "end that",
            True,
            False,
        ),
        (BleakDBusError("org.bluez.Error.NotPermitted", ["Not paired"]), "must be paired", "pair=1", True, False),
        (BleakDBusError("org.bluez.Error.AuthenticationRejected", []), "must be paired", "PIN", True, False),
        (BleakDBusError("org.bluez.Error.Strange", ["why"]), "cannot be connected: Strange why", "restart", True, True),
        (BleakGATTProtocolError(0x05), "must be paired", "KeyboardOnly", True, False),
        (BleakGATTProtocolError(0x0E), "the strap refused: ", "", True, False),
        (BleakDeviceNotFoundError("x", "gone"), "disappeared", "", True, False),
        (
            BleakCharacteristicNotFoundError("fb005c82"),
            "has no characteristic fb005c82",
            "bluetoothctl remove",
            True,
            False,
        ),
        (TimeoutError(), "did not answer in time", "nearer", True, False),
        (BleakError("adapter 'hci3' not found"), "no Bluetooth adapter 'hci3'", "bluetoothctl list", False, True),
        (BleakError("failed to discover services, device disconnected"), "was lost while", "5 GHz", True, False),
        (BleakError("Bleak requires BlueZ >= 5.55."), "BlueZ is too old", "update", False, True),
        (KeyError("/org/bluez/hci0/dev"), "cannot be connected: KeyError", "restart", True, True),
    ],
)
def test_every_failure_is_explained(error, words, fix, passes, adapter):
    trouble = explained(error, "the strap")
    assert words in trouble.what
    assert fix in trouble.fix
    assert (trouble.passes, trouble.adapter) == (passes, adapter)
    assert "\n" not in str(trouble)


@pytest.mark.parametrize(
    ("reason", "words"),
    [("NO_BLUETOOTH", "no Bluetooth adapter"), ("POWERED_OFF", "is off"), ("DENIED_BY_SYSTEM", "this user"),
     ("NO_BLE_CENTRAL_ROLE", "Low Energy"), ("UNKNOWN", "UNKNOWN")],
)  # fmt: skip
def test_bluetooth_that_is_not_available(reason, words):
    error = BleakBluetoothNotAvailableError("x", BleakBluetoothNotAvailableReason[reason])
    trouble = explained(error, "the strap")
    assert words in trouble.what
    assert trouble.fix
    assert trouble.adapter
    assert trouble.passes == (reason in {"POWERED_OFF", "UNKNOWN"})


def test_a_trouble_is_not_explained_again():
    trouble = Trouble("what", "fix")
    assert explained(trouble, "x") is trouble
    assert str(trouble) == "what (fix)"
