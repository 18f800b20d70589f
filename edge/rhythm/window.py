"""The rhythm of one window. Every rule needs evidence that it has seen; without it the rhythm is undetermined.

- ``paced``: a spike that stands still before QRS, above 40 Hz, where no wave of the heart is.
- ``af_or_flutter``: irregular RR intervals, not explained by ectopic beats, and no P that repeats. Flutter with a fixed
  conduction is regular and stays undetermined.
- ``sinus``: a P that repeats before QRS, at any rate and with ectopic beats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.rhythm.record import RhythmName
from edge.waves.delineate import Delineation
from edge.waves.mean_beat import BEFORE, MIN_ALIKE, Ints, MeanBeat, median_of_rows
from edge.waves.path import FS_HZ

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

EARLY = 0.85
"""A beat that looks different is ectopic if its RR interval is below this share of the usual one."""
EARLY_ALIKE = 0.80
"""A beat that looks like the others is ectopic (supraventricular) below this share, if a longer interval follows."""
MIN_CLEAN = 4
"""Fewest RR intervals away from ectopic beats with which regularity is judged."""
IRREGULAR = 0.10
"""Median change between neighbouring RR intervals, over the usual one, from which a rhythm is irregular: 99 % of the
leads of LUDB without atrial fibrillation are below 0.14, and 95 % of a record of atrial fibrillation are above 0.12."""
ALTERNATING = 0.3
"""With alternating intervals, the change to the next but one interval is below this share of that to the next."""
NO_P = -0.5
"""Evidence of P below which there is none; between this and 0 nothing is claimed."""
PAUSE_S = 2.0
"""Shortest RR interval that counts as a pause, s."""
SPIKE_RANGE = (75, 20)
"""Range before R in which a pacing spike is searched, samples: 0.3 to 0.08 s."""
SPIKE_HEIGHT = 0.05
"""Smallest spike above 40 Hz, as a share of the height of QRS; 0.035 was the largest of 266 leads without a
pacemaker in LUDB."""
SPIKE_NOISE = 6.0
"""Smallest spike, standard deviations of the signal above 40 Hz."""


@dataclass(frozen=True, slots=True)
class WindowRhythm:
    """The rhythm of a window, and its beats.

    Attributes:
        name: The rhythm.
        irregularity: See `RhythmRecord`.
        beats: R peaks that were judged, samples at 250 Hz, ``(n,)``.
        ectopic: Which of them are ectopic, ``(n,)``.
        peaks: All R peaks of the window, samples at 250 Hz, ``(m,)``.
    """

    name: RhythmName
    irregularity: float | None
    beats: Ints
    ectopic: Bools
    peaks: Ints

    @property
    def rr_s(self) -> F64:
        """RR intervals of the window, s, ``(m - 1,)``."""
        return np.diff(self.peaks) / FS_HZ

    @property
    def couplets(self) -> int:
        """Number of pairs of neighbouring ectopic beats; three in a row are two pairs."""
        return int(np.sum(self.ectopic[1:] & self.ectopic[:-1]))

    @property
    def bigeminy(self) -> bool:
        """Whether ectopic and other beats alternate, at least six in a row."""
        changes = self.ectopic[1:] != self.ectopic[:-1]
        return bool(len(changes) >= 5 and changes.all())


def judge_window(beat: MeanBeat | None, found: Delineation | None, above_40_hz: F64, rough: Ints) -> WindowRhythm:
    """Judge a window.

    Args:
        beat: Its average beat, if there is one.
        found: The waves of the average beat.
        above_40_hz: The window at 250 Hz less its wave path.
        rough: R peaks of the window, samples at 250 Hz.
    """
    if beat is None:
        nothing = np.zeros(0, dtype=np.int64)
        return WindowRhythm("undetermined", None, nothing, np.zeros(0, dtype=bool), rough)
    rr_s = np.diff(beat.peaks) / FS_HZ
    different, same = _ectopic(beat, rr_s)
    irregularity, irregular = _regularity(rr_s, _touched(beat))
    name: RhythmName = "undetermined"
    if _spiked(beat, above_40_hz):
        name = "paced"
    elif found is not None and found.p_evidence > 0.0:
        name = "sinus"
    elif found is not None and irregular and found.p_evidence < NO_P:
        name = "af_or_flutter"
    # In atrial fibrillation any beat may be early; only one of another shape is ectopic.
    ectopic = different if name == "af_or_flutter" else different | same
    return WindowRhythm(name, irregularity, beat.peaks[beat.complete], ectopic, beat.peaks)


def _ectopic(beat: MeanBeat, rr_s: F64) -> tuple[Bools, Bools]:
    """Return which complete beats are early and of another shape, and which are early and of the usual one."""
    before, after = _intervals(beat, rr_s)
    alike = beat.alike >= MIN_ALIKE
    usual = float(median_of_rows(0.5 * (before + after)))
    odd = ~alike
    if odd.any() and alike.any():
        # With bigeminy either kind may be the typical one; the ectopic one comes early, before a pause.
        lead, follow = (float(median_of_rows((before / after)[which])) for which in (alike, odd))
        if lead < EARLY and lead < follow:
            odd = alike
    early = before < EARLY * np.minimum(usual, after)
    same = ~odd & (before < EARLY_ALIKE * usual) & (after > usual)
    return np.asarray(odd & early), np.asarray(same)


def _intervals(beat: MeanBeat, rr_s: F64) -> tuple[F64, F64]:
    """Return the RR intervals before and after each complete beat; the median where there is none."""
    padded = np.concatenate(([beat.rr_s], rr_s, [beat.rr_s]))
    return padded[beat.complete], padded[beat.complete + 1]


def _touched(beat: MeanBeat) -> Bools:
    """Return which RR intervals begin or end with a beat of another shape."""
    strange = np.zeros(len(beat.peaks), dtype=bool)
    strange[beat.complete] = beat.alike < MIN_ALIKE
    return np.asarray(strange[1:] | strange[:-1])


def _regularity(rr_s: F64, touched: Bools) -> tuple[float | None, bool]:
    """Return the irregularity, and whether the rhythm is irregular in no order."""
    clean = rr_s[~touched]
    if len(clean) < MIN_CLEAN:
        return None, False
    usual = float(median_of_rows(clean))
    pairs = ~touched[1:] & ~touched[:-1]
    changes = np.abs(np.diff(rr_s))[pairs]
    if len(changes) < MIN_CLEAN - 1:
        return None, False
    irregularity = float(median_of_rows(changes)) / usual
    second = np.abs(rr_s[2:] - rr_s[:-2])
    alternating = len(second) > 2 and float(median_of_rows(second)) < ALTERNATING * irregularity * usual
    return irregularity, irregularity >= IRREGULAR and not alternating


def _spiked(beat: MeanBeat, above_40_hz: F64) -> bool:
    at = beat.at[:, None] + np.arange(-SPIKE_RANGE[0], -SPIKE_RANGE[1])
    spike = float(np.abs(median_of_rows(above_40_hz[at])).max())
    noise = 1.4826 * float(median_of_rows(np.abs(above_40_hz)))
    height = float(np.ptp(beat.wave[BEFORE - 25 : BEFORE + 30]))
    return spike > max(SPIKE_HEIGHT * height, SPIKE_NOISE * noise)
