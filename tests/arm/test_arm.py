"""The device tier on emulated ARM processors, against the same commit on this machine.

``make arm`` downloads the machines and runs this. On 64-bit ARM every field of every estimate equals this machine's. On
32-bit ARM another interpreter runs the model (tflite-runtime, older kernels), which may round an output by one step
where LiteRT rounds it by one step the other way: two steps are allowed there.
"""

from __future__ import annotations

import json
import math
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from jobs import HOST, Jobs, done, here
from machines import AARCH64_311, AARCH64_313, ARMHF_311, MACHINES, REPO, Machine

from edge.bundle.reader import load_bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HOST_FIELDS = {"time", "clock_synced", "session", "latency_ms"}
"""Fields of an estimate that depend on the machine and the moment; everything else depends on the samples alone."""
STEPS = 2.0
"""Allowed on 32-bit ARM, in steps of the model's int8 output: one for each of the two interpreters."""
CPUS = [
    (AARCH64_311, "cortex-a53"),
    (AARCH64_313, "cortex-a53"),
    (AARCH64_313, "cortex-a72"),
    (AARCH64_313, "cortex-a76"),
    (ARMHF_311, "cortex-a7"),
]
SIMULATION = "sim:?potassium=6.5&seed=1&speed=max&faults=leadoff@20:2"
RECORDING_HZ, RECORDING_S = 360, 120


def simulation(jobs: Jobs, machine: Machine | None, cpu: str = "") -> Future:
    return jobs.estimates(machine, "sim", "run", "--source", SIMULATION, "--seconds", "60", cpu=cpu)


def replay(jobs: Jobs, machine: Machine | None, cpu: str = "") -> Future | None:
    recording = record_100(jobs.folder)
    source = f"replay:{recording}?fs={RECORDING_HZ}&lsb_mv=0.005&unit=counts&speed=max"
    return jobs.estimates(machine, "replay", "run", "--source", source, cpu=cpu) if recording else None


def demonstration(jobs: Jobs, machine: Machine | None) -> Future:
    # Every second second: an emulated processor is ten times slower than a real one.
    name = machine.name if machine else HOST
    picture = ["--picture", str(jobs.folder / f"demo-{name}.svg")]
    return jobs.estimates(machine, "demo", "demo", "--seconds", "30", "--hop", "2", *picture, live=True)


def record_100(folder: Path) -> Path | None:
    """Two minutes of MIT-BIH record 100, lead MLII, as text: what a device without the WFDB library replays."""
    recording, text = REPO.parent / "shared" / "data" / "mitdb_100" / "100.dat", folder / "100.csv"
    if not recording.is_file():
        return None
    if not text.exists():
        packed = np.fromfile(recording, np.uint8, 3 * RECORDING_HZ * RECORDING_S).reshape(-1, 3).astype(np.int32)
        counts = packed[:, 0] | (packed[:, 1] & 0x0F) << 8  # format 212: two samples of 12 bits in three bytes
        counts -= (counts >> 11) << 12
        text.write_text("\n".join(map(str, counts.tolist())) + "\n")
    return text


STARTS = {"test_simulation": simulation, "test_replay": replay, "test_demonstration": demonstration}
"""What each test needs, so that all of it is started before the first result is waited for."""


def read(future: Future) -> list[dict]:
    """The estimates that a finished command wrote, without what depends on the machine."""
    out = Path(done(future).args[-1])
    estimates = [json.loads(line) for line in out.read_text().splitlines()]
    return [{key: value for key, value in one.items() if key not in HOST_FIELDS} for one in estimates]


def accepted(estimates: list[dict]) -> int:
    return sum(one["abstained"] is None for one in estimates)


def assert_same(machine: Machine, ours: list[dict], theirs: list[dict], at_least: int) -> None:
    """Equal on 64-bit ARM; on 32-bit ARM all but the laboratory values, and these within the interpreters' rounding.

    There, flags are equal, too, unless a value is as close to its threshold as that rounding.
    """
    assert accepted(ours) >= at_least
    if machine is not ARMHF_311:
        assert theirs == ours
        return
    assert [{**one, "labs": None} for one in theirs] == [{**one, "labs": None} for one in ours]
    worst, widest = 0.0, 0.0
    for one, other in zip(ours, theirs, strict=True):
        for lab, same in zip(one["labs"], other["labs"], strict=True):
            # A value within the rounding of its threshold may be flagged by one interpreter alone.
            limit = lab["threshold"]
            near = limit is not None and steps(lab["key"], lab["value"], limit) <= STEPS
            blank = {"value": 0, "interval": 0} | ({"flag": None} if near else {})
            assert {**lab, **blank} == {**same, **blank}
            worst = max(worst, steps(lab["key"], lab["value"], same["value"]))
            ends = zip(lab["interval"], same["interval"], strict=True)
            widest = max(widest, *(steps(lab["key"], a, b) for a, b in ends))
    print(f"{machine.name}: values at most {worst:.2f} output steps apart, ends of intervals {widest:.2f}")
    assert worst <= STEPS
    assert widest <= 2.0 * STEPS


def steps(key: str, ours: float, theirs: float) -> float:
    """Difference of two values of a head in steps of the model's int8 output."""
    bundle = load_bundle("demo")
    head = next(head for head in bundle.manifest.outputs if head.key == key)
    step = bundle.calibration[key].slope * bundle.manifest.output.scale
    if head.kind == "probability":
        ours, theirs = (math.log(p / (1.0 - p)) for p in (ours, theirs))
    return abs(ours - theirs) / abs(step)


@pytest.mark.parametrize(("machine", "cpu"), CPUS, ids=lambda x: getattr(x, "name", x))
def test_simulation(jobs, machine, cpu):
    theirs = simulation(jobs, here(machine), cpu)
    assert_same(machine, read(simulation(jobs, None)), read(theirs), 20)


@pytest.mark.parametrize(("machine", "cpu"), CPUS, ids=lambda x: getattr(x, "name", x))
def test_replay(jobs, data_dir, machine, cpu):
    theirs = replay(jobs, here(machine), cpu)
    assert_same(machine, read(replay(jobs, None)), read(theirs), 100)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_demonstration(jobs, machine):
    """A virtual patch in a process of its own, a pseudo-terminal, and the chain; ends with 0, so within its budgets."""
    theirs = demonstration(jobs, here(machine))
    mine, other = read(demonstration(jobs, None)), read(theirs)
    # Both run in real time: on a busy computer, one may end a hop earlier.
    hops = min(len(mine), len(other))
    assert max(len(mine), len(other)) - hops <= 1
    assert_same(machine, mine[:hops], other[:hops], 6)
    print(next(line for line in theirs.result().stdout.splitlines() if line.startswith("memory")), machine.name)
    assert "<svg" in (jobs.folder / f"demo-{machine.name}.svg").read_text()
