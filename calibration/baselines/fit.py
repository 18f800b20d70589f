"""Gradient boosting of one head on each set of features, in any process.

scikit-learn's histogram gradient boosting: unknown features need no filling in, and patients apart say when to stop.
Every fit runs on one thread, because sums over several are added in an order that depends on their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import MissingExtraError

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FIT_VERSION = 2
"""Raised whenever the same data give another model: part of the key of kept scores."""

RATE = 0.1
LEAVES = 8
RIDGE = 3.0
"""Small trees, as the simulator's oracle has them: there are fewer patients than rows."""
LEVELS = 62
"""Of each feature; an interval is not measured finer than that, and 255 take three times as long."""
LEAF_SHARE = 40
LEAST_LEAF, MOST_LEAF = 10, 200
"""A leaf holds a fortieth of the rows, within these limits."""
MOST_ITERATIONS = 150
PATIENCE = 10
"""Trees without a better loss of the patients apart before it stops."""
FIXED_ITERATIONS = 30
"""Trees where too few patients are apart to say when to stop."""


@dataclass(frozen=True, slots=True)
class HeadJob:
    """One head to fit.

    Attributes:
        folder: Of the matrices ``{x,y,patient}_{train,val}.npy`` and ``x_judged.npy``; ``x`` as :func:`coded` makes it.
        column: Of the head in ``y``.
        value: It is a value and no probability.
        groups: Columns of the features of each baseline.
        least: Patients with a positive and with a negative, or with a value, below which nothing is fitted.
        seed: Of the fit.
        path: Where to keep the scores.
        key: What they are bound to.
    """

    folder: Path
    column: int
    value: bool
    groups: tuple[tuple[int, ...], ...]
    least: int
    seed: int
    path: Path
    key: str


@dataclass(frozen=True, slots=True, eq=False)
class HeadScores:
    """What came out for one head.

    Attributes:
        scores: ``(groups, judged)``: logits or scaled values; NaN where nothing could be fitted.
        why: For each group why not, empty where it was fitted.
        trees: For each group how many.
    """

    scores: F32
    why: tuple[str, ...]
    trees: tuple[int, ...]


def level_edges(x: F32) -> list[F64]:
    """Where the levels of each feature begin: quantiles of the known values, or every value where they are few.

    Made once for all heads. scikit-learn would do it anew for each, on the weighted values, in more time than it then
    takes to grow the trees; of values that are levels already it takes each as it is.

    Args:
        x: Of the training part, ``(n, features)``.
    """
    edges = []
    for column in x.T:
        known = np.asarray(column[np.isfinite(column)], dtype=np.float64)
        values = np.unique(known)
        if len(values) > LEVELS:
            values = np.unique(np.quantile(known, np.linspace(0.0, 1.0, LEVELS + 1)[1:-1]))
            edges.append(values)
        else:
            edges.append(0.5 * (values[1:] + values[:-1]))
    return edges


def coded(x: F32, edges: list[F64]) -> None:
    """Replaces features by the numbers of their levels, in place; NaN stays."""
    for column, begins in zip(x.T, edges, strict=True):
        column[:] = np.where(np.isfinite(column), np.searchsorted(begins, column, side="right"), np.nan)


def fit_head(job: HeadJob) -> HeadScores:
    """Fits every group's model of a head and scores the judged segments.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        # Only what is loaded can be limited.
        import sklearn.ensemble
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise MissingExtraError("the baselines", "convert") from error
    judged = _load(job, "x_judged")
    scores = np.full((len(job.groups), len(judged)), np.nan, dtype=np.float32)
    why, trees = [""] * len(job.groups), [0] * len(job.groups)
    train, val = _Part.of(job, "train"), _Part.of(job, "val")
    lacking = train.lacking(job)
    with threadpool_limits(1):
        for i, columns in enumerate(job.groups):
            kept = [c for c in columns if train.says_something(c)]
            why[i] = lacking or ("" if kept else "none of its features is known in the training part")
            if why[i]:
                continue
            model = _fitted(sklearn.ensemble, job, train, None if val.lacking(job) else val, kept)
            trees[i] = int(model.n_iter_)
            x = np.asarray(judged[:, kept])
            scores[i] = (model.predict(x) if job.value else model.decision_function(x)) if len(x) else 0.0
    return HeadScores(scores, tuple(why), tuple(trees))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Rows of a part whose label of the head is known."""

    x: F32
    y: F64
    patient: NDArray[np.int64]

    @classmethod
    def of(cls, job: HeadJob, part: str) -> _Part:
        y = np.asarray(_load(job, f"y_{part}")[job.column], dtype=np.float64)
        known = np.isfinite(y)
        return cls(_load(job, f"x_{part}")[known], y[known], _load(job, f"patient_{part}")[known])

    def lacking(self, job: HeadJob) -> str:
        """Why there is too little to fit or judge; empty where there is enough."""
        if job.value:
            n = len(np.unique(self.patient))
            return f"{n} patients with a value, {job.least} are needed" if n < job.least else ""
        for label, name in ((1.0, "positive"), (0.0, "negative")):
            n = len(np.unique(self.patient[self.y == label]))
            if n < job.least:
                return f"{n} patients with a {name} in the training part, {job.least} are needed"
        return ""

    def says_something(self, column: int) -> bool:
        """A feature is known in places and not the same everywhere."""
        x = self.x[:, column]
        x = x[np.isfinite(x)]
        return bool(len(x)) and bool(x.min() < x.max())

    def weights(self) -> F64:
        """Every patient weighs the same, however many segments there are of them; 1 on average."""
        _, index, count = np.unique(self.patient, return_inverse=True, return_counts=True)
        return np.asarray(len(self.y) / (len(count) * count[index]), dtype=np.float64)


def _fitted(ensemble: Any, job: HeadJob, train: _Part, val: _Part | None, columns: list[int]) -> Any:
    settings: dict[str, Any] = {
        "learning_rate": RATE,
        "max_leaf_nodes": LEAVES,
        "min_samples_leaf": min(MOST_LEAF, max(LEAST_LEAF, len(train.y) // LEAF_SHARE)),
        "l2_regularization": RIDGE,
        "max_bins": LEVELS + 1,
        "random_state": job.seed,
        "categorical_features": None,
        "early_stopping": val is not None,
        "max_iter": FIXED_ITERATIONS if val is None else MOST_ITERATIONS,
        "n_iter_no_change": PATIENCE,
    }
    if job.value:
        model: Any = ensemble.HistGradientBoostingRegressor(loss="absolute_error", **settings)
    else:
        model = ensemble.HistGradientBoostingClassifier(**settings)
    apart: dict[str, Any] = {}
    if val is not None:
        apart = {"X_val": val.x[:, columns], "y_val": val.y, "sample_weight_val": val.weights()}
    return model.fit(train.x[:, columns], train.y, sample_weight=train.weights(), **apart)


def _load(job: HeadJob, name: str) -> NDArray[Any]:
    path = job.folder / f"{name}.npy"
    found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found
