"""Movesense sensor: electrocardiogram over its GATT sensor data protocol. Sans-IO."""

from __future__ import annotations

from firmware_bridge.devices import BleProfile, Device, DeviceProfile, Write
from firmware_bridge.samples import LinkEvent, LinkItem
from firmware_bridge.transports import DATA_CHANNEL

RATES_HZ = (125, 128, 200, 250, 256, 500, 512)
"""What ``/Meas/ECG/{rate}`` takes."""
HELLO_REF, ECG_REF = 1, 2
"""References that this kit gives its requests; the sensor repeats them in its answers."""


class MovesenseDecoder:
    """One session with one sensor."""

    def __init__(self, rate: str = "250", format: str = "auto") -> None:  # noqa: A002 - the name is the URL's key
        del rate, format

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Takes one notification."""
        del data, arrival_ns, channel
        return []

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Takes an event of the transport."""
        del event
        return []

    def writes(self) -> list[Write]:
        """What is to be sent now; handed out once."""
        return []

    def counters(self) -> dict[str, int]:
        """Counts since the decoder was made."""
        return {}


DEVICE = Device(
    profile=DeviceProfile(
        name="movesense",
        title="Movesense sensor (firmware with GATT sensor data)",
        transports=("ble",),
        fs_hz=tuple(float(rate) for rate in RATES_HZ),
        scale="fixed",
        band_hz=None,
        clock="milliseconds since boot on every frame",
        loss_detection="device time against the number of samples: exact for lost notifications",
        stop=(Write(bytes((2, ECG_REF))),),
        ble=BleProfile(
            service="34802252-7185-4d5d-b431-630e7050e8f0",
            notify={DATA_CHANNEL: "34800002-7185-4d5d-b431-630e7050e8f0"},
            write={DATA_CHANNEL: "34800001-7185-4d5d-b431-630e7050e8f0"},
            advertised=("0000fdf3-0000-1000-8000-00805f9b34fb", "34802252-7185-4d5d-b431-630e7050e8f0"),
            name_prefixes=("Movesense",),
            min_mtu=73,
        ),
        options={
            "rate": f"sampling rate in Hz: {', '.join(map(str, RATES_HZ))} (default 250)",
            "format": "auto (default), mv (firmware 2.3 or newer) or raw",
        },
        notes=("its pass band depends on its configuration (/Meas/ECG/Config); it is not read",),
    ),
    decoder=MovesenseDecoder,
)
"""Registration; see ``firmware_bridge.devices``."""
