"""``anyecg devices``: the supported patches, with the limits of each."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence

from edge.cli.parser import Parser
from firmware_bridge import devices
from firmware_bridge.devices import DeviceKind
from firmware_bridge.errors import EXIT_OK

SCHEMA = "anyecg.devices/1"
WIDTH = 100
"""Width to which details are wrapped, columns."""
COLUMNS = ("device", "reached by", "Hz", "scale", "band, Hz", "clock", "loss")
RATES_SHOWN = 3
"""Most sampling rates to list in the table; for more it shows their range."""
SCALES = {
    "reported": "millivolts: the device reports its scale",
    "fixed": "millivolts: the maker documents the scale",
    "unknown": "counts: the scale is not confirmed, so the kit uses no millivolts until the device is calibrated",
}
"""Meaning of `DeviceKind.scale`."""
ADDRESSES = {
    "serial": ("serial:/dev/serial/by-id/NAME?device={name}",),
    "ble": ("ble:{name}", "ble:{name}/ADDRESS"),
    "tcp": ("tcp:HOST:PORT?device={name}",),
    "sim": ("sim:?hr=70&seed=1",),
}
"""Forms of a source URL, by transport."""


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg devices --help``."""
    p = Parser("anyecg devices", "List the supported patches, with the limits of each.")
    p.add_argument("name", nargs="?", metavar="NAME", help="show all details of one device")
    form = p.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object on standard output")
    form.add_argument("--markdown", action="store_true", help="the tables of docs/devices.md")
    args = p.parse_args(argv)
    names = devices.names() if args.name is None else (args.name,)
    profiles = [devices.get(name).profile for name in names]
    if args.json:
        listing = {"schema": SCHEMA, "devices": [as_dict(profile) for profile in profiles]}
        sys.stdout.write(json.dumps(listing, indent=1, ensure_ascii=False) + "\n")
    elif args.markdown:
        sys.stdout.write(markdown(profiles))
    elif args.name is None:
        sys.stdout.write(table(profiles))
    else:
        sys.stdout.write(details(profiles[0]))
    return EXIT_OK


def urls(profile: DeviceKind) -> list[str]:
    """Return templates of source URLs, one or more per transport."""
    return [text.format(name=profile.name) for kind in profile.transports for text in ADDRESSES.get(kind, ())]


def as_dict(profile: DeviceKind) -> dict[str, object]:
    """Return a profile as JSON-able values."""
    ble = profile.ble
    return {
        "name": profile.name,
        "title": profile.title,
        "transports": list(profile.transports),
        "urls": urls(profile),
        "fs_hz": list(profile.fs_hz),
        "scale": profile.scale,
        "band_hz": None if profile.band_hz is None else list(profile.band_hz),
        "clock": profile.clock,
        "loss_detection": profile.loss_detection,
        "baud": profile.baud,
        "usb": [f"{vendor:04x}:{product:04x}" for vendor, product in profile.usb],
        "ble": None
        if ble is None
        else {
            "service": ble.service,
            "notify": dict(ble.notify),
            "write": dict(ble.write),
            "advertised": list(ble.advertised),
            "name_prefixes": list(ble.name_prefixes),
            "min_mtu": ble.min_mtu,
        },
        "options": dict(profile.options),
        "notes": list(profile.notes),
    }


def table(profiles: Sequence[DeviceKind]) -> str:
    """Return a table with one line per device."""
    rows = [COLUMNS, *(_cells(profile) for profile in profiles)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    titles = ["", *(profile.title for profile in profiles)]
    lines = [
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)), title]).rstrip()
        for row, title in zip(rows, titles, strict=True)
    ]
    hint = "clock, loss: how the device reports them, - if it does not; 'anyecg devices NAME' shows details"
    return "\n".join([*lines, "", hint, ""])


def details(profile: DeviceKind) -> str:
    """Return all details of one device as text."""
    facts = [
        ("title", profile.title),
        *(("URL" if at == 0 else "", url) for at, url in enumerate(urls(profile))),
        ("rate", f"{_rates(profile)} Hz" if profile.fs_hz else "reported by the device or set by the user"),
        ("scale", SCALES[profile.scale]),
        ("band", f"{_band(profile)} Hz" if profile.band_hz else "unknown, or reported by the device"),
        ("clock", profile.clock),
        ("loss", profile.loss_detection),
    ]
    if profile.baud:
        facts.append(("baud", str(profile.baud)))
    facts += [("option" if at == 0 else "", f"{k}: {v}") for at, (k, v) in enumerate(sorted(profile.options.items()))]
    facts += [("note" if at == 0 else "", note) for at, note in enumerate(profile.notes)]
    lines = [profile.name]
    for label, text in facts:
        lines += textwrap.wrap(
            text, WIDTH, initial_indent=f"  {label:<8}", subsequent_indent=" " * 10, break_long_words=False
        )
    return "\n".join([*lines, ""])


def markdown(profiles: Sequence[DeviceKind]) -> str:
    """Return the generated part of ``docs/devices.md``."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join((f"[`{p.name}`](#{p.name})", *_cells(p)[1:])) + " |" for p in profiles]
    for p in profiles:
        lines += ["", f"### {p.name}", "", f"{p.title}: " + ", ".join(f"`{url}`" for url in urls(p)) + ".", ""]
        lines += [f"- scale: {SCALES[p.scale]}", f"- clock: {p.clock}", f"- loss: {p.loss_detection}"]
        lines += [f"- option `{key}`: {text}" for key, text in sorted(p.options.items())]
        lines += [f"- {note}" for note in p.notes]
    return "\n".join([*lines, ""])


def _cells(profile: DeviceKind) -> tuple[str, ...]:
    rates = profile.fs_hz
    return (
        profile.name,
        ", ".join(profile.transports),
        _rates(profile) if 0 < len(rates) <= RATES_SHOWN else f"{min(rates):g} to {max(rates):g}" if rates else "any",
        {"unknown": "counts"}.get(profile.scale, "mV"),
        _band(profile) or "?",
        "-" if profile.clock.startswith("none") else "yes",
        "-" if profile.loss_detection.startswith("none") else "yes",
    )


def _rates(profile: DeviceKind) -> str:
    return ", ".join(f"{rate:g}" for rate in profile.fs_hz)


def _band(profile: DeviceKind) -> str:
    return "" if profile.band_hz is None else f"{profile.band_hz[0]:g}-{profile.band_hz[1]:g}"
