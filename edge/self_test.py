"""The self-test of a bundle: golden vectors through the model on this machine, compared with the recorded outputs.

A bundle of the current schema has the outputs and a limit of each interpreter that the conversion tried. Correct
interpreters round differently, and a large network makes more of these differences than a small one, so the limit is
measured and not one step for all. No comparison of outputs shows one changed bit among 30 million weights, so the
bundle also names the model that made the golden vectors, which the reader checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle.golden import Limit
from edge.bundle.reader import Bundle
from edge.model import Model
from firmware_bridge.errors import BundleError

SELF_TEST_LSB = 1
"""Largest accepted difference from the golden outputs, steps, if the bundle gives no limits. An interpreter may round
one step differently from the reference kernels, which made them. Of the demonstration bundle's 96 outputs, LiteRT
differs in 19 (x86 and 64-bit ARM) and tflite-runtime in 10 (32-bit ARM), all by one step. A larger difference means a
wrong model."""

MIN_WINDOWS = 4
"""Fewest golden windows of a self-test."""

ONE_STEP = Limit(float(SELF_TEST_LSB), float(SELF_TEST_LSB), float(SELF_TEST_LSB))


@dataclass(frozen=True, slots=True, eq=False)
class SelfTest:
    """Result of a self-test.

    Attributes:
        differences: Absolute differences from the golden outputs, ``(windows, outputs)``, steps.
        found: The differences in the terms of a limit.
        allowed: The limit.
    """

    differences: NDArray[np.int32]
    found: Limit
    allowed: Limit

    @property
    def worst(self) -> int:
        """Largest difference, steps."""
        return int(self.differences.max())


def self_test(bundle: Bundle, model: Model, each: Callable[[], None] = lambda: None) -> SelfTest:
    """Run the model on the golden inputs and compare the outputs.

    Args:
        bundle: A verified bundle.
        model: Its loaded model.
        each: Called after each window.

    Raises:
        BundleError: A difference exceeds its limit, or the golden vectors prove nothing.
    """
    _check_golden(bundle)
    result = compared(bundle, model, each)
    for name, found, allowed in (
        ("by up to", result.found.max, result.allowed.max),
        ("on average (RMS) by", result.found.rms, result.allowed.rms),
        ("systematically (RMS of the mean differences) by", result.found.shift, result.allowed.shift),
    ):
        if found > allowed:
            raise BundleError(
                f"self-test: outputs differ from the golden ones {name} {found:.3g} LSB on {model.backend}, "
                f"{allowed:.3g} allowed",
                "this interpreter computes wrong results on this machine; report it, and try 'anyecg run --backend'",
            )
    return result


def _check_golden(bundle: Bundle) -> None:
    """Check that the golden vectors can show anything: a model that always says the same would pass one window."""
    # numpy.unique would load numpy.ma: which takes 2 MiB on x86-64 and 8 MiB on aarch64.
    windows, different = len(bundle.golden_outputs), len({row.tobytes() for row in bundle.golden_outputs})
    if windows < MIN_WINDOWS or different < 2:
        raise BundleError(
            f"self-test: the bundle has {windows} golden windows with {different} different outputs, "
            f"{MIN_WINDOWS} windows with at least 2 are needed",
            "convert the bundle again",
        )


def compared(bundle: Bundle, model: Model, each: Callable[[], None] = lambda: None) -> SelfTest:
    """Run the model on the golden inputs and return the differences of the outputs, without a judgement.

    Raises:
        BundleError: The model does not run, or has another number of outputs than the manifest.
    """
    golden = bundle.golden_by_interpreter.get(model.backend, bundle.golden_outputs)
    rows = []
    for window, expected in zip(bundle.golden_inputs, golden, strict=True):
        try:
            found = model.run(window).astype(np.int32)
        except (RuntimeError, ValueError) as error:
            first = (str(error).splitlines() or [""])[0]
            raise BundleError(f"self-test: the model does not run: {first}", "convert the bundle again") from None
        if found.shape != expected.shape:
            raise BundleError(
                f"self-test: the model gives {found.size} outputs, but the manifest says {expected.size}",
                "convert the bundle again",
            )
        rows.append(found - expected)
        each()
    signed = np.array(rows, dtype=np.int32)
    return SelfTest(np.abs(signed), measured(signed), _allowed(bundle, model.backend))


def measured(differences: NDArray[np.int32]) -> Limit:
    """Return signed differences, ``(windows, outputs)`` in steps, in the terms of a limit."""
    d = differences.astype(np.float64)
    rms, shift = (float(np.sqrt(np.mean(np.square(part)))) for part in (d, d.mean(axis=0)))
    return Limit(float(np.abs(d).max()), rms, shift)


def _allowed(bundle: Bundle, backend: str) -> Limit:
    limits = bundle.manifest.golden.limits
    if not limits:
        return ONE_STEP
    if backend in limits:
        return limits[backend]
    # An interpreter that the conversion did not try may differ as much as the loosest that it tried.
    return Limit(*(max(getattr(x, name) for x in limits.values()) for name in ("max", "rms", "shift")))
