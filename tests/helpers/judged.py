"""Results of the demonstration bundle with made-up outputs and labels, without running the engine."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.validate.judge import Judged
from calibration.validate.labelled import Labelled, Person
from calibration.validate.observe import OUTCOMES, Observed
from convert.datasets.pairs import Recording
from convert.stats.evidence import LeastPatients
from edge.bundle.reader import Bundle, load_bundle
from edge.rhythm.record import RHYTHM_NAMES
from edge.waves.fuse import MEASUREMENTS

LIMITS = {"patients_min": 20.0, "events_min": 10.0}


def made_up(
    values: NDArray[np.float64], truth: NDArray[np.float64], *, persons: tuple[Person, ...] = (),
    kind: str = "probability", rhythm: NDArray[np.str_] | None = None, rate_bpm: NDArray[np.float64] | None = None,
    resamples: int = 100, seed: int = 1,
) -> Judged:  # fmt: skip
    """Return one estimate of one recording of each patient.

    Args:
        values: Probability or value of each head, ``(n, heads)``.
        truth: Label of each head, ``(n, heads)``.
        persons: What is known of each patient; nothing by default.
        kind: Kind of all heads, ``probability`` or ``value``.
        rhythm: Rhythm of each estimate.
        rate_bpm: Heart rate of each estimate.
        resamples: Number of bootstrap replicates.
        seed: Seed of the bootstrap.
    """
    n, heads = values.shape
    at = np.arange(n, dtype=np.int32)
    bundle = with_heads(kind, heads)
    found: dict[str, NDArray[np.generic]] = {
        f.name: np.zeros(n) for f in fields(Observed) if f.name.startswith(("est_", "start", "score", "rate", "hop"))
    }
    found |= {
        "recording": at, "est_recording": at, "est_windows": np.ones(n, dtype=np.int32),
        "outputs": np.zeros((n, bundle.manifest.output.width), dtype=np.int8),
        "waves": np.full((n, len(MEASUREMENTS)), np.nan), "est_score": np.ones(n), "est_value": values,
        "est_low": np.full((n, heads), np.nan), "est_high": np.full((n, heads), np.nan),
        "rhythm": np.full(n, RHYTHM_NAMES.index("sinus"), dtype=np.int8),
        "silent": np.zeros((n, heads), dtype=np.int64),
        "est_rhythm": np.full(n, "sinus") if rhythm is None else rhythm,
        "est_rate_bpm": np.full(n, 75.0) if rate_bpm is None else rate_bpm,
        "outcomes": np.tile(np.eye(len(OUTCOMES), dtype=np.int64)[0], (n, 1)),
        "sample_inputs": np.zeros((0, 1), dtype=np.int8), "sample_window": np.zeros(0, dtype=np.int64),
        "broken": np.zeros(0, dtype=np.int32), "broken_why": np.zeros(0, dtype=np.str_),
    }  # fmt: skip
    recordings = tuple(Recording(f"r{i}", f"p{i}", None, i, "made up", lambda: iter(())) for i in range(n))
    data = Labelled(
        Path("made up"), "all", recordings, np.arange(n), persons or (Person(),) * n, ("",) * n, simulated=True,
        sha256="", remarks=(),
    )  # fmt: skip
    nothing = np.full(truth.shape, np.nan)
    return Judged(bundle, data, Observed(**found), nothing, truth, seed, resamples, LeastPatients())


def with_heads(kind: str, count: int) -> Bundle:
    """Return the demonstration bundle with copies of its first head of a kind."""
    bundle = load_bundle("demo")
    first = next(head for head in bundle.manifest.outputs if head.kind == kind)
    outputs = tuple(replace(first, key=f"head_{i}") for i in range(count))
    calibration = {head.key: bundle.calibration[first.key] for head in outputs}
    return replace(bundle, manifest=replace(bundle.manifest, outputs=outputs), calibration=calibration)
