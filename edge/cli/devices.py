"""``anyecg devices``: the supported patches, with the limits of each."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from edge.cli.parser import JSON_HELP, Parser, write_json
from edge.cli.run.further import USE, offered
from edge.sources import SCHEMES
from firmware_bridge import devices, plugins
from firmware_bridge.devices import DeviceKind
from firmware_bridge.errors import EXIT_OK, AnyEcgError, PluginError
from firmware_bridge.plugins import KINDS, Plugin

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
    form.add_argument("--json", action="store_true", help=JSON_HELP)
    form.add_argument("--markdown", action="store_true", help="the tables of docs/devices.md")
    args = p.parse_args(argv)
    if args.name is not None:
        profile = devices.get(args.name).profile
        if args.json:
            write_json(listing([profile]))
        elif args.markdown:
            sys.stdout.write(markdown([profile]))
        else:
            sys.stdout.write(details(profile))
        return EXIT_OK
    if args.markdown:
        # The page of the kit, whatever is installed beside it.
        sys.stdout.write(markdown([devices.get(name).profile for name in devices.names()]))
        return EXIT_OK
    found = offered()
    if args.json:
        write_json(listing(devices.known(), found))
    else:
        sys.stdout.write(table(devices.known()) + plugin_lines(found))
    problems = faults()
    for problem in problems:
        sys.stderr.write(f"anyecg: {problem}\n")
    return PluginError.exit_code if problems else EXIT_OK


def listing(profiles: Sequence[DeviceKind], others: Sequence[Plugin] = ()) -> dict[str, object]:
    """Return the devices, and what other packages offer, for JSON."""
    found: dict[str, object] = {"schema": SCHEMA, "devices": [as_dict(profile) for profile in profiles]}
    if others:
        found["plugins"] = [
            {"kind": KINDS[one.group], "name": one.name, "package": one.package, "version": one.version}
            for one in others
        ]
    return found


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


def faults() -> list[AnyEcgError]:
    """Return the errors of all plugins that cannot be used."""
    own = {plugins.DEVICES: devices.names(), plugins.SOURCES: tuple(SCHEMES), plugins.SINKS: ()}
    out: list[AnyEcgError] = []
    for group, names in own.items():
        refused = plugins.refused(group, names)
        out += refused.values()
        for one in plugins.found(group):
            if one.name not in refused:
                try:
                    devices.get(one.name) if group == plugins.DEVICES else one.load()
                except PluginError as error:
                    out.append(error)
    return out


def plugin_lines(found: list[Plugin]) -> str:
    """Return one line for each plugin, with the package that it comes from; empty without any."""
    if not found:
        return ""
    rows = [(KINDS[one.group], USE[one.group].format(one.name), f"{one.package} {one.version}") for one in found]
    width = max(len(row[1]) for row in rows)
    lines = [f"  {kind:<6}  {use:<{width}}  {package}" for kind, use, package in rows]
    return "\n".join(["", "from other packages:", *lines, ""])
