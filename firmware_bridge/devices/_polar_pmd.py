"""Polar's measurement data service (PMD): control point messages and data frames, as pure functions.

Sources: polarofficial/polar-ble-sdk@8fb5311 ``technical_documentation/online_measurement.pdf`` and
``sources/Android/**/pmd``; captures of a real H10 in fstanis/polar-h10-web@8a4107a ``test/helpers/captured.ts`` and
phdiethelm/h10_ecg@88d1b0c ``exploration/gatttool.md``.
"""

from __future__ import annotations

SERVICE = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
CONTROL_POINT = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
HEART_RATE = "00002a37-0000-1000-8000-00805f9b34fb"
BATTERY = "00002a19-0000-1000-8000-00805f9b34fb"

ECG = 0
"""Measurement type of the electrocardiogram."""
QUERY_ECG = b"\x01\x00"
"""Asks which settings the electrocardiogram offers."""
STOP_ECG = b"\x03\x00"
