"""``anyecg scan``: which patches are here, how well they are heard, and the URL that reads each."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence

from edge.cli.parser import Parser
from edge.cli.run import positive
from firmware_bridge.discovery.run import ScanResult, Sighting, scan
from firmware_bridge.errors import EXIT_OK, LinkError

SCHEMA = "anyecg.scan/1"
SECONDS = 8.0
"""Most straps advertise once a second or faster; some boards every few seconds."""
SECONDS_MAX = 600.0
HINT = (
    "a Polar strap advertises only while it is worn, on wet electrodes, and no phone has it; a patch on a cable "
    "needs one that carries data; 'anyecg doctor' looks at this computer"
)


def main(argv: Sequence[str]) -> int:
    """Runs the command; exit code 5 when nothing is found that could be read."""
    p = Parser("anyecg scan", "List patches on Bluetooth and serial ports, and the URL that reads each.")
    p.add_argument("--seconds", type=_seconds, default=SECONDS, metavar="N", help="how long to listen (default 8)")
    p.add_argument("--adapter", type=_adapter, metavar="hciX", help="Bluetooth adapter (default: the first)")
    p.add_argument("--all", action="store_true", help="also Bluetooth devices of an unknown kind")
    p.add_argument("--json", action="store_true", help="one JSON object on standard output, with everything heard")
    args = p.parse_args(argv)
    result = scan(args.seconds, args.adapter)
    if args.json:
        sys.stdout.write(json.dumps(as_dict(result), indent=1) + "\n")
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
        raise argparse.ArgumentTypeError(f"'{text}' is no adapter such as hci0")
    return text


def as_dict(result: ScanResult) -> dict[str, object]:
    """The result as JSON-able values."""
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
    """Returns the result as a table and what else is to be said, for a person."""
    shown = result.sightings if everything else result.usable
    lines = _table(shown) if shown else []
    hidden = len(result.sightings) - len(shown)
    if hidden:
        lines.append(
            f"{hidden} Bluetooth {'device' if hidden == 1 else 'devices'} of an unknown kind (--all shows them)"
        )
    unknown = [s for s in shown if s.transport == "serial" and not s.kinds]
    if unknown:
        lines.append("a port does not tell what is behind it: add ?device=NAME unless it is the kit's own patch")
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
