"""Gradient boosting of one head on each set of features, in any process.

scikit-learn's histogram gradient boosting accepts missing features, and held-out patients decide when it stops. Every
fit runs on one thread, because the order in which several threads add their sums depends on their number.
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
"""Increased whenever the same data give a different model; part of the key of stored scores."""

RATE = 0.1
LEAVES = 8
RIDGE = 3.0
"""Small trees, as in the simulator's oracle: there are fewer patients than rows."""
LEVELS = 62
"""Levels of each feature. Intervals are not measured more finely, and 255 levels take three times as long."""
LEAF_SHARE = 40
MIN_LEAF, MAX_LEAF = 10, 200
"""A leaf holds at least 1/40 of the rows, within these limits."""
MAX_ITERATIONS = 150
PATIENCE = 10
"""Trees without a lower loss on the held-out patients before it stops."""
FIXED_ITERATIONS = 30
"""Number of trees if there are too few held-out patients to decide when to stop."""


@dataclass(frozen=True, slots=True)
class HeadJob:
    """One head to fit.

    Attributes:
        folder: Folder of the matrices ``{x,y,patient}_{train,val}.npy`` and ``x_judged.npy``; ``x`` holds the levels
            that :func:`coded` writes.
        column: Column of the head in ``y``.
        value: The head is a value, not a probability.
        groups: Columns of the features of each baseline.
        min_patients: Minimum number of patients with a positive and with a negative label, or with a value; below it
            nothing is fitted.
        seed: Seed of the fit.
        path: File in which the scores are kept.
        key: Key of the inputs that the scores depend on.
    """

    folder: Path
    column: int
    value: bool
    groups: tuple[tuple[int, ...], ...]
    min_patients: int
    seed: int
    path: Path
    key: str


@dataclass(frozen=True, slots=True, eq=False)
class HeadScores:
    """Scores of one head by each baseline.

    Attributes:
        scores: Logits or scaled values, ``(groups, judged)``; NaN for a group that could not be fitted.
        why: Reason for each group that was not fitted, otherwise empty.
        trees: Number of trees of each group.
    """

    scores: F32
    why: tuple[str, ...]
    trees: tuple[int, ...]


def level_edges(x: F32) -> list[F64]:
    """Compute the lower edges of the levels of each feature: quantiles of the known values, or midpoints if few.

    This is done once for all heads. scikit-learn would repeat it for each head on the weighted values, which takes
    longer than growing the trees; it leaves values that are already levels unchanged.

    Args:
        x: Features of the training part, ``(n, features)``.
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
    """Replace features by the numbers of their levels in place; NaN stays NaN."""
    for column, begins in zip(x.T, edges, strict=True):
        column[:] = np.where(np.isfinite(column), np.searchsorted(begins, column, side="right"), np.nan)


def fit_head(job: HeadJob) -> HeadScores:
    """Fit the model of each group for a head and score the judged segments.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        # threadpoolctl limits only libraries that are already loaded.
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
            kept = [c for c in columns if train.varies(c)]
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
    """Rows of a part in which the label of the head is known."""

    x: F32
    y: F64
    patient: NDArray[np.int64]

    @classmethod
    def of(cls, job: HeadJob, part: str) -> _Part:
        y = np.asarray(_load(job, f"y_{part}")[job.column], dtype=np.float64)
        known = np.isfinite(y)
        return cls(_load(job, f"x_{part}")[known], y[known], _load(job, f"patient_{part}")[known])

    def lacking(self, job: HeadJob) -> str:
        """Return why there are too few patients to fit or judge; empty if there are enough."""
        if job.value:
            n = len(np.unique(self.patient))
            return f"{n} patients with a value, {job.min_patients} are needed" if n < job.min_patients else ""
        for label, name in ((1.0, "positive"), (0.0, "negative")):
            n = len(np.unique(self.patient[self.y == label]))
            if n < job.min_patients:
                return f"{n} patients with a {name} in the training part, {job.min_patients} are needed"
        return ""

    def varies(self, column: int) -> bool:
        """Return whether the known values of a feature differ."""
        x = self.x[:, column]
        x = x[np.isfinite(x)]
        return bool(len(x)) and bool(x.min() < x.max())

    def weights(self) -> F64:
        """Return row weights that give each patient the same total weight, 1 on average."""
        _, index, count = np.unique(self.patient, return_inverse=True, return_counts=True)
        return np.asarray(len(self.y) / (len(count) * count[index]), dtype=np.float64)


def _fitted(ensemble: Any, job: HeadJob, train: _Part, val: _Part | None, columns: list[int]) -> Any:
    settings: dict[str, Any] = {
        "learning_rate": RATE,
        "max_leaf_nodes": LEAVES,
        "min_samples_leaf": min(MAX_LEAF, max(MIN_LEAF, len(train.y) // LEAF_SHARE)),
        "l2_regularization": RIDGE,
        "max_bins": LEVELS + 1,
        "random_state": job.seed,
        "categorical_features": None,
        "early_stopping": val is not None,
        "max_iter": FIXED_ITERATIONS if val is None else MAX_ITERATIONS,
        "n_iter_no_change": PATIENCE,
    }
    if job.value:
        model: Any = ensemble.HistGradientBoostingRegressor(loss="absolute_error", **settings)
    else:
        model = ensemble.HistGradientBoostingClassifier(**settings)
    held_out: dict[str, Any] = {}
    if val is not None:
        held_out = {"X_val": val.x[:, columns], "y_val": val.y, "sample_weight_val": val.weights()}
    return model.fit(train.x[:, columns], train.y, sample_weight=train.weights(), **held_out)


def _load(job: HeadJob, name: str) -> NDArray[Any]:
    path = job.folder / f"{name}.npy"
    found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found
