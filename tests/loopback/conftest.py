"""A private D-Bus for the tests that simulate BlueZ on it."""

import tempfile
from pathlib import Path

import pytest

from helpers.fake_bluez import DBUS_DAEMON, PrivateBus
from helpers.free_ports import ports


@pytest.fixture(scope="session")
def private_bus():
    """Start a dbus-daemon for this test process; yield its address."""
    if DBUS_DAEMON is None:
        pytest.skip("no dbus-daemon here (apt-get install dbus): Bluetooth cannot be simulated")
    with tempfile.TemporaryDirectory() as folder:
        bus = PrivateBus(Path(folder))
        yield bus.address
        bus.stop()


@pytest.fixture
def bus(private_bus, monkeypatch, tmp_path):
    """Make the private bus the system bus of this process, with a private folder for lock files."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", private_bus)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return private_bus


@pytest.fixture
def unused_port():
    """A TCP port of this computer that nothing listens at."""
    return ports(1)[0]
