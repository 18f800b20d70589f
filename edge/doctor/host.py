"""Checks of the computer: clock, power, temperature, and disk space."""

from __future__ import annotations

import re
import time

from edge.doctor.probe import Finding, Probe, State
from edge.store.forecast import fits

FIRST_YEAR = 2025
"""The year of the first release: a clock that shows an earlier year was never set."""
WARM_C, HOT_C = 80.0, 85.0
"""A Raspberry Pi slows down from 80 °C on and more from 85 °C on (its documentation, "Frequency management")."""
LOW_BYTES, FULL_BYTES = 1_000_000_000, 100_000_000
"""Free disk space for a warning and for an error, bytes: a day of raw frames and estimates fits into the first."""
POWER = {
    0: "the supply voltage is too low",
    1: "the clock frequency is capped",
    2: "it is throttled",
    3: "it is at its temperature limit",
}
"""Bits of ``get_throttled`` (Raspberry Pi documentation, "vcgencmd"); bits 16 to 19 mean the same since boot."""
_SUPPLY = "use the official power supply and a short cable; unplug USB devices that draw power"
_COOL = "add a heat sink or a fan, and keep it out of the sun"


def clock(probe: Probe) -> list[Finding]:
    """Check that something sets the wall clock; a Raspberry Pi has no battery clock."""
    name, fix = "clock", "connect to a network; sudo timedatectl set-ntp true"
    if time.gmtime().tm_year < FIRST_YEAR:
        return [Finding(name, State.WARNING, f"it shows {time.gmtime().tm_year}: the clock was never set", fix)]
    if probe.kernel_synced():
        return [Finding(name, State.OK, "synchronised (kernel)")]
    if probe.path("/run/systemd/timesync/synchronized").exists():
        return [Finding(name, State.OK, "synchronised (systemd-timesyncd)")]
    if probe.run("timedatectl", "show", "--property=NTPSynchronized", "--value").out.strip() == "yes":
        return [Finding(name, State.OK, "synchronised (timedatectl)")]
    chrony = probe.run("chronyc", "-n", "tracking")
    if re.search(r"^Leap status\s*:\s*Normal", chrony.out, re.MULTILINE):
        return [Finding(name, State.OK, "synchronised (chrony)")]
    if not chrony.absent:
        fix = "sudo chronyc -a makestep; chronyc sources shows its time servers"
    detail = 'not synchronised: until it is, estimates carry "clock_synced": false'
    return [Finding(name, State.WARNING, detail, fix)]


def power(probe: Probe) -> list[Finding]:
    """Check a Raspberry Pi for low voltage and throttling."""
    model = probe.text("/proc/device-tree/model") or probe.text("/sys/firmware/devicetree/base/model")
    if "Raspberry Pi" not in model:
        return [Finding("power", State.SKIPPED, "not a Raspberry Pi: throttling and low voltage cannot be read")]
    text = probe.text("/sys/devices/platform/soc/soc:firmware/get_throttled")
    if not text:
        ran = probe.run("vcgencmd", "get_throttled")
        text = ran.out.strip().rpartition("=")[2]
        if ran.absent or not text:
            why = "vcgencmd is not installed" if ran.absent else ran.last_line
            fix = (
                "sudo apt-get install raspi-utils" if ran.absent else "sudo usermod -aG video $USER, then log in again"
            )
            return [Finding("power", State.WARNING, f"{model}: the state cannot be read: {why}", fix)]
    try:
        bits = int(text, 16)
    except ValueError:
        return [Finding("power", State.WARNING, f"{model} reports an unknown state: {text[:40]!r}")]
    now = [what for bit, what in POWER.items() if bits >> bit & 1]
    past = [what for bit, what in POWER.items() if bits >> (bit + 16) & 1]
    if now:
        fix = _SUPPLY if bits & 0b0001 else _COOL
        return [Finding("power", State.WRONG if bits & 0b0101 else State.WARNING, f"now: {', '.join(now)}", fix)]
    if past:
        fix = _SUPPLY if bits & 1 << 16 else _COOL
        return [Finding("power", State.WARNING, f"since the last boot: {', '.join(past)}", fix)]
    return [Finding("power", State.OK, f"{model}: no throttling and no low voltage since boot")]


def temperature(probe: Probe) -> list[Finding]:
    """Check the temperature of the hottest sensor."""
    values = []
    for zone in probe.names("/sys/class/thermal"):
        text = probe.text(f"/sys/class/thermal/{zone}/temp") if zone.startswith("thermal_zone") else ""
        if re.fullmatch(r"-?\d{1,7}", text):
            values.append(int(text) / 1000)
    if not values:
        return [Finding("temperature", State.SKIPPED, "no sensor")]
    hottest = max(values)
    state = State.OK if hottest < WARM_C else State.WARNING if hottest < HOT_C else State.WRONG
    return [Finding("temperature", state, f"{hottest:.0f} °C", "" if state is State.OK else _COOL)]


def disk(probe: Probe) -> list[Finding]:
    """Check the free disk space for results, and that the root file system is writable."""
    out = []
    for line in probe.text("/proc/mounts").splitlines():
        fields = line.split()
        overlay = len(fields) > 2 and fields[2] in {"overlay", "squashfs", "tmpfs"}
        if len(fields) > 3 and fields[1] == "/" and "ro" in fields[3].split(",") and not overlay:
            fix = "sudo mount -o remount,rw / (a card that became read-only on its own is worn out: replace it)"
            out.append(Finding("file system", State.WRONG, "/ is mounted read-only", fix))
    free = probe.free_bytes(probe.folder)
    state = State.OK if free >= LOW_BYTES else State.WARNING if free >= FULL_BYTES else State.WRONG
    fix = "" if state is State.OK else "sudo apt-get clean; sudo journalctl --vacuum-size=100M; move old sessions away"
    return [*out, Finding("free disk", state, f"{free / 1e9:.1f} GB at {probe.folder}: {fits(free)}", fix)]
