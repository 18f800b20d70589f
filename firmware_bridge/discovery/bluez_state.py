"""Reports the state of BlueZ and its adapters as one line of JSON: ``python -m firmware_bridge.discovery.bluez_state``.

It runs as a separate process, so that a bus that does not answer cannot block the caller, and it uses the same library
as bleak, so that its answer holds for bleak. It changes nothing on the bus.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

ANSWER_S = 4.0
"""Time limit for the bus, and then for BlueZ, to answer."""
BLUEZ = "org.bluez"
_MODALIAS = re.compile(r"^usb:v1D6Bp0246d([0-9A-F]{4})$")
"""BlueZ encodes its release here as decimal digits read as hexadecimal: d0542 is 5.66, d0552 is 5.82."""


async def state() -> dict[str, object]:
    """Query the system bus.

    Returns:
        ``bus``: empty, or why it cannot be used; ``running``: whether BlueZ runs; ``error``: why it did not answer;
        ``version``: version that BlueZ reports, or empty; ``adapters``: name -> ``{"powered", "central", "address"}``.
    """
    out: dict[str, object] = {"bus": "", "running": False, "error": "", "version": "", "adapters": {}}
    try:
        from dbus_fast import BusType
        from dbus_fast.aio import MessageBus
    except ImportError:
        return out | {"bus": "dbus-fast is not installed"}
    bus = MessageBus(bus_type=BusType.SYSTEM)
    try:
        try:
            await asyncio.wait_for(bus.connect(), ANSWER_S)
        except Exception as error:  # noqa: BLE001  # any failure to reach the bus is the answer
            return out | {"bus": str(error) or type(error).__name__}
        out["running"] = bool((await _call(bus, "org.freedesktop.DBus", "NameHasOwner", "s", [BLUEZ]))[0])
        if out["running"]:
            objects = await _call(bus, BLUEZ, "GetManagedObjects", "", [])
            out |= _adapters(objects[0])
    except Exception as error:  # noqa: BLE001  # the same
        out["error"] = str(error) or type(error).__name__
    finally:
        bus.disconnect()
    return out


async def _call(bus: object, destination: str, member: str, signature: str, body: list[str]) -> list[dict[str, object]]:
    from dbus_fast import Message, MessageType

    bluez = destination == BLUEZ
    message = Message(
        destination=destination,
        path="/" if bluez else "/org/freedesktop/DBus",
        interface="org.freedesktop.DBus.ObjectManager" if bluez else "org.freedesktop.DBus",
        member=member,
        signature=signature,
        body=body,
    )
    reply = await asyncio.wait_for(bus.call(message), ANSWER_S)  # type: ignore[attr-defined]  # the bus is untyped here
    if reply.message_type is MessageType.ERROR:
        raise OSError(f"{reply.error_name}: {' '.join(map(str, reply.body))}")
    return list(reply.body)


def _adapters(objects: dict[str, object]) -> dict[str, object]:
    adapters: dict[str, object] = {}
    version = ""
    for path, interfaces in objects.items():
        properties = interfaces.get("org.bluez.Adapter1") if isinstance(interfaces, dict) else None
        if properties is None:
            continue
        plain = {name: variant.value for name, variant in properties.items()}
        adapters[str(path).rpartition("/")[2]] = {
            "powered": bool(plain.get("Powered")),
            "central": "central" in plain.get("Roles", ["central"]),
            "address": str(plain.get("Address", "")),
        }
        found = _MODALIAS.match(str(plain.get("Modalias", "")))
        version = f"5.{int(found[1], 16) - 0x500}" if found else version
    return {"adapters": adapters, "version": version}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(state())) + "\n")
