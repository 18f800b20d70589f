"""A BlueZ of our own on a real, private D-Bus, so that unmodified bleak can be tested without a radio."""

from fake_bluez.bluez import FakeBlueZ
from fake_bluez.bus import DBUS_DAEMON, PrivateBus
from fake_bluez.peripheral import Char, Peripheral

__all__ = ["DBUS_DAEMON", "Char", "FakeBlueZ", "Peripheral", "PrivateBus"]
