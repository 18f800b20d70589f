"""A simulated BlueZ on a real, private D-Bus, so that unmodified bleak can be tested without a radio."""

from helpers.fake_bluez.bluez import FakeBlueZ
from helpers.fake_bluez.bus import DBUS_DAEMON, PrivateBus
from helpers.fake_bluez.peripheral import Char, Peripheral

__all__ = ["DBUS_DAEMON", "Char", "FakeBlueZ", "Peripheral", "PrivateBus"]
