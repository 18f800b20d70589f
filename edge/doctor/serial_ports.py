"""Checks of serial ports: permission, other users, latency timer, ModemManager, console."""

from __future__ import annotations

import os
import re

from edge.doctor.probe import Finding, Probe, State
from firmware_bridge.transports.serial_ports import SLOW_TIMER_MS, SerialPort, holders, latency_timer, list_ports

PORTS_MAX = 16
"""Most ports to check; enough for a full USB hub."""


def check(probe: Probe) -> list[Finding]:
    """Check every port that a patch may use."""
    ports = list_ports(probe.root)[:PORTS_MAX]
    if not ports:
        fix = "connect the patch with a cable that carries data, not only power; then check sudo dmesg | tail"
        return [Finding("serial port", State.SKIPPED, "no serial port; Bluetooth patches still work", fix)]
    out: list[Finding] = []
    for port in ports:
        out += _port(probe, port)
    return [*out, *_modem_manager(probe, ports), *_console(probe, ports)]


def _port(probe: Probe, port: SerialPort) -> list[Finding]:
    name = port.device.removeprefix("/dev/")
    detail = ", ".join(filter(None, (port.name, port.description)))
    if not probe.accessible(probe.path(port.device)):
        return [Finding(name, State.WRONG, f"no permission to open {port.name}", _permission_fix(probe, port))]
    others = holders(port.device, probe.root)
    if others:
        who = " and ".join(map(str, others))
        pids = " ".join(str(holder.pid) for holder in others if holder.pid)
        fix = f"if it is not a run of anyecg: kill {pids}" if pids else "end the program that uses it"
        out = [Finding(name, State.WARNING, f"{port.name} is in use by {who}", fix)]
    else:
        out = [Finding(name, State.OK, detail)]
    timer = latency_timer(port.device, probe.root)
    if timer is not None and timer[0] > SLOW_TIMER_MS:
        detail = f"its chip collects bytes for {timer[0]} ms (anyecg run sets 1 ms if it has permission)"
        out.append(Finding(f"{name} latency", State.WARNING, detail, f"echo 1 | sudo tee {timer[1]}"))
    return out


def _permission_fix(probe: Probe, port: SerialPort) -> str:
    group = _group_of(probe, port)
    user = probe.env.get("USER") or probe.env.get("LOGNAME") or "$USER"
    if probe.in_group(group) is False and probe.named_in_group(group, user):
        return f"log out and in again: {user} is a member of the group {group}, but this session started before that"
    if probe.in_group(group):
        return f"sudo chmod 660 {port.device}"
    return f"sudo usermod -aG {group} {user}, then log in again"


def _group_of(probe: Probe, port: SerialPort) -> str:
    try:
        number = os.stat(probe.path(port.device)).st_gid  # noqa: PTH116 - like the other os calls
    except OSError:
        return "dialout"
    for line in probe.text("/etc/group").splitlines():
        fields = line.split(":")
        # Joining the group root would be wrong; here the rules of udev need a fix.
        if len(fields) == 4 and fields[2] == str(number) and number != 0:
            return fields[0]
    return "dialout"


def _modem_manager(probe: Probe, ports: list[SerialPort]) -> list[Finding]:
    if not any(port.usb for port in ports):
        return []
    for pid in probe.names("/proc"):
        # The kernel cuts names of processes at 15 characters.
        if pid.isdecimal() and probe.text(f"/proc/{pid}/comm").startswith("ModemManager"[:15]):
            detail = "it is running: it opens every new serial port for half a minute and writes to it"
            return [Finding("ModemManager", State.WARNING, detail, "sudo systemctl disable --now ModemManager")]
    return [Finding("ModemManager", State.OK, "not running")]


def _console(probe: Probe, ports: list[SerialPort]) -> list[Finding]:
    consoles = set(re.findall(r"\bconsole=(\w+)", probe.text("/proc/cmdline")))
    out = []
    for port in ports:
        names = {port.device.removeprefix("/dev/"), port.name.removeprefix("/dev/")}
        if port.usb is None and names & consoles:
            detail = f"the system's console is on {port.name}: boot text and a login prompt mix with the samples"
            fix = "sudo raspi-config nonint do_serial_cons 1; sudo reboot"
            out.append(Finding("console", State.WARNING, detail, fix))
    return out
