"""The description of the kit's own patch, and its GATT service."""

from __future__ import annotations

from firmware_bridge.devices import BleProfile, DeviceKind, Write
from firmware_bridge.items import DATA_CHANNEL
from firmware_bridge.wire.messages import HelloRequest, Stop, encode

SERVICE = "4bab0001-c459-43ce-8877-c8f5db7b4fdd"
"""The GATT service of the patch, with a random base UUID. The patch advertises it."""
DATA = "4bab0002-c459-43ce-8877-c8f5db7b4fdd"
"""Notifies the bytes that a serial port would carry, split anywhere."""
COMMAND = "4bab0003-c459-43ce-8877-c8f5db7b4fdd"
"""Receives the host's bytes, split anywhere, as writes without response."""

PROFILE = DeviceKind(
    name="anyecg_patch",
    title="AnyECG patch (COBS protocol, version 1)",
    transports=("serial", "sim", "tcp", "ble"),
    fs_hz=(),
    scale="reported",
    band_hz=None,
    clock="tick counter of the patch, on every frame",
    loss_detection="sample index on every frame: always exact",
    start=(Write(b"\x00" + encode(HelloRequest())),),
    stop=(Write(encode(Stop())),),
    baud=115_200,
    ble=BleProfile(
        service=SERVICE,
        notify={DATA_CHANNEL: DATA},
        write={DATA_CHANNEL: COMMAND},
        advertised=(SERVICE,),
        name_prefixes=("AnyECG",),
        write_response=False,
    ),
)
"""Registered by ``anyecg_patch.py``."""
