"""`edge.open`: the same results as the runtime, for ``for`` and ``async for``, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import itertools
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edge
from edge.api import channel
from edge.api.channel import Channel
from edge.api.stream import Stream
from edge.api.waves import waves_of
from edge.device_profile import MeasuredProfile, to_toml
from edge.engine import Engine
from edge.session import load, session_info
from edge.sinks.memory import MemorySink
from edge.sources import SourceInfo, open_source
from edge.waves.features import NAMES
from edge.waves.measure import WaveMeter
from edge.waves.record import DIGITS
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.virtual import PatchConfig, VirtualPatch
from firmware_bridge.virtual.ecg import PatientOptions, PatientSignal
from helpers.patch_on_net import PatchOnNet

SIM = "sim:?potassium=6.5&seed=1&speed=max&seconds=30"
LOSSY = SIM + "&faults=drop=0.02"


@pytest.fixture(autouse=True)
def no_thread_stays():
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and not t.name.startswith("asyncio_")]
    if left:
        gc.collect()
    for thread in left:
        while thread.ident is None:  # start() was interrupted before the thread ran
            time.sleep(0.01)
        thread.join(5)
    assert not [t for t in left if t.is_alive()]


def expected(url: str) -> MemorySink:
    """What the runtime gives for a source."""
    from edge.session import run

    sink = MemorySink()
    run(open_source(url), load("demo"), [sink], seconds=None, hop_s=1.0)
    return sink


def plain(e: edge.Estimate) -> tuple[object, ...]:
    return e.window, e.labs, e.abstained, e.heart_rate_bpm, e.quality, e.session


def test_results_are_those_of_the_runtime() -> None:
    told = expected(LOSSY)
    stream = edge.open(LOSSY)
    assert [plain(e) for e in stream.estimates()] == [plain(e) for e in told.estimates]
    assert [b.time_s for b in stream.beats()] == told.beats_s
    assert [e.kind for e in stream.events()] == [e.kind for e in told.events]
    assert any(e.labs for e in told.estimates)


def test_the_stream_itself_gives_everything_in_order() -> None:
    items = list(edge.open(LOSSY))
    kinds = {type(item) for item in items}
    assert kinds == {edge.Samples, edge.Gap, edge.Beat, edge.Estimate, LinkEvent}
    samples = [i for i in items if isinstance(i, edge.Samples)]
    gaps = [i for i in items if isinstance(i, edge.Gap)]
    assert sum(s.first for s in samples) == len(gaps) + 1
    for before, after in itertools.pairwise(samples):
        if after.first:
            (gap,) = [g for g in gaps if abs(g.end_s - after.start_s) < 2e-3]
            assert gap.start_s == pytest.approx(before.end_s, abs=2e-3)
        else:
            assert after.start_s == pytest.approx(before.end_s, abs=1e-3)
    for beat in (i for i in items if isinstance(i, edge.Beat)):
        assert beat.rr_s is None or not any(beat.time_s - beat.rr_s < g.end_s <= beat.time_s for g in gaps)
    assert LinkEventKind.END in [i.kind for i in items[-3:] if isinstance(i, LinkEvent)]


def test_samples_are_those_of_an_array() -> None:
    ecg = EcgSynth(EcgParams(), 1).generate(5000, 250.0)
    ecg[2500:2600] = np.nan
    stream = edge.open(ecg, fs_hz=250.0)
    samples = list(stream.samples())
    assert [s.unit for s in samples] == ["mV"] * len(samples)
    at = np.rint(np.concatenate([s.time_s for s in samples]) * 250).astype(np.intp)
    found = np.full(5000, np.nan)
    found[at] = np.concatenate([s.ecg_mv for s in samples])
    np.testing.assert_array_equal(found, ecg.astype(np.float32).astype(np.float64))
    assert [b.rr_s is None for b in stream.beats()].count(True) == 2


def test_a_recording_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "an ecg?.csv"
    ecg = EcgSynth(EcgParams(), 1).generate(5000, 250.0)
    path.write_text("\n".join(["ecg_mv", *(f"{v:.4f}" for v in ecg)]))
    for source in (path, str(path)):
        estimates = edge.Estimates(edge.open(source, fs_hz=250.0).estimates())
        assert estimates.answer is not None
        assert estimates.answer.heart_rate_bpm == pytest.approx(70, abs=2)


def test_counts_are_not_given_as_millivolts(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("\n".join(["ecg", *(str(round(v * 1000)) for v in EcgSynth(EcgParams(), 1).generate(3000, 250.0))]))
    samples = next(iter(edge.open(f"replay:{path}?unit=counts&fs=250&speed=max").samples()))
    assert samples.unit == "counts"
    with pytest.raises(edge.InputError, match="scale"):
        samples.ecg_mv  # noqa: B018


def test_a_device_profile_gives_millivolts(tmp_path: Path) -> None:
    counts, profile = tmp_path / "counts.csv", tmp_path / "board.toml"
    ecg = EcgSynth(EcgParams(), 1).generate(3000, 250.0)
    counts.write_text("\n".join(["ecg", *(str(round(v * 1000)) for v in ecg), ""]))
    board = MeasuredProfile(
        device="anyecg_patch", device_id=None, unit="counts", lsb_mv=0.001, lsb_relative_uncertainty=0.003,
        polarity=1, polarity_known=True, offset=0.0, fs_nominal_hz=250.0, fs_hz=250.0, fs_from="sine", noise_mv=0.01,
        low_cut_hz=0.05, response={5.0: 1.0}, made="2026-01-01T00:00:00.000Z", how="test", source="sim:",
    )  # fmt: skip
    profile.write_text(to_toml(board))
    stream = edge.open(counts, fs_hz=250.0, device_profile=profile)
    found = np.concatenate([s.ecg_mv for s in stream.samples()])
    np.testing.assert_allclose(found, np.rint(ecg * 1000) / 1000, atol=1e-9)


def test_waves_are_those_of_the_estimates() -> None:
    waves, estimates = list(edge.open(SIM).waves()), list(edge.open(SIM).estimates())
    assert [(w.start_s, w.end_s, w.rejected) for w in waves] == [
        (e.window.start_s, e.window.end_s, e.abstained) for e in estimates
    ]
    for w, e in zip(waves, estimates, strict=True):
        for name in DIGITS:
            value = None if e.waves is None else getattr(e.waves, name)
            assert w[name] == pytest.approx(np.nan if value is None else value, nan_ok=True)


def test_waves_measure_the_average_beat() -> None:
    waves = list(edge.open(SIM).waves())
    measured = [w for w in waves if w.rejected is None]
    assert {w.rejected for w in waves} == {None, "warming_up"}
    assert [w.end_s for w in waves] == pytest.approx([e.window.end_s for e in edge.open(SIM).estimates()], abs=0.01)
    assert all(250 < w["qt_ms"] < 550 and 60 < w["qrs_ms"] < 160 for w in measured)
    assert all(np.isnan(w["qt_ms"]) for w in waves if w.rejected)
    assert all(set(NAMES) <= w.features.keys() for w in waves)
    assert all(55 < w["hr_bpm"] < 90 and 0.0 < w["t_r"] < 1.0 and w["u_r"] > -1.0 for w in measured)


def test_st_of_a_device_that_filters_it_is_unknown() -> None:
    synth, meter = EcgSynth(EcgParams(), 1), WaveMeter(250)
    raw = synth.generate(2500, 250.0)
    beats = np.array([round(125 * b.r_time_s) for b in synth.take_beats() if 0.2 < b.r_time_s < 9.8])
    e = next(e for e in edge.open(SIM).estimates() if e.labs)
    for reason in (None, "band"):
        meter.st_reason = reason
        found = waves_of(replace(e, waves=meter.measure(raw, beats, scale_known=True)), meter, beats)
        assert found["qt_ms"] > 0.0
        assert np.isnan([found["st_mv"], found["st_r"], found["t_area_r"]]).all() == (reason is not None)
    nothing = waves_of(replace(e, waves=meter.measure(raw, beats[:2], scale_known=True)), meter, beats)
    assert nothing.rejected is None
    assert np.isnan(nothing["qt_ms"])
    assert nothing["beats"] == len(beats)


def test_async_gives_the_same() -> None:
    async def collect() -> list[edge.Estimate]:
        async with edge.open(SIM) as stream:
            return [e async for e in stream.estimates()]

    assert [plain(e) for e in asyncio.run(collect())] == [plain(e) for e in expected(SIM).estimates]


def test_a_plain_loop_works_inside_a_running_event_loop() -> None:
    async def cell() -> int:
        return sum(1 for _ in edge.open(SIM).estimates())

    assert asyncio.run(cell()) == len(expected(SIM).estimates)


def test_the_event_loop_runs_while_an_iteration_waits() -> None:
    async def both() -> tuple[int, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticker = asyncio.create_task(tick())
        async with edge.open("sim:?seed=1&speed=20", seconds=10) as stream:
            beats = [b async for b in stream.beats()]
        ticker.cancel()
        return ticks, len(beats)

    ticks, beats = asyncio.run(both())
    assert beats > 5
    assert ticks > 10


def test_leaving_the_loop_ends_the_run() -> None:
    stream = edge.open("sim:?seed=1&speed=50")
    for beat in stream.beats():
        assert beat.time_s > 0
        break

    def fail() -> None:
        for _ in stream.samples():
            1 / 0  # noqa: B018

    with pytest.raises(ZeroDivisionError):
        fail()
    stream.close()
    stream.close()
    assert sum(1 for _ in edge.open("sim:?seed=1&speed=50", seconds=3).samples()) > 10


def test_the_with_block_ends_an_iteration_that_is_held() -> None:
    with edge.open("sim:?seed=1&speed=50") as stream:
        beats = iter(stream.beats())
        next(beats)
    assert list(beats) == []

    async def held() -> None:
        async with edge.open("sim:?seed=1&speed=50") as stream:
            beats = aiter(stream.beats())
            await anext(beats)
        assert [b async for b in beats] == []

    asyncio.run(held())


def test_a_new_iteration_ends_the_one_before() -> None:
    with edge.open("sim:?seed=1&speed=50") as stream:
        first = iter(stream.samples())
        next(first)
        second = iter(stream.beats())
        next(second)
        with pytest.raises(edge.UsageError, match="another iteration"):
            list(first)
        next(second)


def test_cancelling_a_task_ends_the_run() -> None:
    async def cancelled() -> None:
        async def work() -> None:
            async for _ in edge.open("sim:?seed=1").estimates():
                pass

        task = asyncio.create_task(work())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals need the main thread")
def test_ctrl_c_ends_a_waiting_iteration() -> None:
    def wait() -> None:
        for _ in edge.open("sim:?seed=1&speed=1").estimates():
            pass

    main = threading.main_thread().ident
    assert main is not None
    killer = threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        killer.start()
        with pytest.raises(KeyboardInterrupt):
            wait()
    finally:
        killer.join()
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_the_thread_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that nobody can stop would keep the patch connected; `no_thread_stays` looks for it."""
    stream, start = edge.open("sim:?seed=1&speed=1"), threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name.startswith("anyecg"):
            raise KeyboardInterrupt

    estimates = iter(stream.estimates())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(estimates)


def test_errors_come_to_the_consumer() -> None:
    with pytest.raises(edge.LinkError, match="nowhere"):
        list(edge.open("serial:/dev/nowhere?wait=0").samples())

    async def fail() -> None:
        async for _ in edge.open("serial:/dev/nowhere?wait=0").samples():
            pass

    with pytest.raises(edge.LinkError, match="nowhere"):
        asyncio.run(fail())


class Failing:
    """A source that fails after a few blocks."""

    def __init__(self, error: Exception) -> None:
        self.error, self.closed = error, 0
        self.info = SourceInfo("failing:", "failing", live=False, host_clock=False)

    async def items(self):
        for k in range(1, 6):
            yield SampleBlock(np.zeros(50, np.int32), "counts", 1e-3, 250.0, None, k * 200_000_000)
        raise self.error

    async def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("error", [edge.LinkError("gone"), ValueError("a fault of the kit")])
def test_what_came_before_an_error_is_delivered(error: Exception) -> None:
    source = Failing(error)
    samples = iter(Stream(lambda: source, edge.load_bundle()).samples())
    found = []
    with pytest.raises(type(error), match=str(error)):
        found += list_until(samples, found)
    assert sum(map(len, found)) == 250
    assert source.closed >= 1


def list_until(items, found: list) -> list:
    for item in items:
        found.append(item)  # what is found before an error counts
    return []


def test_a_model_that_does_not_load_closes_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise edge.BundleError("no model")

    monkeypatch.setattr(edge.Bundle, "load", fail)
    source = Failing(ValueError())
    with pytest.raises(edge.BundleError, match="no model"):
        list(Stream(lambda: source, edge.load_bundle()).estimates())
    assert source.closed == 1


def test_an_iteration_may_be_left_at_any_moment() -> None:
    """Threads, tasks and plain loops that stop after a random number of results, or before the first."""
    rng = np.random.default_rng(0)

    async def some(count: int) -> None:
        async with edge.open("sim:?seed=1&speed=max") as stream:
            async for _ in stream:
                count -= 1
                if count < 0:
                    break

    def work(seed: int) -> None:
        for count in np.random.default_rng(seed).integers(0, 30, 4).tolist():
            items = iter(edge.open("sim:?seed=1&speed=max"))
            for _ in range(count):
                next(items)
            items.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for count in rng.integers(0, 30, 4).tolist():
        asyncio.run(some(count))
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("call", "error", "word"),
    [
        (lambda: edge.open("nowhere.edf"), edge.UsageError, "replay:nowhere.edf"),
        (lambda: edge.open(Path("nowhere.edf")), edge.InputError, "nowhere.edf"),
        (lambda: edge.open("sim:", bundle="nowhere"), edge.BundleError, "nowhere"),
        (lambda: edge.open("sim:", bundle=3), edge.UsageError, "int is no bundle"),
        (lambda: edge.open("sim:", hop_s=0), edge.UsageError, "hop"),
        (lambda: edge.open("sim:", seconds=-1), edge.UsageError, "seconds"),
        (lambda: edge.open("sim:?speed=2", speed=3), edge.UsageError, "speed"),
        (lambda: edge.open([0.0] * 3000), edge.UsageError, "fs_hz"),
        (lambda: edge.open([0.0] * 3000, fs_hz=10), edge.InputError, "10 Hz"),
        (lambda: edge.open([0.0] * 3000, fs_hz=250, speed=1), edge.UsageError, "speed"),
        (lambda: edge.open(np.zeros((3000, 2)), fs_hz=250), edge.InputError, r"\(3000, 2\)"),
        (lambda: edge.open(np.zeros(3000, complex), fs_hz=250), edge.InputError, "complex"),
        (lambda: edge.open([[1.0], [1.0, 2.0]], fs_hz=250), edge.InputError, "one lead"),
    ],
)
def test_wrong_calls_end_in_an_error_of_the_kit(call, error, word) -> None:
    with pytest.raises(error, match=word):
        call()


def test_a_stream_that_was_never_read_is_released(tmp_path: Path) -> None:
    path = tmp_path / "raw.aer"
    with edge.open(f"record:{path},sim:?seed=1", speed="max"):
        pass
    assert path.exists()


def test_a_port_is_released_in_the_middle() -> None:
    async def main() -> None:
        patch = VirtualPatch(PatientSignal(PatientOptions(70.0, 4.0, 1.2, 1.0), 1), PatchConfig(), seed=1)
        async with PatchOnNet(patch) as net:
            stream = edge.open(f"tcp:127.0.0.1:{net.port}")
            feed = asyncio.create_task(_play(net))
            found = 0
            async for samples in stream.samples():
                found += len(samples)
                if found > 500:
                    break
            await stream.aclose()
            async with asyncio.timeout(30):
                while net.writer is not None:
                    await asyncio.sleep(0.01)
            feed.cancel()

    asyncio.run(main())


async def _play(net: PatchOnNet) -> None:
    await net.streaming()
    while True:
        await net.run(0.1)
        await asyncio.sleep(0.01)


def test_a_program_that_ends_in_the_middle_ends_at_once() -> None:
    code = (
        "import edge\n"
        "beats = iter(edge.open('sim:?seed=1&speed=50').beats())\n"
        "print(next(beats).time_s > 0)\n"
        "samples = iter(edge.open('sim:?seed=1&speed=max').samples())\n"
        "print(len(next(samples)) > 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\nTrue\n", "")


def test_a_recording_waits_for_a_slow_consumer() -> None:
    stream = edge.open("sim:?seed=1&speed=max", seconds=150)
    samples = iter(stream.samples())
    next(samples)
    run = stream._iterations._run
    assert run is not None
    deadline = time.monotonic() + 30
    while not run.channel.full and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    waiting = len(run.channel._items)
    # What was on the way to the engine still comes: its queue and one batch, each block once.
    assert channel.WAITING_MAX <= waiting < channel.WAITING_MAX + 150
    assert sum(len(s) for s in samples) > 150 * 250 - 100
    assert stream.dropped == 0


def test_a_live_source_drops_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "LIVE_WAITING_MAX", 3)
    queue: Channel[int] = Channel(live=True, on_room=lambda: None)
    for number in range(5):
        queue.put(number)
    assert not queue.full
    assert queue.dropped == 2
    assert queue.get() == [2, 3, 4]
    queue.end(ValueError("over"))
    with pytest.raises(ValueError, match="over"):
        queue.get()
    assert queue.get() == []


def test_no_model_is_loaded_for_beats() -> None:
    code = (
        "import sys, edge\n"
        "print(sum(1 for _ in edge.open('sim:?seed=1&speed=max&seconds=10').beats()) > 5)\n"
        "print('ai_edge_litert' in sys.modules, 'scipy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["True", "False False"], done.stderr


def test_engine_and_session_of_the_runtime_fit_together() -> None:
    """The names that were public before keep working with a bundle of `edge.load_bundle`."""
    bundle = edge.load_bundle("demo")
    engine = Engine(bundle, edge.load_model(bundle), session_info(edge.open_source(SIM)))
    assert engine.finish().estimates == []
