"""``anyecg scan``: the patches within reach, their signal strength, and the source URL of each."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from edge.cli.parser import Parser, add_json, write_json
from edge.cli.run import positive
from firmware_bridge.discovery.run import ScanResult, Sighting, scan
from firmware_bridge.errors import EXIT_OK, LinkError

SCHEMA = "anyecg.scan/1"
SECONDS = 8.0
"""Most straps advertise once a second or faster; some boards every few seconds."""
SECONDS_MAX = 600.0
HINT = (
    "wear a Polar strap with wet electrodes and disconnect it from any phone; connect a wired patch with a cable "
    "that carries data; 'anyecg doctor' checks this computer"
)


def main(argv: Sequence[str]) -> int:
    """Run the command; exit code 5 if no usable patch is found."""
    p = Parser("anyecg scan", "List patches on Bluetooth and serial ports, with the source URL of each.")
    p.add_argument("--seconds", type=_seconds, default=SECONDS, metavar="N", help="seconds to listen (default 8)")
    p.add_argument("--adapter", type=_adapter, metavar="hciX", help="Bluetooth adapter (default: the first)")
    p.add_argument("--all", action="store_true", help="also list Bluetooth devices of an unknown kind")
    add_json(p)
    args = p.parse_args(argv)
    result = scan(args.seconds, args.adapter)
    if args.json:
        write_json(as_dict(result))
        return EXIT_OK if result.usable else LinkError.exit_code
    sys.stdout.write(text(result, everything=args.all))
    if not result.usable:
        raise LinkError("no patch was found", HINT)
    return EXIT_OK


def _seconds(text: str) -> float:
    value = positive(text)
    if value > SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"'{text}' is more than {SECONDS_MAX:g} seconds")
    return value


def _adapter(text: str) -> str:
    if not re.fullmatch(r"hci\d{1,2}", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not an adapter name such as hci0")
    return text


def as_dict(result: ScanResult) -> dict[str, object]:
    """Return the result as JSON-able values."""
    rows = [
        {
            "transport": s.transport,
            "kinds": list(s.kinds),
            "name": s.name,
            "rssi_dbm": s.rssi_dbm,
            "url": s.url,
            "usb": s.usb or None,
            "note": s.note,
        }
        for s in result.sightings
    ]
    return {"schema": SCHEMA, "ble_problem": result.ble_problem or None, "found": rows}


def text(result: ScanResult, *, everything: bool = False) -> str:
    """Return the result as a table with notes, for a person."""
    listed = result.sightings if everything else result.usable
    lines = _table(listed) if listed else []
    hidden = len(result.sightings) - len(listed)
    if hidden:
        lines.append(
            f"{hidden} Bluetooth {'device' if hidden == 1 else 'devices'} of an unknown kind (--all shows them)"
        )
    unknown = [s for s in listed if s.transport == "serial" and not s.kinds]
    if unknown:
        lines.append("a serial port does not identify its device: add ?device=NAME unless it is the kit's own patch")
    if result.ble_problem:
        lines.append(f"Bluetooth was not scanned: {' '.join(result.ble_problem.split())}")
    return "\n".join([*lines, ""]) if lines else ""


def _table(sightings: Sequence[Sighting]) -> list[str]:
    rows = [("device", "name", "signal", "source URL")]
    for s in sightings:
        signal = "cable" if s.transport == "serial" else "?" if s.rssi_dbm is None else f"{s.rssi_dbm} dBm"
        name = f"{s.name} ({s.usb})" if s.usb else s.name
        rows.append((" or ".join(s.kinds) or "?", name, signal, s.url or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for number, row in enumerate(rows):
        lines.append("  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]))
        if number and sightings[number - 1].note:
            lines.append(f"  {sightings[number - 1].note}")
    return lines
