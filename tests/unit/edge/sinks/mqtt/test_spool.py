"""The spool: every line comes out as it went in, in order, within its limit; what falls out is counted."""

from __future__ import annotations

import json
import random

import pytest

from edge.records import BundleRef, Estimate, LabEstimate, QualityRecord, WindowSpan, utc_text
from edge.sinks.mqtt.messages import event
from edge.sinks.mqtt.spool import SPOOL_BYTES, Spool


def line(number: int, labs: int = 12) -> str:
    rng = random.Random(number)
    values = [{"key": f"lab_{i}", "value": round(rng.random(), 6), "flag": False} for i in range(labs)]
    return json.dumps({"n": number, "labs": values})


def drained(spool: Spool) -> list[str]:
    out = []
    while (one := spool.take()) is not None:
        out.append(one)
    return out


@pytest.mark.parametrize("count", [0, 1, 8, 9, 40, 41, 100])
def test_lines_come_out_as_they_went_in(count: int) -> None:
    spool = Spool()
    for number in range(count):
        spool.put(line(number))
    assert len(spool) == count
    assert drained(spool) == [line(number) for number in range(count)]
    assert (len(spool), spool.size, spool.dropped) == (0, 0, 0)


def test_lines_that_are_given_back_are_the_first_again() -> None:
    spool = Spool()
    for number in range(60):
        spool.put(line(number))
    taken = [spool.take() for _ in range(5)]
    for number in range(60, 70):
        spool.put(line(number))
    spool.give_back([one for one in taken if one is not None])
    assert drained(spool) == [line(number) for number in range(70)]


def test_the_oldest_fall_out_and_are_counted() -> None:
    spool = Spool(limit=20_000)
    sizes = []
    for number in range(2000):
        spool.put(line(number))
        sizes.append(spool.size)
    assert max(sizes) <= 20_000
    kept = drained(spool)
    assert 10 < len(kept) < 2000
    assert spool.dropped == 2000 - len(kept)
    assert kept == [line(number) for number in range(2000 - len(kept), 2000)]


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_calls_keeps_the_order_and_the_count(seed: int) -> None:
    rng = random.Random(seed)
    spool, put, got = Spool(limit=8_000), 0, []
    for _ in range(1500):
        if rng.random() < 0.6:
            spool.put(line(put))
            put += 1
        else:
            taken = [one for _ in range(rng.randrange(8)) if (one := spool.take()) is not None]
            keep = rng.randrange(len(taken) + 1)
            got += taken[:keep]
            spool.give_back(taken[keep:])
    got += drained(spool)
    numbers = [json.loads(one)["n"] for one in got]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + spool.dropped == put
    assert spool.size == 0


def test_one_line_beyond_the_limit_falls_out() -> None:
    spool = Spool(limit=1000)
    spool.put("".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=50_000)))
    assert (len(spool), spool.size, spool.dropped) == (0, 0, 1)


def test_what_is_left_at_the_end_is_counted() -> None:
    spool = Spool()
    for number in range(50):
        spool.put(line(number))
    spool.take()
    spool.drop_all()
    assert (len(spool), spool.size, spool.dropped) == (0, 0, 49)


@pytest.mark.slow
def test_an_hour_of_108_outputs_every_second_fits() -> None:
    spool, rng = Spool(), random.Random(1)
    values = [rng.random() / 2 for _ in range(108)]
    for second in range(3600):
        labs = []
        values = [min(0.99, max(0.01, value + rng.gauss(0.0, 0.003))) for value in values]
        for i, value in enumerate(values):
            labs.append(
                LabEstimate(f"output_{i}", "2823-3", "1", value, (0.8 * value, 1.1 * value), 0.3, None, 9, "strong")
            )
        e = Estimate(
            utc_text((1_700_000_000 + second) * 10**9), True, "abc", "polar_h10", WindowSpan(second, second + 10.0),
            BundleRef("x", 64 * "a"), QualityRecord(rng.random()), 60.0 + rng.random(), tuple(labs),
            latency_ms={"total": 3.0 + rng.random()},
        )  # fmt: skip
        spool.put(event(e, "bedroom", live=True))
    assert spool.size < SPOOL_BYTES
    assert (len(spool), spool.dropped) == (3600, 0)
