"""Decoding stays cheap: 1 % of a core at 1 kHz, 2 s for an hour's frames; as a ratio, to hold on any machine.

On the machine of the budget one turn of an empty loop takes 0.011 microseconds: 1 % of a core is 900 turns per sample.
``benchmarks/bench_decoders.py`` checks the budget itself; this test allows half as much again for busy machines.
"""

import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[4] / "benchmarks"))

from bench_decoders import grouped, stream, timed

from helpers.devices_frames import CASES

TURN_S = 0.011e-6
TURNS_LIVE = 1.5 * 10e-6 / TURN_S
TURNS_AN_HOUR = 1.5 * 2.0 / TURN_S


def turn_s() -> float:
    best = 1.0
    for _ in range(3):
        begin = time.thread_time()
        for _turn in range(200_000):
            pass
        best = min(best, (time.thread_time() - begin) / 200_000)
    return best


@pytest.mark.parametrize("name", CASES)
def test_decoding_is_cheap(name):
    case = CASES[name]
    pieces, rate, samples = stream(name, 8.0)
    recorded = pieces if case.notify else grouped(pieces, 65_536)
    turn = turn_s()
    assert timed(case, name, pieces, samples) / samples / turn < TURNS_LIVE
    assert timed(case, name, recorded, samples) / samples * rate * 3600 / turn < TURNS_AN_HOUR
