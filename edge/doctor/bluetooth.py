"""Checks of Bluetooth: adapter, rfkill, D-Bus, BlueZ, and the permissions of this user."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from edge.doctor.probe import Finding, Probe, State

ASK_S = 30.0
"""Time limit of the process that asks BlueZ, s; on a small machine its imports take most of it."""
OLDEST = (5, 55)
"""The oldest release of BlueZ that bleak supports (its documentation, "Linux backend")."""
START = "sudo systemctl enable --now bluetooth"
ON_THE_PI = "on a Raspberry Pi remove dtoverlay=disable-bt from /boot/firmware/config.txt"


def check(probe: Probe) -> list[Finding]:
    """Check everything between the radio of a patch and bleak, in the order in which it has to work."""
    names = [name for name in probe.names("/sys/class/bluetooth") if re.fullmatch(r"hci\d+", name)]
    blocked = _blocked(probe)
    answer = _ask(probe)
    # A container may have the bus but no /sys.
    hidden = isinstance(answer, _Answer) and bool(answer.adapters or answer.error)
    if not names and not blocked and not hidden:
        fix = f"plug in a USB dongle; {ON_THE_PI}"
        return [Finding("adapter", State.SKIPPED, "no Bluetooth adapter; wired patches still work", fix)]
    present = [Finding("adapter", State.OK, ", ".join(names))] if names else []
    unblocked = blocked or [Finding("rfkill", State.OK, "not blocked")]
    return [*present, *unblocked, *([answer] if isinstance(answer, Finding) else _bluez(probe, names, answer))]


@dataclass(frozen=True, slots=True)
class _Answer:
    """The output of `firmware_bridge.discovery.bluez_state`."""

    bus: str
    running: bool
    error: str
    version: str
    adapters: dict[str, dict[str, object]]


def _ask(probe: Probe) -> _Answer | Finding:
    ran = probe.run(probe.python, "-m", "firmware_bridge.discovery.bluez_state", timeout_s=ASK_S)
    try:
        answer = json.loads(ran.out)
        adapters = {str(name): dict(state) for name, state in answer["adapters"].items()}
        return _Answer(
            str(answer["bus"]), bool(answer["running"]), str(answer["error"]), str(answer["version"]), adapters
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        detail = f"could not be queried: {ran.last_line}"
        return Finding("D-Bus", State.WARNING, detail, "sudo systemctl status dbus bluetooth")


def _blocked(probe: Probe) -> list[Finding]:
    out = []
    for entry in probe.names("/sys/class/rfkill"):
        folder = f"/sys/class/rfkill/{entry}"
        if probe.text(f"{folder}/type") != "bluetooth":
            continue
        name = probe.text(f"{folder}/name") or entry
        if probe.text(f"{folder}/hard") == "1":
            fix = "switch it on with the computer's switch or key; no command can do it"
            out.append(Finding("rfkill", State.WRONG, f"{name} is switched off by hardware", fix))
        elif probe.text(f"{folder}/soft") == "1":
            out.append(Finding("rfkill", State.WRONG, f"{name} is blocked", "sudo rfkill unblock bluetooth"))
    return out


def _bluez(probe: Probe, names: list[str], answer: _Answer) -> list[Finding]:
    if answer.bus:
        return [
            Finding("D-Bus", State.WRONG, f"the system bus cannot be used: {answer.bus}", _bus_fix(probe, answer.bus))
        ]
    out = [Finding("D-Bus", State.OK, "the system bus answers")]
    if not answer.running:
        installed = not probe.run("bluetoothctl", "--version").absent
        fix = START if installed else f"sudo apt-get install bluez; {START}"
        return [*out, Finding("BlueZ", State.WRONG, "is not running", fix)]
    if answer.error:
        return [*out, *_refused(answer.error)]
    out.append(_version(probe, answer.version))
    missing = [name for name in names if name not in answer.adapters]
    if missing and not answer.adapters:
        fix = "sudo systemctl restart bluetooth; if that fails, sudo hciconfig hci0 reset, or plug it in again"
        out.append(Finding("adapter state", State.WRONG, f"BlueZ does not see {', '.join(missing)}", fix))
    return [*out, *(_adapter(name, state) for name, state in sorted(answer.adapters.items())), _group(probe)]


def _bus_fix(probe: Probe, bus: str) -> str:
    if "dbus-fast" in bus:
        return f"{probe.python} -m pip install dbus-fast"
    if probe.path("/.dockerenv").exists() or probe.path("/run/.containerenv").exists():
        return "give the container the host's bus: -v /run/dbus:/run/dbus"
    return "sudo apt-get install dbus; sudo systemctl start dbus"


def _refused(error: str) -> list[Finding]:
    if "AccessDenied" in error or "not allowed" in error:
        fix = "sudo usermod -aG bluetooth $USER, then log in again"
        return [Finding("BlueZ", State.WRONG, "runs, but D-Bus refuses this user", fix)]
    return [Finding("BlueZ", State.WRONG, f"runs but does not answer: {error}", "sudo systemctl restart bluetooth")]


def _version(probe: Probe, version: str) -> Finding:
    if not version:
        # Without an adapter BlueZ does not report its version over D-Bus.
        ran = probe.run("bluetoothctl", "--version")
        version = ran.out.split()[-1] if ran.code == 0 and ran.out.split() else ""
    found = re.fullmatch(r"(\d+)\.(\d+)", version)
    if found is None:
        return Finding("BlueZ", State.OK, "runs; its version is unknown")
    if (int(found[1]), int(found[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        fix = "upgrade the system: Debian 11, Raspberry Pi OS of 2021, or newer"
        return Finding("BlueZ", State.WARNING, f"{version} is older than {oldest}, which bleak needs", fix)
    return Finding("BlueZ", State.OK, f"{version} runs")


def _adapter(name: str, state: dict[str, object]) -> Finding:
    label = f"{name} state"
    if not state.get("powered"):
        fix = "bluetoothctl power on (to keep it on: AutoEnable=true in /etc/bluetooth/main.conf)"
        return Finding(label, State.WRONG, "the adapter is off", fix)
    if not state.get("central", True):
        fix = "plug in a Bluetooth 4.0 or newer dongle"
        return Finding(label, State.WRONG, "the adapter does not support Bluetooth Low Energy", fix)
    return Finding(label, State.OK, f"on, {state.get('address', '')}".rstrip(", "))


def _group(probe: Probe) -> Finding:
    if probe.uid == 0 or probe.in_group("bluetooth"):
        return Finding("group", State.OK, "root" if probe.uid == 0 else "member of bluetooth")
    return Finding("group", State.OK, "not a member of bluetooth, but BlueZ answers")
