"""A device in reach of the fake BlueZ: its services, and its reactions to a client."""

from dataclasses import dataclass, field


@dataclass
class Char:
    """A characteristic."""

    uuid: str
    flags: tuple[str, ...]
    value: bytes = b""
    notify_acquired: bool = False


@dataclass
class Peripheral:
    """A device: its advertisement, its services, and hooks for a test.

    ``on_write(uuid, data)``, ``on_subscribe(uuid)``, ``on_connected()`` and ``on_disconnected()`` are plain functions,
    called on the event loop. The fake sets ``notify(uuid, data)`` while the device is connected.
    """

    address: str
    name: str
    services: dict[str, list[Char]]
    advertised: tuple[str, ...] = ()
    rssi: int = -55
    mtu: int = 247
    advertising: bool = True
    on_write: object = None
    on_subscribe: object = None
    on_connected: object = None
    on_disconnected: object = None
    connected: bool = False
    connects: int = 0
    notified: int = 0
    subscribed: set[str] = field(default_factory=set)
    subscriptions: list[str] = field(default_factory=list)
    writes: list[tuple[str, bytes]] = field(default_factory=list)
    bluez: object = None
    connect_errors: list[tuple[str, str]] = field(default_factory=list)
    notify_errors: list[tuple[str, str]] = field(default_factory=list)
    write_errors: list[tuple[str, str]] = field(default_factory=list)

    def notify(self, uuid, data):
        """Send a notification; return whether a client was subscribed."""
        return self.bluez.notify(self, uuid, data)

    def drop(self):
        """Lose the connection, as by distance."""
        self.bluez.disconnect(self)
