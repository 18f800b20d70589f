"""A thousand random disconnections: one session, every missing sample counted, no window across a gap, no leak."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from edge.engine import Engine
from edge.process.budget import rss_mib
from edge.records import Estimate
from edge.session import load, session_info
from edge.sources import SourceInfo
from edge.sources.wire import WireSource
from firmware_bridge import devices
from firmware_bridge.samples import LinkEventKind, SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.transports.serial import SerialTransport
from firmware_bridge.virtual.ecg import RecordingSignal
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
from helpers.serial_adversary import Adversary

FS_HZ = 250.0
TRUTH = np.clip(np.rint(EcgSynth(EcgParams(), 3).generate(round(97 * FS_HZ), FS_HZ) * 1000), -32767, 32767)
"""Counts of 1 µV that repeat: the value of a sample gives its index modulo 97 s."""
FORMED = {None, "poor_signal", "flat", "saturated", "scale_unknown"}
"""Abstention reasons of a window that was formed."""
RUNS = [pytest.param(1000, 0.0, marks=pytest.mark.slow), (120, 0.0), (120, 20.0)]
"""Disconnections, and seconds that the patch keeps to resend: with them fewer samples are lost, the sum is the same."""
WARM = 60
"""Connections until pools, caches and queues have reached their size."""


@dataclass
class Usage:
    """Resources that a process holds."""

    descriptors: int
    threads: int
    tasks: int
    objects: int
    rss_mib: float

    @classmethod
    def now(cls) -> Usage:
        gc.collect()
        return cls(
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            len(asyncio.all_tasks()),
            len(gc.get_objects()),
            rss_mib(),
        )


@dataclass
class Outcome:
    """Results that the host saw."""

    received: int = 0
    lost: int = 0
    connects: int = 0
    whole: bool = False
    gaps_s: list[tuple[float, float]] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)


def check_block(block: SampleBlock, outcome: Outcome) -> None:
    """Check that the loss before a block is exact: its samples are those of the resulting index."""
    index = outcome.received + outcome.lost + block.lost
    if block.lost:
        outcome.gaps_s.append(((index - block.lost) / FS_HZ, index / FS_HZ))
    wanted = TRUTH[(index + np.arange(len(block))) % len(TRUTH)]
    assert np.array_equal(block.samples, wanted), f"not the samples of index {index}"
    outcome.lost += block.lost
    outcome.received += len(block)


async def listen(source: WireSource, engine: Engine, adversary: Adversary) -> Outcome:
    outcome, last = Outcome(), 0
    async for item in source.items():
        assert adversary.fault is None, adversary.fault
        outcome.estimates += engine.push(item).estimates
        if isinstance(item, SampleBlock):
            check_block(item, outcome)
        elif item.kind is LinkEventKind.CONNECTED:
            outcome.connects += 1
            if outcome.connects == WARM:
                outcome.usage.append(Usage.now())
        else:
            # A patch that is still resending one part refuses to begin another.
            assert item.kind is not LinkEventKind.RESTARTED, item
            assert item.kind is not LinkEventKind.REFUSED or "RESEND: busy" in item.detail, item
        if adversary.last and outcome.connects > adversary.times:
            last = last or outcome.received
            if outcome.received - last > 1000:
                adversary.slowly.set()
            if adversary.slowly.is_set() and outcome.received + outcome.lost == adversary.patch.truth.samples_made:
                # Received plus lost samples are all that the patch measured: nothing was lost silently.
                outcome.whole = True
                break
    outcome.usage.append(Usage.now())
    adversary.finish.set()
    await source.close()
    return outcome


def disconnect_at_random(link: Path, times: int, config: PatchConfig) -> tuple[Outcome, Adversary, Engine]:
    loaded = load("demo", "litert-reference")
    patch = VirtualPatch(RecordingSignal(TRUTH * 1e-3, loop=True), config, seed=5)
    device = devices.get("anyecg_patch")
    transport = SerialTransport(str(link), 115_200, backoff_s=(0.0005, 0.004))
    info = SourceInfo(url=f"serial:{link}", device="patch", live=True, host_clock=True, arrival_timed=True)
    source = WireSource(transport, device, info)
    # Faster than real time, and the faster while nobody is connected: gaps are not held against the host's clock.
    engine = Engine(loaded.bundle, loaded.model, replace(session_info(source), stalls=False))
    adversary = Adversary(patch, link, times, seed=times)
    adversary.start()
    outcome = asyncio.run(listen(source, engine, adversary))
    adversary.join(120.0)
    assert adversary.fault is None, adversary.fault
    return outcome, adversary, engine


def judge(outcome: Outcome, adversary: Adversary, engine: Engine, times: int) -> None:
    assert outcome.connects == times + 1
    assert adversary.cut_in_frames > times // 3
    assert outcome.whole
    assert engine.timeline.lost_samples == outcome.lost
    assert len({e.session for e in outcome.estimates}) == 1
    formed = [e.window for e in outcome.estimates if e.abstained in FORMED]
    assert len(formed) > times / 100  # most connections are too short for a window, the more so on a busy machine
    starts, ends = (np.array(column) for column in zip(*outcome.gaps_s, strict=True))
    for window in formed:
        crossed = (starts < window.end_s - 0.02) & (ends > window.start_s + 0.02)
        assert not crossed.any(), f"{window} spans {outcome.gaps_s[int(np.flatnonzero(crossed)[0])]}"
    assert {e.abstained for e in outcome.estimates} > {"gap"}


def judge_usage(outcome: Outcome) -> None:
    before, after = outcome.usage
    assert after.descriptors <= before.descriptors
    assert after.tasks <= before.tasks
    assert after.threads <= before.threads + 8
    # Memory that this test itself needs: gaps, estimates and their parts.
    kept = 40 * len(outcome.estimates) + 4 * len(outcome.gaps_s)
    assert after.objects - before.objects < kept + 2000
    assert after.rss_mib - before.rss_mib < 24.0


@pytest.mark.parametrize(("times", "ring_s"), RUNS)
def test_random_disconnects(tmp_path: Path, times: int, ring_s: float) -> None:
    outcome, adversary, engine = disconnect_at_random(tmp_path / "tty", times, PatchConfig(ring_s=ring_s))
    judge(outcome, adversary, engine, times)
    judge_usage(outcome)
