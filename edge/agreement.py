"""How far two bundles agree: both models on the same windows, head by head, in the units that a user sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle.reader import Bundle
from edge.bundle.tensors import Steps, TensorSpec
from edge.engine import make_front_end
from edge.estimate import Estimator
from edge.model import BackendName, load_model
from edge.stats import correlation
from edge.window import Window
from firmware_bridge.errors import InputError

Inputs = Sequence[Steps]
"""Model inputs in the steps of one bundle, each with the shape of its input tensor."""


@dataclass(frozen=True, slots=True)
class HeadAgreement:
    """Differences of one head over windows, each window calibrated by itself.

    Attributes:
        key: Key of the head.
        units: Unit in both bundles, ``"1"`` for a probability.
        mean: Mean absolute difference, in the unit; ``None`` if the units differ.
        max: Largest difference, in the unit; ``None`` if the units differ.
        correlation: Pearson's correlation; ``None`` if the values of the first bundle do not vary, 0 if only
            those of the second do not.
        flags_changed: Number of windows whose flag differs; a flag that is never raised differs from one that may be.
    """

    key: str
    units: tuple[str, str]
    mean: float | None
    max: float | None
    correlation: float | None
    flags_changed: int

    @property
    def equal(self) -> bool:
        """Whether both bundles give the same values and flags."""
        return self.max == 0.0 and not self.flags_changed


def agreement(a: Bundle, b: Bundle, inputs: tuple[Inputs, Inputs], backend: BackendName) -> tuple[HeadAgreement, ...]:
    """Run both models on the same windows and compare the calibrated values of the heads that both have.

    Args:
        a: First bundle.
        b: Second bundle.
        inputs: The same windows as inputs of ``a`` and of ``b``.
        backend: The interpreter of both.

    Returns:
        One entry for each shared head, in the order of the first bundle.

    Raises:
        InputError: There is no window, or the bundles share no head.
        BundleError: A model does not load.
    """
    units = [{head.key: head.unit for head in bundle.manifest.outputs} for bundle in (a, b)]
    shared = [key for key in units[0] if key in units[1]]
    if not shared or not len(inputs[0]):
        raise InputError("there is nothing to compare: no window, or no head that both bundles have")
    (x, flags_a), (y, flags_b) = (
        _shown(bundle, given, shared, backend) for bundle, given in zip((a, b), inputs, strict=True)
    )
    return tuple(
        _head(key, (units[0][key], units[1][key]), x[:, i], y[:, i], _changed(flags_a[i], flags_b[i]))
        for i, key in enumerate(shared)
    )


def golden_inputs(a: Bundle, b: Bundle) -> tuple[Inputs, Inputs] | None:
    """Return the golden windows of both bundles as inputs of each; ``None`` if their front ends differ."""
    if a.manifest.front_end.name != b.manifest.front_end.name:
        return None
    one, other = a.manifest.input, b.manifest.input
    known = {row.tobytes() for row in a.golden_inputs} if one == other else set()
    further = [row for row in b.golden_inputs if row.tobytes() not in known]
    for_a = [*a.golden_inputs, *(_moved(row, other, one) for row in further)]
    return for_a, [*(_moved(row, one, other) for row in a.golden_inputs), *further]


def recorded_inputs(a: Bundle, b: Bundle, windows: Sequence[Window]) -> tuple[Inputs, Inputs]:
    """Return windows as inputs of both bundles, each through its own front end.

    Raises:
        MissingExtraError: A bundle has the foundation tier and scipy is not installed.
    """
    first, second = ([front_end(window) for window in windows] for front_end in map(make_front_end, (a, b)))
    return first, second


def _moved(steps: Steps, given: TensorSpec, wanted: TensorSpec) -> Steps:
    """Return an input in the steps and the shape of another tensor."""
    return wanted.to_steps(given.to_values(steps)).reshape(wanted.shape)


def _shown(
    bundle: Bundle, inputs: Inputs, keys: Sequence[str], backend: BackendName
) -> tuple[NDArray[np.float64], list[list[bool | None]]]:
    """Return the values of the heads, ``(windows, heads)``, and their flags, head by head."""
    model = load_model(bundle, backend)
    values, flags = [], []
    for window in inputs:
        # A new one for each window, because an estimator averages.
        estimator = Estimator(bundle)
        estimator.add(10.0, model.run(window), 1.0)
        labs = {lab.key: lab for lab in estimator.labs()}
        values.append([labs[key].value for key in keys])
        flags.append([labs[key].flag for key in keys])
    return np.array(values), [list(column) for column in zip(*flags, strict=True)]


def _head(
    key: str, units: tuple[str, str], x: NDArray[np.float64], y: NDArray[np.float64], flags_changed: int
) -> HeadAgreement:
    difference = np.abs(x - y) if units[0] == units[1] else None
    return HeadAgreement(
        key,
        units,
        None if difference is None else float(difference.mean()),
        None if difference is None else float(difference.max()),
        correlation(x, y),
        flags_changed,
    )


def _changed(before: Sequence[bool | None], after: Sequence[bool | None]) -> int:
    return sum(one is not other for one, other in zip(before, after, strict=True))
