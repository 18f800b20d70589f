"""Compute what an estimate costs on a microcontroller: instructions, cycles, energy, and days on a 100 mAh cell.

    python benchmarks/bench_energy.py

Prints every table of docs/energy.md. Nothing is measured on a board: the instructions were counted in QEMU, and the
rest is arithmetic with published figures, each with its source beside it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

WINDOW_S = 10.0
CELL_MAH = 100.0
PANLUNA_MJ = 18.8
"""Energy of 12 leads of ten seconds on GAP9, mJ (PanLUNA, arXiv 2604.04297)."""

FRONT_END_PER_S = 68_000
"""Instructions of ``ecg_frontend`` per second of signal at 250 Hz, Cortex-M4, ``-Os`` (QEMU, 2026-11)."""
FRONT_END_PER_WINDOW = 251_000
"""Instructions of its window, Cortex-M4, ``-Os`` (QEMU, 2026-11)."""


@dataclass(frozen=True)
class Network:
    """A way to run the demonstration student.

    Attributes:
        name: Name for tables.
        instructions: Executed instructions per window, counted in QEMU.
        cpi: Cycles per instruction, lowest and highest.
    """

    name: str
    instructions: float
    cpi: tuple[float, float]


M4_CPI = (1.0, 1.7)
"""Arm's table for the Cortex-M4 with zero wait states: one cycle for most instructions, two for a load that is not
pipelined, up to three more for a taken branch. 1.7 has 40 loads and 10 taken branches in 100 instructions."""

C99_DSP = Network("plain C99 with DSP instructions", 5.31e6, M4_CPI)
C99 = Network("plain C99", 8.86e6, M4_CPI)
TFLM = Network("TFLite Micro with CMSIS-NN", 9.24e6, M4_CPI)
REFERENCE = Network("TFLite Micro, reference kernels", 31.7e6, M4_CPI)
NETWORKS = (C99_DSP, C99, TFLM, REFERENCE)


@dataclass(frozen=True)
class Part:
    """A microcontroller.

    Attributes:
        name: Name for tables.
        clock_hz: Clock.
        volt: Supply.
        run_ma: Current with the processor running.
        idle_ua: Current while it sleeps between samples, RAM retained.
        work: Cycles relative to a Cortex-M4 for the same work.
    """

    name: str
    clock_hz: float
    volt: float
    run_ma: float
    idle_ua: float
    work: float


NRF52840 = Part("nRF52840, 64 MHz", 64e6, 3.0, 3.3, 3.16, 1.0)
"""nRF52840 Product Specification, current consumption: CoreMark from flash with cache, DC/DC, 3.3 mA; System ON with
256 KB of RAM retained and the RTC running, 3.16 uA."""
ESP32_S3 = Part("ESP32-S3, 80 MHz", 80e6, 3.3, 28.4, 240.0, 3.31 / 2.56)
"""ESP32-S3 Series Datasheet: modem-sleep, 80 MHz, one core running, 28.4 mA; light-sleep, 240 uA. Its work is scaled by
CoreMark per MHz: 212 at 64 MHz (nRF52840), 613.86 at 240 MHz on one core (ESP32-S3)."""

TX_MA, RX_MA, RAMP_S, GAP_S = 6.40, 6.26, 140e-6, 150e-6
"""nRF52840 radio at 0 dBm with DC/DC, Product Specification; ramp-up, and the gap between two packets of a link."""
BYTE_S = 8e-6
LINK_BYTES = 1 + 4 + 2 + 4 + 3 + 3
"""Preamble, access address, header, L2CAP, ATT and CRC around a notification at 1 Mbit/s."""
EMPTY_BYTES = 1 + 4 + 2 + 3
EVENT_CPU_S = 0.5e-3
"""ASSUMPTION: processor time of the Bluetooth stack per connection event."""
FRAME_BYTES = 2 + 2 + 9 + 7 + 50
"""A DATA frame of 0.1 s at 250 Hz, as sent."""
ESTIMATE_BYTES = 2 + 2 + 9 + 11 + 12 * 5
"""An ESTIMATE frame of the demonstration student, as sent."""
AFE_UA = 170.0
"""AD8232 data sheet: typical supply current."""
IDLE_EVENT_S = 1.0
"""Interval of the connection while nothing is streamed."""


def cycles(network: Network, extra: float, part: Part) -> tuple[float, float]:
    """Return the lowest and highest cycles of a window on a part, with ``extra`` instructions beside the network."""
    low, high = ((network.instructions + extra) * cpi * part.work for cpi in network.cpi)
    return low, high


def joule(count: float, part: Part) -> float:
    """Return the energy of some cycles, J."""
    return count / part.clock_hz * part.run_ma * 1e-3 * part.volt


def event_uc(payload: int) -> float:
    """Return the charge of a connection event of the nRF52840 that sends a notification, uC."""
    receive = (RAMP_S + EMPTY_BYTES * BYTE_S + GAP_S) * RX_MA
    send = (LINK_BYTES + payload if payload else EMPTY_BYTES) * BYTE_S * TX_MA
    return 1e3 * (receive + send + EVENT_CPU_S * NRF52840.run_ma)


def average_ua(mode: str, network: Network, cpi: float, hop_s: float) -> dict[str, float]:
    """Return the average current of a patch with an nRF52840 by what causes it, uA."""
    part = NRF52840
    out = {"sleep": part.idle_ua, "front end": 0.0, "network": 0.0, "radio": event_uc(0) / IDLE_EVENT_S}
    per_cycle_uc = part.run_ma * 1e3 / part.clock_hz
    if mode != "streaming":
        out["front end"] = FRONT_END_PER_S * cpi * per_cycle_uc
        out["network"] = (network.instructions + FRONT_END_PER_WINDOW) * cpi * per_cycle_uc / hop_s
        out["radio"] += (event_uc(ESTIMATE_BYTES) - event_uc(0)) / hop_s
    if mode != "estimating":
        out["radio"] = event_uc(FRAME_BYTES) / 0.1 + (event_uc(ESTIMATE_BYTES) / hop_s if mode == "both" else 0.0)
    return out


def span(low: float, high: float, digits: int = 0) -> str:
    """Return two numbers as a range."""
    return f"{low:.{digits}f} to {high:.{digits}f}"


def network_table() -> str:
    """Return instructions, cycles, time and energy of a window by network and part."""
    rows = [
        "| network | part | instructions | cycles | milliseconds | microjoules | PanLUNA's energy divided by it |",
        "|---|---|---|---|---|---|---|",
    ]
    for network, part in [*((n, NRF52840) for n in NETWORKS), (C99, ESP32_S3)]:
        low, high = cycles(network, 0.0, part)
        energy = [1e6 * joule(c, part) for c in (low, high)]
        ratio = [PANLUNA_MJ * 1e3 / e for e in reversed(energy)]
        rows.append(
            f"| {network.name} | {part.name} | {network.instructions / 1e6:.2f} M | {span(low / 1e6, high / 1e6, 1)} M "
            f"| {span(1e3 * low / part.clock_hz, 1e3 * high / part.clock_hz)} | {span(*energy)} | {span(*ratio, 1)} |"
        )
    return "\n".join(rows)


def days_table() -> str:
    """Return average current and days on the cell by mode."""
    rows = [
        "| mode | estimate every | sleep | front end | network | radio | sum, uA | days | days with an AD8232 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for mode, hop_s in (("streaming", 10.0), ("estimating", 10.0), ("both", 10.0), ("estimating", 1.0)):
        low, high = (average_ua(mode, C99_DSP, cpi, hop_s) for cpi in C99_DSP.cpi)
        total = sorted(sum(part.values()) for part in (low, high))
        cells = [f"{low[k]:.1f}" if abs(low[k] - high[k]) < 0.05 else span(low[k], high[k], 1) for k in low]
        days, with_afe = ([CELL_MAH * 1e3 / (t + afe) / 24.0 for t in reversed(total)] for afe in (0.0, AFE_UA))
        shown = [f"{a[0]:.0f}" if round(a[0]) == round(a[1]) else span(*a) for a in (days, with_afe)]
        sums = f"{total[0]:.0f}" if round(total[0]) == round(total[1]) else span(*total)
        every = "-" if mode == "streaming" else f"{hop_s:.0f} s"
        rows.append(f"| {mode} | {every} | {' | '.join(cells)} | {sums} | {' | '.join(shown)} |")
    return "\n".join(rows)


def esp32_table() -> str:
    """Return the average current and days of an ESP32-S3 that estimates, without its radio."""
    part, rows = ESP32_S3, ["| part | sleep, uA | network, uA | days |", "|---|---|---|---|"]
    network = [c / part.clock_hz * part.run_ma * 1e3 / WINDOW_S for c in cycles(C99, FRONT_END_PER_WINDOW, part)]
    days = [CELL_MAH * 1e3 / (part.idle_ua + ua) / 24.0 for ua in reversed(network)]
    rows.append(f"| {part.name} | {part.idle_ua:.0f} | {span(*network)} | {span(*days, 1)} |")
    return "\n".join(rows)


def main() -> int:
    """Print the tables."""
    sys.stdout.write(f"{network_table()}\n\n{days_table()}\n\n{esp32_table()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
