"""Further forms of a recorded lead, on which a student imitates its teacher.

A lead of ten seconds gives one window. A form continues the lead by itself from a random place, stretches it, and
records it with another device and noise, as :mod:`convert.simulate.varied` does it with a simulated ECG. Half of the
forms of a recording with several leads are *mixed* from three of them: every lead is a projection of the same heart's
dipole, so their weighted sum is what an electrode pair at another place records. The teacher labels each form, so a
form need not be an ECG that this heart would have: it only has to be an ECG of a shape that the simulator does not
make.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.datasets.pairs import GRID_HZ, Items
from convert.simulate.recordings import blocks_of
from convert.simulate.varied import recorded
from edge.grid.timeline import Gap, Timeline
from edge.tensecond import MIN_S, REASONS
from firmware_bridge.errors import InputError
from firmware_bridge.samples import LinkItem

F64 = NDArray[np.float64]

FORMS_VERSION = 2
"""Increased when a seed gives other forms than before."""

_STREAM, _MIXING = 0x2EA1, 0x313D

MAX_READ_S = 600.0
"""Part of a recording of which a form may be made, s; bounds time and memory for a recording of days."""

MAX_STRETCH = 0.3
"""Largest change of the time scale, as a natural logarithm: 74 to 135 % of the heart rate."""

DEFORMED = 0.5
"""Share of the forms with deformed waves."""

MIXED = 0.5
"""Share of the forms that are mixed from several leads, where there are several."""

OTHERS = 2
"""Number of other leads in a mixture."""

FLAT_SHARE = 0.02
"""A mixture less high than this share of its first lead counts as flat."""

SEAM_S = 0.4
"""Length of the part in which the end of a lead fades into its beginning, s."""
SEARCH_S = 1.5
"""Length of the part at either end in which the place of the seam is searched, s: more than a beat of most hearts."""
SEARCH_STEP = 5
"""Step of this search, samples."""

UNKNOWN_SCALE_MV = 2.0
"""Peak-to-peak of a lead of unknown scale, mV; the noise that is added is in mV."""


@dataclass(frozen=True, slots=True)
class FormItems:
    """The samples of one form of a lead.

    Attributes:
        lead: Opens the lead as it was recorded.
        seed: Numbers that the random choices follow from.
        seconds: Length of the form, s.
        others: Open the other leads of the recording.
    """

    lead: Items
    seed: tuple[int, ...]
    seconds: float
    others: tuple[Items, ...] = ()

    def __call__(self) -> Iterator[LinkItem]:
        """Yield the blocks of the form, as a source does.

        Raises:
            InputError: The lead cannot be read, or has no ten seconds without a gap.
        """
        yield from blocks_of(form(self._lead(), self.seed, self.seconds).astype(np.float32))

    def _lead(self) -> F64:
        """Return the lead, or a mixture of it and other leads."""
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([*self.seed, FORMS_VERSION, _MIXING])))
        mixed, chosen, weights = rng.random() < MIXED, rng.permutation(len(self.others)), rng.normal(size=1 + OTHERS)
        lead, first = _longest(self.lead)
        if not mixed:
            return lead
        found = [lead]
        for i in chosen[:OTHERS]:
            with suppress(InputError):  # a flat lead, or one with a gap elsewhere, is left out
                other, begin = _longest(self.others[int(i)])
                if begin == first and len(other) == len(lead):
                    found.append(other)
        return mixture(found, weights) if len(found) > 1 else lead


def mixture(leads: Sequence[F64], weights: F64) -> F64:
    """Return a weighted sum of leads, as high as the first one.

    Args:
        leads: Leads of one recording at the same times, each ``(n,)``.
        weights: A weight for each lead; further ones are ignored.

    Returns:
        The sum, ``(n,)``; the first lead where the sum is flat, as where two leads cancel one another.
    """
    apart = [x - np.median(x) for x in leads]
    total = np.sum([w * x for w, x in zip(weights[: len(leads)], apart, strict=True)], axis=0)
    height, wanted = float(np.ptp(total)), float(np.ptp(leads[0]))
    if height < FLAT_SHARE * wanted:
        return np.asarray(leads[0])
    return np.asarray(total * (wanted / height))


def read_lead(items: Items) -> F64:
    """Return the longest segment without a gap of the first ten minutes of a lead, ``(n,)`` in mV at 500 Hz.

    Raises:
        InputError: The lead cannot be read, is flat, or no segment has ten seconds.
    """
    return _longest(items)[0]


def _longest(items: Items) -> tuple[F64, int]:
    """Return what :func:`read_lead` does, and the number of samples of the segments before."""
    timeline = Timeline(GRID_HZ)
    segments: list[list[F64]] = [[]]
    known = True
    for item in items():
        for part in timeline.push(item):
            if isinstance(part, Gap) or part.first:
                segments.append([])
            if not isinstance(part, Gap):
                segments[-1].append(part.samples.copy())
                known = known and part.scale_known
        if timeline.end_s >= MAX_READ_S:
            break
    joined = [np.concatenate([np.empty(0), *parts]) for parts in segments]
    at = max(range(len(joined)), key=lambda i: len(joined[i]))
    found: F64 = joined[at]
    if len(found) < MIN_S * GRID_HZ:
        raise InputError(REASONS["gap" if len(segments) > 2 else "short"])
    height = float(np.ptp(found))
    if not height > 0.0:
        raise InputError(REASONS["flat"])
    return (found if known else found * (UNKNOWN_SCALE_MV / height)), sum(map(len, joined[:at]))


def form(x: F64, seed: tuple[int, ...], seconds: float) -> F64:
    """Return one form of a lead, a pure function of the arguments.

    Args:
        x: The lead in mV at 500 Hz, ``(n,)``, ten seconds or more.
        seed: Numbers that the random choices follow from.
        seconds: Length of the form, s.

    Returns:
        The form in mV at 500 Hz, ``(seconds * 500,)`` float64.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([*seed, FORMS_VERSION, _STREAM])))
    n = round(seconds * GRID_HZ)
    stretch = float(np.exp(rng.uniform(-MAX_STRETCH, MAX_STRETCH)))
    source = _continued(x - np.median(x), int(np.ceil(n / stretch)) + 2, rng)
    stretched = np.interp(np.arange(n) / stretch, np.arange(len(source)), source)
    return recorded(stretched, rng, deformed=bool(rng.random() < DEFORMED))


def _continued(x: F64, n: int, rng: np.random.Generator) -> F64:
    """Return ``n`` samples from a random place of a lead, which begins again behind a seam where it ends."""
    if len(x) > n:
        first = int(rng.integers(0, len(x) - n + 1))
        return x[first : first + n]
    first, end, width = _seam(x)
    fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / width)
    body = x[first:end].copy()
    body[:width] = fade * x[first : first + width] + (1.0 - fade) * x[end : end + width]
    return np.asarray(body[(int(rng.integers(len(body))) + np.arange(n)) % len(body)])


def _seam(x: F64) -> tuple[int, int, int]:
    """Return where the repeated part of a lead begins and ends, and the width of the seam, in samples.

    They are the places near the two ends after which the signal is most alike, so that the seam adds no wave.
    """
    width = round(SEAM_S * GRID_HZ)
    starts = np.arange(0, round(SEARCH_S * GRID_HZ), SEARCH_STEP)
    ends = len(x) - width - starts
    views = np.lib.stride_tricks.sliding_window_view(x, width)
    early, late = views[starts], views[ends]
    apart = (early**2).sum(axis=1)[:, None] + (late**2).sum(axis=1) - 2.0 * early @ late.T
    i, j = np.unravel_index(int(np.argmin(apart)), apart.shape)
    return int(starts[i]), int(ends[j]), width
