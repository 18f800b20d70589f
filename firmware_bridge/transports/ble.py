"""Bluetooth Low Energy with bleak: finds, connects, subscribes, and reconnects until closed.

Notifications only enter a bounded queue. bleak does not notice the death of bluetoothd, so silence reveals it. After
every end of a connection the client is disconnected, because notifications would otherwise arrive twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from firmware_bridge.devices import BleProfile
from firmware_bridge.discovery import bluez_state
from firmware_bridge.errors import UsageError
from firmware_bridge.items import DATA_CHANNEL, RawChunk, TransportItem
from firmware_bridge.samples import LinkEvent, LinkEventKind
from firmware_bridge.transports._ble_errors import RESTART, explained, missing_bleak, wants_pairing
from firmware_bridge.transports._ble_scan import BleSighting, Found, adapter_turn, find, scan_ble
from firmware_bridge.transports._link import SOON_S, STALL_S, Reconnecting, Trouble

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.characteristic import BleakGATTCharacteristic

SCAN_S = 10.0
"""Duration of one scan for the device, in seconds; straps advertise about once a second."""
CONNECT_S = 20.0
"""Time that one connection may take, including its services and subscriptions, in seconds."""
BACKOFF_S = (0.5, 10.0)
"""First and longest pause between two attempts, in seconds."""
FIRST_DATA = 3
"""Factor by which the first data may take longer than later silence: a Polar's arrive after up to 30 s
(polar-ble-sdk, issues 414 and 424)."""
WRITE_S = 5.0
"""Time that one write may take, in seconds."""
WATCH_S = 0.5
"""Time between two looks at BlueZ while it keeps a connection from being tried, in seconds."""
LEAVE_S = 3.0
"""Time that disconnecting may take, in seconds."""
STUCK_AFTER = 5
"""Failures of this computer in a row after which its Bluetooth counts as stuck."""
_ADDRESS = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")


class BleTransport(Reconnecting):
    """One device on Bluetooth: by address, by name, or the first of its kind that a scan receives.

    After the first connection it looks only for that device: a session has one patient.

    Args:
        profile: GATT services and characteristics of the device.
        title: Kind of device, for the user.
        address: Bluetooth address; ``None`` for any.
        name: Local name; ``None`` for any.
        adapter: Bluetooth adapter, such as ``hci1``; ``None`` for the first that is on.
        wait: Whether to wait for a missing device at the start; ``False`` makes it an error.
        insist: Whether to wait even if waiting alone does not help, as without Bluetooth: a service does.
        pair: Whether to pair with the device if it is not paired.
        stall_s: Seconds without data after which it reconnects.
        backoff_s: See ``BACKOFF_S``.
        scan_s: See ``SCAN_S``.

    Raises:
        UsageError: The address is not a Bluetooth address.
    """

    def __init__(
        self,
        profile: BleProfile,
        *,
        title: str = "the device",
        address: str | None = None,
        name: str | None = None,
        adapter: str | None = None,
        wait: bool = True,
        insist: bool = False,
        pair: bool = False,
        stall_s: float = STALL_S,
        backoff_s: tuple[float, float] = BACKOFF_S,
        scan_s: float = SCAN_S,
    ) -> None:
        address = address.upper() if address else None
        if address is not None and not _ADDRESS.fullmatch(address):
            raise UsageError(
                f"{address!r} is not a Bluetooth address", "it looks like A0:9E:1A:12:34:56; see anyecg scan"
            )
        label = " ".join(filter(None, (title, f"at {address}" if address else name and f"named {name!r}")))
        super().__init__(label, wait=wait, insist=insist, stall_s=stall_s, backoff_s=backoff_s)
        self._profile, self._address, self._name = profile, address, name
        self._adapter, self._pair, self._scan_s = adapter, pair, scan_s
        self._client: BleakClient | None = None
        self._bonded = False
        self._gone = asyncio.Event()
        self._early: list[TransportItem] | None = None
        self._last_data_s: float | None = None
        self._blamed = 0
        self._bluez: dict[str, object] | None = None
        self._forgot = False

    async def write(self, data: bytes, channel: str = DATA_CHANNEL) -> bool:
        """Send; ``False`` without a connection, for a read-only channel, or if the device refuses."""
        client, uuid = self._client, self._profile.write.get(channel)
        if client is None or uuid is None or not client.is_connected:
            return False
        try:
            char = client.services.get_characteristic(uuid)
            if char is None:
                return False
            size = len(data) if self._profile.write_response else char.max_write_without_response_size
            async with asyncio.timeout(WRITE_S):
                for at in range(0, len(data), max(size, 1)):
                    part = data[at : at + max(size, 1)]
                    await client.write_gatt_char(char, part, response=self._profile.write_response)
        except Exception as error:  # noqa: BLE001 - bleak and dbus-fast have no common base; all are explained
            if self._client is not client or self._gone.is_set():
                return False
            trouble = explained(error, self._where)
            self._queue.put(self._event(LinkEventKind.REFUSED, str(trouble), channel=channel, fix=trouble.fix))
            return False
        return True

    async def _connect(self) -> LinkEvent:
        try:
            from bleak import BleakClient
        except ImportError as error:
            raise missing_bleak() from error
        gone = self._gone = asyncio.Event()
        try:
            async with adapter_turn(self._adapter), asyncio.timeout(self._scan_s + CONNECT_S):
                found = await self._find()
                self._bonded = bool(found.device.details.get("props", {}).get("Paired"))
                client = self._client = BleakClient(
                    found.device,
                    lambda _client: gone.set(),
                    timeout=CONNECT_S,
                    pair=self._pair,
                    bluez={} if self._adapter is None else {"adapter": self._adapter},
                )
                await client.connect()
            self._early, self._last_data_s = [], None
            async with asyncio.timeout(CONNECT_S):
                mtu = await self._subscribe(client, gone)
        except Trouble:
            raise
        except Exception as error:
            await self._forget_once(error)
            raise explained(error, self._where) from error
        if gone.is_set():
            raise Trouble(
                f"{self._where} closed the connection at once", "bring it nearer; check that no phone is using it"
            )
        self._address, self._where = found.device.address.upper(), _label(found)
        detail = f"{self._where} is connected" + ("" if found.rssi is None else f", signal {found.rssi} dBm")
        data = {"address": self._address, "name": found.name, "rssi": found.rssi, "mtu": mtu}
        return self._event(LinkEventKind.CONNECTED, detail, **data)

    def _opened(self, connected: LinkEvent) -> None:
        self._blamed, self._bluez = 0, None
        super()._opened(connected)
        if connected.data["rssi"] is None:
            what = "it was already connected, by another program or by one that was killed, and is now shared"
            self._queue.put(self._event(LinkEventKind.INFO, what))
        mtu = connected.data["mtu"]
        if isinstance(mtu, int) and mtu < self._profile.min_mtu:
            self._queue.put(self._small_mtu(mtu))
        early, self._early = self._early or [], None
        for item in early:
            self._queue.put(item)

    async def _listen(self) -> tuple[LinkEventKind, str]:
        began_s = time.monotonic()
        while True:
            if self._last_data_s is None:
                until_s = began_s + FIRST_DATA * self._stall_s
            else:
                until_s = self._last_data_s + self._stall_s
            left_s = until_s - time.monotonic()
            if left_s <= 0.0:
                silent_s = time.monotonic() - (self._last_data_s or began_s)
                return LinkEventKind.STALLED, f"no data from {self._where} for {silent_s:.0f} s; reconnecting"
            with contextlib.suppress(TimeoutError):
                # wait_for would swallow a cancellation that coincides with the end of the connection.
                async with asyncio.timeout(left_s):
                    await self._gone.wait()
                return LinkEventKind.DISCONNECTED, f"{self._where} is gone: out of reach, taken off or switched off"

    async def _shut(self) -> None:
        client, self._client, self._early = self._client, None, None
        self._gone = asyncio.Event()
        if client is None:
            return
        # Also if the device disconnected: otherwise the next connection receives every notification twice.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(LEAVE_S):
                await client.disconnect()

    def _escalation(self, trouble: Trouble, failures: int) -> str:
        del failures
        self._blamed = self._blamed + 1 if trouble.adapter else 0
        times, rest = divmod(self._blamed, STUCK_AFTER)
        # After 5, 10, 20, 40 ... failures: an unattended board should not fill its disk with this message.
        if rest or not times or times & (times - 1):
            return ""
        return (
            f"{self._blamed} failures in a row: this computer's Bluetooth may be stuck. {RESTART}; if that does not "
            "help: rfkill block bluetooth; rfkill unblock bluetooth; then unplug the dongle, or power the board off"
        )

    async def _perhaps_back(self, trouble: Trouble | None) -> None:
        if trouble is None or not trouble.adapter:
            await super()._perhaps_back(trouble)
        if self._bluez is None:
            # What changed before this first look goes unnoticed, so the next attempt follows at once.
            self._bluez = await bluez_state.state()
            await asyncio.sleep(WATCH_S)
            return
        while True:
            await asyncio.sleep(WATCH_S)
            now = await bluez_state.state()
            if now != self._bluez:
                self._bluez = now
                return

    async def _find(self) -> Found:
        found = await find(
            self._profile, address=self._address, name=self._name, adapter=self._adapter, seconds=self._scan_s
        )
        if found is None:
            fix = "check that it is worn, charged and near, and not connected to a phone, watch or other computer"
            # The next scan is what notices that it is back; the pause lets others use the adapter.
            raise Trouble(f"{self._where} was not found", fix, retry_s=SOON_S)
        return found

    async def _subscribe(self, client: BleakClient, gone: asyncio.Event) -> int | None:
        """Subscribe in the profile's order; return the MTU, or ``None`` if BlueZ is too old to report it."""
        from bleak.exc import BleakCharacteristicNotFoundError

        needed = {DATA_CHANNEL, *self._profile.write}
        mtu = None
        for uuid in self._profile.write.values():
            if client.services.get_characteristic(uuid) is None:
                raise BleakCharacteristicNotFoundError(uuid)
        for channel, uuid in self._profile.notify.items():
            char = client.services.get_characteristic(uuid)
            if char is None:
                if channel in needed:
                    raise BleakCharacteristicNotFoundError(uuid)
                continue
            if channel == DATA_CHANNEL and "MTU" in char.obj[1]:
                mtu = char.max_write_without_response_size + 3
            await self._subscribe_one(client, char, self._taker(channel, gone), needed=channel in needed)
        return mtu

    async def _subscribe_one(
        self,
        client: BleakClient,
        char: BleakGATTCharacteristic,
        take: Callable[[BleakGATTCharacteristic, bytearray], None],
        *,
        needed: bool,
    ) -> None:
        try:
            # AcquireNotify lost 211 of 1,000 notifications in a flood, silently; StartNotify none.
            await client.start_notify(char, take, bluez={"use_start_notify": True})
        except Exception:
            if needed or not client.is_connected:
                raise

    def _taker(self, channel: str, gone: asyncio.Event) -> Callable[[BleakGATTCharacteristic, bytearray], None]:
        def take(_char: BleakGATTCharacteristic, data: bytearray) -> None:
            if gone is not self._gone or not data:
                return
            chunk = RawChunk(time.monotonic_ns(), channel, bytes(data))
            if channel == DATA_CHANNEL:
                self._last_data_s = time.monotonic()
                self._backoff.reset()
            if self._early is None:
                self._queue.put(chunk)
            else:
                self._early.append(chunk)

        return take

    def _small_mtu(self, mtu: int) -> LinkEvent:
        detail = (
            f"{self._where} agreed on an MTU of {mtu} bytes but needs {self._profile.min_mtu}: data may be missing or "
            "truncated. Remove ExchangeMTU from [GATT] in /etc/bluetooth/main.conf, then " + RESTART
        )
        return self._event(LinkEventKind.INFO, detail, mtu=mtu, min_mtu=self._profile.min_mtu)

    async def _forget_once(self, error: Exception) -> None:
        """Make BlueZ rediscover the services of a device (it caches those of an older firmware); keep bonds."""
        from bleak.exc import BleakCharacteristicNotFoundError

        client = self._client
        if self._forgot or client is None or self._bonded or not isinstance(error, BleakCharacteristicNotFoundError):
            return
        self._forgot = True
        with contextlib.suppress(Exception):
            async with asyncio.timeout(LEAVE_S):
                await client.unpair()


def _label(found: Found) -> str:
    address = found.device.address.upper()
    return address if found.name.upper() == address else f"{found.name} at {address}"


__all__ = ["BleSighting", "BleTransport", "scan_ble", "wants_pairing"]
