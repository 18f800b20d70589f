"""A Bluetooth controller and a peripheral in software: bumble behind ``/dev/vhci``, for a real kernel and bluetoothd.

It works around two faults of bumble 0.0.236: ACL data came from the wrong address, and the controller announced link
layer features that it does not have.
"""

import asyncio
import contextlib

from bumble.controller import Controller
from bumble.core import UUID, AdvertisingData
from bumble.device import Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address, LeFeatureMask
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport import open_transport
from bumble.transport.common import AsyncPipeSink

Controller.le_acl_data_packet_length = Controller.acl_data_packet_length = 251


class Link(LocalLink):
    """The radio link between the two controllers."""

    def send_acl_data(self, _sender, destination, transport, data):
        connection = _sender.le_connections.get(destination)
        receiver = self.find_le_controller(destination)
        if connection and receiver:
            asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, connection.self_address, transport, data)


class Radio:
    """The computer's controller, on ``/dev/vhci``."""

    async def start(self):
        self.link = Link()
        self._transport = await open_transport("vhci")
        self.controller = Controller(
            "hci0", self._transport.source, self._transport.sink, self.link, public_address="00:AA:01:00:00:42"
        )
        self.controller.le_features &= ~(
            LeFeatureMask.LL_PRIVACY | LeFeatureMask.LE_EXTENDED_ADVERTISING | LeFeatureMask.LE_PERIODIC_ADVERTISING
        )
        return self


class AirStrap:
    """A virtual device as a peripheral on the radio link; the same interface as ``fake_bluez.devices.Strap``."""

    def __init__(self, radio, virtual, address):
        self.virtual, self._radio = virtual, radio
        self._controller = Controller(virtual.name, link=radio.link, public_address=address)
        host = Host(self._controller, AsyncPipeSink(self._controller))
        self._controller.host = host
        host.controller_ref = self._controller
        self.device = Device(name=virtual.name, address=Address(address), host=host)
        self.connection = None
        self.connects = 0
        self.mtu = 0
        self._chars = {}
        gatt = virtual.gatt
        channels = {uuid: name for name, uuid in gatt.write.items()}
        for uuid in dict.fromkeys([*gatt.notify.values(), *gatt.write.values()]):
            properties, permissions, value = Characteristic.Properties(0), Characteristic.Permissions(0), b""
            if uuid in gatt.notify.values():
                properties |= Characteristic.Properties.NOTIFY
            if uuid in channels:
                properties |= Characteristic.Properties.WRITE | Characteristic.Properties.WRITE_WITHOUT_RESPONSE
                permissions |= Characteristic.Permissions.WRITEABLE
                value = CharacteristicValue(write=lambda _c, data, name=channels[uuid]: self._written(name, data))
            self._chars[uuid] = Characteristic(UUID(uuid), properties, permissions, value)
        self.device.add_service(Service(UUID(gatt.service), list(self._chars.values())))
        self.device.advertising_data = bytes(
            AdvertisingData(
                [(AdvertisingData.FLAGS, b"\x06"), (AdvertisingData.COMPLETE_LOCAL_NAME, virtual.name.encode())]
            )
        )
        self.device.on("connection", self._connected)
        self._queue = asyncio.Queue()
        self._sender = asyncio.create_task(self._send_until_closed())

    async def start(self):
        await self.device.power_on()
        await self.show()

    async def show(self):
        await self.device.start_advertising(
            auto_restart=True, advertising_interval_min=100, advertising_interval_max=100
        )

    async def drop(self):
        """End the connection from the peripheral's side."""
        if self.connection is not None:
            with contextlib.suppress(Exception):
                await self.connection.disconnect()

    def lose(self):
        """Let both sides time out, as when out of reach."""
        for controller in (self._radio.controller, self._controller):
            for one in list(controller.le_connections.values()):
                controller.on_le_disconnected(one, 0x08)

    async def streaming(self, timeout_s=30.0):
        async with asyncio.timeout(timeout_s):
            while not self.virtual.streaming:
                await asyncio.sleep(0.01)

    async def play(self, samples):
        for notification in self.virtual.notifications(samples):
            await self._notify(*notification)

    def _connected(self, connection):
        self.connection = connection
        self.connects += 1
        connection.on("disconnection", lambda _reason: self._disconnected())

    def _disconnected(self):
        self.connection = None
        self.virtual.disconnect()

    def _written(self, channel, data):
        for notification in self.virtual.write(channel, bytes(data)):
            self._queue.put_nowait(notification)

    async def _send_until_closed(self):
        while True:
            await self._notify(*await self._queue.get())

    async def _notify(self, channel, data):
        if self.connection is not None:
            self.mtu = self.connection.att_mtu
            with contextlib.suppress(Exception):
                await self.device.notify_subscriber(
                    self.connection, self._chars[self.virtual.gatt.notify[channel]], data
                )
