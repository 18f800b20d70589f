"""A short run of the whole chain on a simulated ECG, to check a bundle and all stages on this machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.bench.ecg import blocks, plain_session
from edge.bundle.reader import Bundle
from edge.engine import Engine
from edge.model import Model
from firmware_bridge.errors import CheckFailedError
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

SECONDS = 16.0
"""Length of the simulated ECG, s: the first estimate comes at 13 s, and two more follow."""
FS_HZ = 250.0
HR_BPM = 70.0
HR_ERROR_BPM = 5.0


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a trial run.

    Attributes:
        estimates: Number of hops whose window reached the model.
        heart_rate_bpm: Heart rate of the last estimate, beats per minute.
    """

    estimates: int
    heart_rate_bpm: float


def try_chain(bundle: Bundle, model: Model) -> Trial:
    """Run 16 s of simulated ECG through every stage.

    Args:
        bundle: A verified bundle.
        model: The loaded model of the bundle.

    Raises:
        CheckFailedError: The chain gives no estimate, or another heart rate than the simulated one.
        MissingExtraError: The front end of the bundle needs a library that is not installed.
    """
    ecg_uv = (EcgSynth(EcgParams(hr_bpm=HR_BPM), 1).generate(round(SECONDS * FS_HZ), FS_HZ) * 1e3).astype(np.int32)
    engine = Engine(bundle, model, plain_session())
    found = [estimate for block in blocks(ecg_uv, SECONDS, FS_HZ) for estimate in engine.push(block).estimates]
    # A bundle for other rhythms than sinus rhythm rightly abstains here.
    accepted = [estimate for estimate in found if estimate.abstained in {None, "rhythm"}]
    if not accepted:
        reason = found[-1].abstained if found else "no window"
        raise CheckFailedError(
            f"the signal chain gives no estimate for {SECONDS:g} s of simulated ECG: {reason}", "please report it"
        )
    rate_bpm = accepted[-1].heart_rate_bpm
    if rate_bpm is None or abs(rate_bpm - HR_BPM) > HR_ERROR_BPM:
        rate = "no heart rate" if rate_bpm is None else f"a heart rate of {rate_bpm:.0f} bpm"
        raise CheckFailedError(
            f"the signal chain gives {rate} for a simulated ECG of {HR_BPM:g} bpm", "please report it"
        )
    return Trial(len(accepted), rate_bpm)
