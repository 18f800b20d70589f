"""The statistics of a report written plainly, one replicate or bin after the other, to compare faster forms with."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array

from convert.stats.bounds import area_interval, se_interval, share_interval
from convert.stats.discrimination import Ranking, average_precisions
from convert.stats.metrics import CALIBRATION_BINS, Score, areas, calibration_error
from convert.stats.reliability import CHANCE_DRAWS, Reliability, slope_and_intercept
from convert.stats.resampling import Resampler

LEVELS = 1024


class PlainResampler(Resampler):
    """Replicates with sums in float64, of all rows."""

    def __init__(self, patients, seed, resamples=1000) -> None:
        super().__init__(patients, seed, resamples)
        unique, self._index = np.unique(patients, return_inverse=True)
        self.patients = len(unique)

    def patients_of(self, rows):
        return len(np.unique(self._index[rows]))

    def levels(self, level, count, weights):
        table = coo_array((weights, (level, self._index)), shape=(count, self.patients)).tocsr()
        step = max(1, 4_000_000 // count)
        for i in range(0, self.resamples, step):
            chunk = slice(i, min(i + step, self.resamples))
            yield chunk, np.asarray(table @ self._counts[chunk].T.astype(np.float64))


def plain_ranked(scores, labels, resampler) -> Ranking:
    """Rank as `anyecg evaluate` does: replicates by steps, the areas themselves by every level."""
    _, level, count = np.unique(scores, return_inverse=True, return_counts=True)
    steps = level if len(count) <= LEVELS else ((np.cumsum(count) - count) * LEVELS // len(scores))[level]
    found = plain_ranking(steps, labels, resampler)
    exact = plain_ranking(scores, labels, PlainResampler(np.zeros(len(scores), dtype=np.int64), 0, 0))
    return Ranking(
        Score(exact.auroc.value, found.auroc.low, found.auroc.high),
        Score(exact.auprc.value, found.auprc.low, found.auprc.high),
        found.auroc_replicates,
        found.positives,
        found.negatives,
    )


def plain_ranking(scores, labels, resampler) -> Ranking:
    levels, level = np.unique(scores, return_inverse=True)
    y = labels.astype(np.float64)
    ill, well = resampler.patients_of(labels), resampler.patients_of(~labels)
    positive, negative = (np.bincount(level, w, len(levels))[:, None] for w in (y, 1.0 - y))
    area, precision = np.full(resampler.resamples, np.nan), np.full(resampler.resamples, np.nan)
    pairs = zip(resampler.levels(level, len(levels), y), resampler.levels(level, len(levels), 1.0 - y), strict=True)
    for (chunk, p), (_, n) in pairs:
        area[chunk], precision[chunk] = areas(p, n), average_precisions(p, n)
    return Ranking(
        area_interval(float(areas(positive, negative)[0]), area, ill, well),
        se_interval(float(average_precisions(positive, negative)[0]), precision, ill, "logit"),
        area,
        ill,
        well,
    )


def plain_reliability(p, labels, resampler, seed) -> Reliability:
    y = labels.astype(np.float64)
    squares = (p - y) ** 2
    drawn = resampler.ratio(squares, np.ones_like(squares))
    brier = se_interval(float(squares.mean()), drawn, resampler.patients, "log")
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, min(CALIBRATION_BINS, len(p))) if len(part)]
    rng = np.random.default_rng([seed, 13])
    chance, curve = 0.0, []
    for part in parts:
        drawn = rng.random((CHANCE_DRAWS, len(part))) < p[part]
        chance += len(part) / len(p) * float(np.abs(drawn.mean(axis=1) - p[part].mean()).mean())
    for part in parts:
        within = np.zeros(len(labels), dtype=np.bool_)
        within[part] = True
        curve.append((float(p[part].mean()), share_interval(labels, within, resampler), len(part)))
    ece, (slope, intercept) = calibration_error(p, labels) or 0.0, slope_and_intercept(p, labels)
    even = float(y.mean() * (1.0 - y.mean()))
    return Reliability(brier, even, ece, chance, len(parts), slope, intercept, curve)
