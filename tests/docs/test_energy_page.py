"""The page on energy shows what its command prints, and the arithmetic behind it is right."""

from __future__ import annotations

import sys

import pytest

from helpers.firmware_build import HERE

sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))

import bench_energy as energy

ROOT = HERE.parents[1]


@pytest.mark.parametrize("table", ["network_table", "days_table", "esp32_table"])
def test_the_page_shows_the_tables(table):
    page = (ROOT / "docs" / "energy.md").read_text(encoding="utf-8")
    assert getattr(energy, table)() in page


def test_the_counts_are_those_of_the_network():
    page = (ROOT / "docs" / "micro.md").read_text(encoding="utf-8")
    for processor, network in (("Cortex-M4, DSP", energy.C99_DSP), ("Cortex-M4, plain", energy.C99)):
        (row,) = [row for row in page.splitlines() if row.startswith(f"| demonstration | {processor} |")]
        assert row.split(" | ")[5] == f"{network.instructions / 1e6:.2f} M"


def test_the_command_prints_them(capsys):
    assert energy.main() == 0
    assert capsys.readouterr().out.count("| plain C99") == 3


def test_energy_of_a_cycle():
    # 3.3 mA at 3 V for one second is 9.9 mJ, and 64 M cycles.
    assert energy.joule(64e6, energy.NRF52840) == pytest.approx(9.9e-3)


def test_the_longer_the_packet_the_more_charge():
    assert energy.event_uc(energy.ESTIMATE_BYTES) > energy.event_uc(energy.FRAME_BYTES) > energy.event_uc(0)
    # 70 bytes more take 560 microseconds at 6.4 mA.
    assert energy.event_uc(170) - energy.event_uc(100) == pytest.approx(70 * 8 * 6.4e-3)


def test_days_follow_from_the_current():
    alone = energy.average_ua("estimating", energy.C99_DSP, 1.0, 10.0)
    both = energy.average_ua("both", energy.C99_DSP, 1.0, 10.0)
    assert alone["network"] == pytest.approx((5.31e6 + 0.251e6) / 64e6 * 3300 / 10.0)
    assert both["radio"] > energy.average_ua("streaming", energy.C99_DSP, 1.0, 10.0)["radio"]
    assert sum(alone.values()) < sum(both.values())
