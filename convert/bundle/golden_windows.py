"""Windows for golden vectors: of recordings, topped up with simulated patients where there are too few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edge.bundle.schema import FrontEndName
from edge.chain import SignalChain
from edge.frontend import ecgfounder
from edge.frontend.stream import normalise_window
from edge.grid.timeline import Timeline, Uniform
from edge.window import Window
from firmware_bridge.samples import SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.synth.noise import NoiseParams, NoiseSource

GOLDEN_WINDOWS = 8
"""Golden windows of a bundle. The self-test refuses fewer than four."""

GRID_HZ = 500
SECONDS = 30.0
"""Length of a simulated recording: three windows with a hop of 5 s after the filter and the detector have settled."""
PER_PATIENT = 2
HOP_S = 5.0

Shapes = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Raw windows ``(n, 5000)`` at 500 Hz, and the same windows from ``stream/1``, ``(n, 1250)`` at 125 Hz."""


def golden_inputs(windows: NDArray[np.floating], front_end: FrontEndName, clamp: float) -> NDArray[np.float32]:
    """Return the first windows of recordings, and simulated ones for those that are missing.

    A cohort of a few short recordings gives fewer windows than a self-test needs to show anything.

    Args:
        windows: z-scores as a model takes them, ``(n, samples)``.
        front_end: The front end that made them.
        clamp: Largest absolute z-score of the model's input.

    Returns:
        z-scores, ``(GOLDEN_WINDOWS, samples)``.
    """
    found = windows[:GOLDEN_WINDOWS].astype(np.float32)
    missing = GOLDEN_WINDOWS - len(found)
    if not missing:
        return found
    more = np.clip(model_inputs(front_end, simulated(missing)), -clamp, clamp)
    return np.concatenate([found, more.astype(np.float32)])


def model_inputs(front_end: FrontEndName, shapes: Shapes) -> NDArray[np.float64]:
    """Return windows as the front end gives them to a model: z-scores, clamped, ``(n, samples)``.

    Raises:
        MissingExtraError: The front end needs scipy, which is not installed.
    """
    raw, filtered = shapes
    if front_end == "stream/1":
        return normalise_window(filtered)
    z = ecgfounder.EcgFounderFrontEnd()
    return np.clip(np.stack([z(window) for window in raw]), -ecgfounder.CLAMP, ecgfounder.CLAMP)


@cache
def simulated(count: int) -> Shapes:
    """Return windows of simulated patients of different shapes and rates; the same number gives the same windows.

    Args:
        count: Number of windows.
    """
    found: list[Window] = []
    seed = 0
    while len(found) < count:
        seed += 1
        found += list(_of_patient(seed))[:PER_PATIENT]
    return _stacked(found[:count])


def _stacked(windows: Sequence[Window]) -> Shapes:
    return np.stack([w.raw for w in windows]), np.stack([w.filtered for w in windows])


def _of_patient(seed: int) -> Iterator[Window]:
    draw = np.random.default_rng([seed, 12])
    params = EcgParams(
        hr_bpm=float(draw.uniform(50.0, 110.0)),
        pr_ms=float(draw.uniform(130.0, 210.0)),
        qrs_ms=float(draw.uniform(75.0, 130.0)),
        qtc_ms=float(draw.uniform(380.0, 460.0)),
        r_mv=float(draw.uniform(0.5, 1.8)),
        t_mv=float(draw.uniform(0.1, 0.7)),
        st_mv=float(draw.uniform(-0.05, 0.05)),
    )
    n = round(SECONDS * GRID_HZ)
    noise = NoiseSource(NoiseParams(), seed).generate(n, float(GRID_HZ))
    ecg_mv = (EcgSynth(params, seed).generate(n, float(GRID_HZ)) * noise.gain + noise.added_mv).astype(np.float32)
    timeline, chain = Timeline(GRID_HZ), SignalChain(GRID_HZ, HOP_S)
    end_ns = round(SECONDS * 1e9)
    for part in timeline.push(SampleBlock(ecg_mv, "mV", None, float(GRID_HZ), end_ns, end_ns)):
        if isinstance(part, Uniform):
            yield from _accepted(chain, part)


def _accepted(chain: SignalChain, part: Uniform) -> Iterator[Window]:
    for answer in chain.push(part):
        if isinstance(answer, Window) and chain.assess(answer).reason is None:
            yield Window(
                answer.start_s, answer.end_s, answer.filtered.copy(), answer.raw.copy(), answer.beats, scale_known=True
            )
