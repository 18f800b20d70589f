"""org.bluez with one adapter, on dbus-fast: discovery, connections, GATT, notifications, and every fault on demand.

Not simulated: pairing dialogues, descriptors, radio timing. ``AcquireNotify`` is refused and counted, so that a test
notices a client that uses it.
"""

import asyncio

from dbus_fast import BusType, Message, MessageType, RequestNameReply, Variant
from dbus_fast.aio import MessageBus

OBJECTS = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
ADAPTER, DEVICE, SERVICE, CHAR = (
    f"org.bluez.{kind}1" for kind in ("Adapter", "Device", "GattService", "GattCharacteristic")
)
HCI0 = "/org/bluez/hci0"
ROUND_TRIP = 64
"""Signals after which the fake waits for the daemon: dbus-fast fails if the socket is full."""
ADVERTISE_S = 0.02


class FakeBlueZ:
    """The owner of ``org.bluez`` on the bus at ``address``."""

    def __init__(self, address, *peripherals):
        self.address = address
        self.peripherals = list(peripherals)
        self.objects = {}
        self.calls = []
        self.bus = None
        self.scans = 0
        self.scan_errors = []
        self.mute = False
        """Whether calls are never answered, as by a hanging bluetoothd."""
        self._sent = 0
        self._adverts = None
        self._tasks = set()
        self.powered = True
        self.present = True

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_error):
        await self.die()

    async def start(self):
        """Start bluetoothd without any state from before."""
        self.bus = await MessageBus(self.address, BusType.SYSTEM).connect()
        self.bus.add_message_handler(self._handle)
        self.objects = {}
        for one in self.peripherals:
            one.bluez, one.connected = self, False
            one.subscribed.clear()
        assert await self.bus.request_name("org.bluez") == RequestNameReply.PRIMARY_OWNER
        if self.present:
            self.plug()

    async def die(self):
        """Kill bluetoothd: no signal, no clean shutdown."""
        if self._adverts is not None:
            self._adverts.cancel()
            self._adverts = None
        for one in self.peripherals:
            if one.connected:
                one.connected = False
                one.subscribed.clear()
                if one.on_disconnected:
                    one.on_disconnected()
        self.bus.disconnect()
        await self.bus.wait_for_disconnect()

    # --- the adapter

    def plug(self):
        self.present = True
        self._add(
            HCI0,
            {
                ADAPTER: {
                    "Address": Variant("s", "00:00:00:00:00:01"),
                    "Name": Variant("s", "fake"),
                    "Alias": Variant("s", "fake"),
                    "Powered": Variant("b", self.powered),
                    "Discovering": Variant("b", False),
                    "Roles": Variant("as", ["central", "peripheral"]),
                    "UUIDs": Variant("as", []),
                }
            },
        )

    def unplug(self):
        self.present = False
        for one in self.peripherals:
            self.disconnect(one)
            self._remove(_path(one))
        self._remove(HCI0)

    def power(self, on):
        """Switch the adapter on or off, as rfkill or another bluetoothctl does."""
        self.powered = on
        if not on:
            for one in self.peripherals:
                self.disconnect(one)
            self._end_scan()
        self._change(HCI0, ADAPTER, Powered=Variant("b", on))

    # --- a device

    def advertise(self, one):
        path = _path(one)
        if path in self.objects:
            self._change(path, DEVICE, RSSI=Variant("n", one.rssi))
            return
        self._add(
            path,
            {
                DEVICE: {
                    "Address": Variant("s", one.address),
                    "AddressType": Variant("s", "random"),
                    "Name": Variant("s", one.name),
                    "Alias": Variant("s", one.name),
                    "Adapter": Variant("o", HCI0),
                    "Paired": Variant("b", False),
                    "Connected": Variant("b", one.connected),
                    "ServicesResolved": Variant("b", one.connected),
                    "Trusted": Variant("b", False),
                    "UUIDs": Variant("as", list(one.advertised)),
                    "RSSI": Variant("n", one.rssi),
                }
            },
        )

    async def connect(self, one):
        """Connect a device for any client."""
        path = _path(one)
        one.connected, one.connects = True, one.connects + 1
        self._change(path, DEVICE, Connected=Variant("b", True))
        for s, (uuid, chars) in enumerate(one.services.items()):
            service = f"{path}/service{16 * (s + 1):04x}"
            self._add(
                service,
                {SERVICE: {"UUID": Variant("s", uuid), "Device": Variant("o", path), "Primary": Variant("b", True)}},
            )
            for c, char in enumerate(chars):
                self._add(
                    f"{service}/char{16 * (s + 1) + c + 1:04x}",
                    {
                        CHAR: {
                            "UUID": Variant("s", char.uuid),
                            "Service": Variant("o", service),
                            "Value": Variant("ay", char.value),
                            "Flags": Variant("as", list(char.flags)),
                            "MTU": Variant("q", one.mtu),
                            "Notifying": Variant("b", False),
                            "NotifyAcquired": Variant("b", char.notify_acquired),
                        }
                    },
                )
        await asyncio.sleep(0)
        if one.connected:
            self._change(
                path,
                DEVICE,
                ServicesResolved=Variant("b", True),
                UUIDs=Variant("as", [*one.advertised, *one.services, "00001801-0000-1000-8000-00805f9b34fb"]),
            )
            if one.on_connected:
                one.on_connected()

    def disconnect(self, one):
        if not one.connected:
            return
        one.connected = False
        one.subscribed.clear()
        path = _path(one)
        self._change(path, DEVICE, ServicesResolved=Variant("b", False), Connected=Variant("b", False))
        for child in sorted((p for p in self.objects if p.startswith(path + "/")), reverse=True):
            self._remove(child)
        if one.on_disconnected:
            one.on_disconnected()

    def notify(self, one, uuid, data):
        if uuid not in one.subscribed:
            return False
        one.notified += 1
        self._change(self._char_path(one, uuid), CHAR, Value=Variant("ay", bytes(data)))
        return True

    async def settle(self):
        """Wait until the daemon has processed everything."""
        await self.bus.call(
            Message(destination="org.freedesktop.DBus", path="/", interface="org.freedesktop.DBus", member="GetId")
        )

    # --- D-Bus

    def _char_path(self, one, uuid):
        start = _path(one) + "/"
        return next(
            p
            for p, o in self.objects.items()
            if p.startswith(start) and o.get(CHAR, {}).get("UUID", Variant("s", "")).value == uuid
        )

    def _signal(self, path, interface, member, signature, body):
        self._sent += 1
        self.bus.send(
            Message(
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=body,
                message_type=MessageType.SIGNAL,
            )
        )

    def _add(self, path, interfaces):
        self.objects[path] = interfaces
        self._signal("/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])

    def _remove(self, path):
        if path in self.objects:
            self._signal("/", OBJECTS, "InterfacesRemoved", "oas", [path, list(self.objects.pop(path))])

    def _change(self, path, interface, **values):
        if path in self.objects:
            self.objects[path][interface].update(values)
            self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, values, []])

    def _handle(self, message):
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        self.calls.append((message.path, message.member))
        if not self.mute:
            task = asyncio.get_running_loop().create_task(self._answer(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    async def _answer(self, message):
        try:
            signature, body = await self._call(message)
        except BlueZError as error:
            reply = Message.new_error(message, error.name, error.text)
        else:
            reply = Message.new_method_return(message, signature, body)
        if self.bus.connected:
            self.bus.send(reply)

    async def _call(self, message):
        if message.member == "GetManagedObjects":
            return "a{oa{sa{sv}}}", [self.objects]
        if message.path not in self.objects:
            raise BlueZError("org.freedesktop.DBus.Error.UnknownObject", message.member)
        if message.path == HCI0:
            return self._adapter_call(message)
        one = next(p for p in self.peripherals if message.path.startswith(_path(p)))
        if message.path == _path(one):
            return await self._device_call(one, message.member)
        uuid = self.objects[message.path][CHAR]["UUID"].value
        return self._char_call(one, next(c for cs in one.services.values() for c in cs if c.uuid == uuid), message)

    def _adapter_call(self, message):
        if not self.powered:
            raise BlueZError("org.bluez.Error.NotReady", "Resource Not Ready")
        if message.member == "StartDiscovery":
            if self.scan_errors:
                raise BlueZError(*self.scan_errors.pop(0))
            if self._adverts is not None:
                raise BlueZError("org.bluez.Error.InProgress", "Operation already in progress")
            self.scans += 1
            self._change(HCI0, ADAPTER, Discovering=Variant("b", True))
            self._adverts = asyncio.get_running_loop().create_task(self._advertise_all())
        elif message.member == "StopDiscovery":
            self._end_scan()
        elif message.member == "RemoveDevice":
            for one in self.peripherals:
                if _path(one) == message.body[0]:
                    self.disconnect(one)
                    self._remove(_path(one))
        return "", []

    async def _device_call(self, one, member):
        if member in {"Connect", "Pair"}:
            if one.connect_errors:
                raise BlueZError(*one.connect_errors.pop(0))
            if self._adverts is not None:
                raise BlueZError("org.bluez.Error.InProgress", "a scan is running")
            while not (one.advertising and self.powered):
                await asyncio.sleep(0.02)
            await self.connect(one)
        elif member == "Disconnect":
            self.disconnect(one)
        return "", []

    def _char_call(self, one, char, message):
        if message.member == "StartNotify":
            if one.notify_errors:
                raise BlueZError(*one.notify_errors.pop(0))
            if not {"notify", "indicate"} & set(char.flags):
                raise BlueZError("org.bluez.Error.NotSupported", "Operation is not supported")
            one.subscribed.add(char.uuid)
            one.subscriptions.append(char.uuid)
            self._change(message.path, CHAR, Notifying=Variant("b", True))
            if one.on_subscribe:
                one.on_subscribe(char.uuid)
        elif message.member == "StopNotify":
            one.subscribed.discard(char.uuid)
        elif message.member == "AcquireNotify":
            raise BlueZError("org.bluez.Error.NotSupported", "the fake has none")
        elif message.member == "WriteValue":
            if one.write_errors:
                raise BlueZError(*one.write_errors.pop(0))
            data = bytes(message.body[0])
            if message.body[1]["type"].value == "command" and len(data) > one.mtu - 3:
                raise BlueZError("org.bluez.Error.InvalidArguments", "Invalid Length")
            one.writes.append((char.uuid, data))
            if one.on_write:
                one.on_write(char.uuid, data)
        elif message.member == "ReadValue":
            return "ay", [char.value]
        return "", []

    async def _advertise_all(self):
        while True:
            for one in self.peripherals:
                if one.advertising and not one.connected:
                    self.advertise(one)
            await asyncio.sleep(ADVERTISE_S)

    def _end_scan(self):
        if self._adverts is not None:
            self._adverts.cancel()
            self._adverts = None
            self._change(HCI0, ADAPTER, Discovering=Variant("b", False))


class BlueZError(Exception):
    def __init__(self, name, text=""):
        super().__init__(name, text)
        self.name, self.text = name, text


def _path(one):
    return f"{HCI0}/dev_{one.address.replace(':', '_')}"
