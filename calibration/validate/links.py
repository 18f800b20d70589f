"""Links of the chain that need no labels: the same windows through each interpreter and through the float form.

``comparisons`` judges labels, teacher and student. This module checks whether the int8 model gives the same outputs in
every interpreter, and how close it is to its float form.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from calibration.validate.float_form import FloatForm
from calibration.validate.records import LinkRecord
from convert.parity.steps import StepLimit, exactly, judge_steps
from edge.bundle.reader import Bundle
from edge.bundle.tensors import Steps
from edge.model import BackendName, load_model
from edge.self_test import self_test
from edge.stats import correlation
from firmware_bridge.errors import BundleError, MissingExtraError

MAX_WINDOWS = 200
"""Maximum number of windows to compare, one per recording; TFLite Micro on a host takes 5 ms for each."""

FLAT = 0.4
"""Standard deviation of a head, relative to the golden windows, below which it counts as flat (arbitrary)."""

MIN_WINDOWS = 8
"""Minimum number of windows for a correlation; as in convert/data/gates.toml."""


def model_links(bundle: Bundle, inputs: Steps, limits: Mapping[str, float], *, micro: bool) -> list[LinkRecord]:
    """Run the self-test and compare the interpreters.

    Args:
        bundle: Bundle of the model.
        inputs: Windows of the data set, ``(k, samples)`` in steps.
        limits: Table ``links`` of the limits.
        micro: Whether the model is also meant for TFLite Micro.
    """
    some = _spread(inputs)
    out = [_golden(bundle)]
    found: dict[str, NDArray[np.int32]] = {}
    missing: dict[str, str] = {}
    names: tuple[BackendName, ...] = ("litert", "litert-reference", "tflm")
    for name in names if micro else names[:2]:
        try:
            found[name] = _outputs(bundle, some, name)
        except MissingExtraError as error:
            missing[name] = f"{error.what} ({error.fix})"
    label, pair = f"{bundle.manifest.form}: LiteRT and reference kernels", ("litert", "litert-reference")
    if bundle.manifest.golden.limits:
        out.append(_relative(label, bundle, found, missing, pair, limits["interpreters_rms_sd"]))
    else:
        out.append(_pair(label, found, missing, *pair, StepLimit.of(limits, "litert_reference")))
    if micro:
        out.append(_pair("int8: reference kernels and TFLite Micro", found, missing, "litert-reference", "tflm",
                         exactly(limits["reference_tflm_lsb"])))  # fmt: skip
    else:
        out.append(_not_run("int8: reference kernels and TFLite Micro", "the foundation tier does not run on it"))
    return out


def _spread(inputs: Steps) -> Steps:
    if not len(inputs):
        return inputs
    return np.asarray(inputs[np.unique(np.linspace(0, len(inputs) - 1, MAX_WINDOWS).astype(int))])


def _golden(bundle: Bundle) -> LinkRecord:
    name = "self-test of the bundle"
    try:
        lsb = self_test(bundle, load_model(bundle)).worst
    except BundleError as error:
        return {"name": name, "status": "FAILED", "found": error.what, "lsb": None, "windows": None}
    return {"name": name, "status": "ok", "found": f"{lsb} LSB", "lsb": lsb, "windows": len(bundle.golden_inputs)}


def _outputs(bundle: Bundle, inputs: Steps, backend: BackendName) -> NDArray[np.int32]:
    model = load_model(bundle, backend)
    return np.array([model.run(window) for window in inputs], dtype=np.int32)


def _pair(
    name: str, found: Mapping[str, NDArray[np.int32]], missing: Mapping[str, str], a: str, b: str, allowed: StepLimit
) -> LinkRecord:
    for one in (a, b):
        if one not in found:
            return _not_run(name, missing[one])
    n = len(found[a])
    if not n:
        return _not_run(name, "no window")
    result = judge_steps(found[a] - found[b], allowed)
    words = f"{result.largest:g} LSB over {n} windows, {result.limit} allowed"
    status = "ok" if result.holds else "FAILED"
    return {"name": name, "status": status, "found": words, "lsb": result.largest, "windows": n}


def _relative(
    name: str,
    bundle: Bundle,
    found: Mapping[str, NDArray[np.int32]],
    missing: Mapping[str, str],
    pair: tuple[str, str],
    allowed: float,
) -> LinkRecord:
    """Compare two interpreters of a large network, which makes more of their rounding, by the spread of its heads."""
    absent = next((one for one in pair if one not in found), None)
    if absent is not None:
        return _not_run(name, missing[absent])
    a, b = (found[one].astype(np.float64) for one in pair)
    if not len(a):
        return _not_run(name, "no window")
    # A head that hardly moves on these windows is judged by what it does on the golden ones.
    sd = np.maximum(a.std(axis=0), np.maximum(FLAT * bundle.golden_outputs.std(axis=0), 1.0))
    rms, lsb = float(np.sqrt(np.mean(np.square((a - b) / sd)))), int(np.max(np.abs(a - b)))
    words = f"RMS {rms:.2g} standard deviations of the heads over {len(a)} windows, {allowed:g} allowed"
    return {"name": name, "status": "ok" if rms <= allowed else "FAILED", "found": words, "lsb": lsb, "windows": len(a)}


def _not_run(name: str, why: str) -> LinkRecord:
    return {"name": name, "status": "not run", "found": why, "lsb": None, "windows": None}


def float_link(bundle: Bundle, form: FloatForm | None, inputs: Steps, limits: Mapping[str, float]) -> LinkRecord:
    """Compare the float form of a student with its int8 model on the same windows, without labels.

    Args:
        bundle: Bundle of the int8 model.
        form: Its float form; ``None`` if the bundle has none.
        inputs: Windows of the data set, ``(k, samples)`` in steps.
        limits: Table ``links`` of the limits.
    """
    name = "float student and int8"
    m = bundle.manifest
    if form is None:
        if m.tier == "micro":
            return _not_run(name, f"{m.name} contains no float form; its parity report compares both")
        return _not_run(name, "the float form of a foundation bundle is its checkpoint; use --reference TEACHER")
    some = _spread(inputs)
    if len(some) < MIN_WINDOWS:
        return _not_run(name, f"{len(some)} windows; a correlation needs at least {MIN_WINDOWS}")
    plain = form.run(z_scores(bundle, some)).astype(np.float64)
    steps = _outputs(bundle, some, "auto")
    rounded = m.output.to_values(steps)
    gap = np.abs(plain - rounded) / m.output.scale
    # Rounding removes variation below one step, so a correlation would compare noise.
    sd = plain.std(axis=0)
    varied = sd >= m.output.scale
    alike = [correlation(plain[:, j], rounded[:, j]) or 0.0 for j in np.flatnonzero(varied)]
    correlation_min, flat_max = limits["float_correlation_min"], limits["float_flat_lsb"]
    said = f"{gap.mean():.2g} LSB on average, {gap.max():.2g} at most, over {len(some)} windows"
    ok = bool(np.isfinite(plain).all())
    if alike and ok:
        median = float(np.median(alike))
        said += f"; correlation of heads {min(alike):.3f} to {max(alike):.3f}, median {median:.3f}"
        said += f" (minimum {correlation_min:g})"
        # A correlation sees neither a gain nor an offset.
        apart = np.sqrt(np.mean(np.square(plain - rounded), axis=0))
        rms, rms_max = float(np.median(apart[varied] / sd[varied])), limits["float_rms_sd_max"]
        said += f"; RMS {rms:.2f} standard deviations of a head, median ({rms_max:g} allowed)"
        ok = median >= correlation_min and rms <= rms_max
    if ok and not varied.all():
        flat = float(gap[:, ~varied].max())
        said += f"; {(~varied).sum()} heads vary by less than a step: {flat:.2g} LSB at most, {flat_max:g} allowed"
        ok = flat <= flat_max
    return {
        "name": name, "status": "ok" if ok else "FAILED",
        "found": said if np.isfinite(plain).all() else "outputs are not finite",
        "lsb": round(float(gap.max()), 2) if np.isfinite(gap).all() else None, "windows": len(some),
    }  # fmt: skip


def z_scores(bundle: Bundle, inputs: Steps) -> NDArray[np.float64]:
    """Return the z-scores of inputs in steps, ``(k, samples)``."""
    return bundle.manifest.input.to_values(inputs)
