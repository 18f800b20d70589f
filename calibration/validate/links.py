"""The links of the chain that need no labels: the same windows through the interpreters, and through a reference.

labels <-> teacher <-> student is judged in ``comparisons``; here it is whether the int8 model is the same everywhere,
and what it was before it was rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.validate.float_form import FloatForm
from convert.parity.forms import correlation
from edge.bundle.reader import Bundle
from edge.model import BackendName, load_model, self_test
from firmware_bridge.errors import BundleError, MissingExtraError

MOST_WINDOWS = 200
"""Windows compared, one a recording: TFLite Micro's kernels on a host take 5 ms each."""

LEAST_WINDOWS = 8
"""For a correlation; as in convert/data/gates.toml."""


def model_links(
    bundle: Bundle, inputs: NDArray[np.int8], limits: Mapping[str, float], *, micro: bool
) -> list[dict[str, Any]]:
    """Self-test and interpreters.

    Args:
        bundle: Whose model.
        inputs: Windows of the data set, ``(k, samples)`` int8.
        limits: The table ``links``.
        micro: The model is meant for TFLite Micro, too.
    """
    some = _spread(inputs)
    out = [_golden(bundle)]
    found: dict[str, NDArray[np.int16]] = {}
    missing: dict[str, str] = {}
    names: tuple[BackendName, ...] = ("litert", "litert-reference", "tflm")
    for name in names if micro else names[:2]:
        try:
            found[name] = _outputs(bundle, some, name)
        except MissingExtraError as error:
            missing[name] = f"{error.what} ({error.fix})"
    out.append(_pair("int8: LiteRT and reference kernels", found, missing, "litert", "litert-reference",
                     limits["litert_reference_lsb"]))  # fmt: skip
    if micro:
        out.append(_pair("int8: reference kernels and TFLite Micro", found, missing, "litert-reference", "tflm",
                         limits["reference_tflm_lsb"]))  # fmt: skip
    else:
        out.append(_not_run("int8: reference kernels and TFLite Micro", "the foundation tier is not for it"))
    return out


def _spread(inputs: NDArray[np.int8]) -> NDArray[np.int8]:
    if not len(inputs):
        return inputs
    return np.asarray(inputs[np.unique(np.linspace(0, len(inputs) - 1, MOST_WINDOWS).astype(int))])


def _golden(bundle: Bundle) -> dict[str, Any]:
    name = "self-test of the bundle"
    try:
        lsb = self_test(bundle, load_model(bundle))
    except BundleError as error:
        return {"name": name, "status": "FAILED", "found": error.what, "lsb": None, "windows": None}
    return {"name": name, "status": "ok", "found": f"{lsb} LSB", "lsb": lsb, "windows": len(bundle.golden_inputs)}


def _outputs(bundle: Bundle, inputs: NDArray[np.int8], backend: BackendName) -> NDArray[np.int16]:
    model = load_model(bundle, backend)
    return np.array([model.run(window) for window in inputs], dtype=np.int16)


def _pair(
    name: str, found: Mapping[str, NDArray[np.int16]], missing: Mapping[str, str], a: str, b: str, allowed: float
) -> dict[str, Any]:
    for one in (a, b):
        if one not in found:
            return _not_run(name, missing[one])
    n = len(found[a])
    if not n:
        return _not_run(name, "no window")
    lsb = int(np.max(np.abs(found[a] - found[b])))
    said = f"{lsb} LSB over {n} windows, {allowed:g} allowed"
    status = "ok" if lsb <= allowed else "FAILED"
    return {"name": name, "status": status, "found": said, "lsb": lsb, "windows": n}


def _not_run(name: str, why: str) -> dict[str, Any]:
    return {"name": name, "status": "not run", "found": why, "lsb": None, "windows": None}


def float_link(
    bundle: Bundle, form: FloatForm | None, inputs: NDArray[np.int8], limits: Mapping[str, float]
) -> dict[str, Any]:
    """The student before and after it was rounded, on the same windows, which need no labels.

    Args:
        bundle: Whose int8 model.
        form: Its float form; ``None`` where it carries none.
        inputs: Windows of the data set, ``(k, samples)`` int8.
        limits: The table ``links``.
    """
    name = "float student and int8"
    m = bundle.manifest
    if form is None:
        if m.tier == "micro":
            return _not_run(name, f"{m.name} carries no float form; its own parity report was made with it")
        return _not_run(name, "the float form of a whole teacher is its checkpoint: --reference TEACHER")
    some = _spread(inputs)
    if len(some) < LEAST_WINDOWS:
        return _not_run(name, f"{len(some)} windows; fewer than {LEAST_WINDOWS} say nothing of a correlation")
    plain = form.run(z_scores(bundle, some)).astype(np.float64)
    steps = _outputs(bundle, some, "auto").astype(np.float64)
    rounded = (steps - m.output.zero_point) * m.output.scale
    gap = np.abs(plain - rounded) / m.output.scale
    # What varies by less than a step is lost by rounding, and a correlation would compare noise.
    varied = plain.std(axis=0) >= m.output.scale
    alike = [correlation(plain[:, j], rounded[:, j]) or 0.0 for j in np.flatnonzero(varied)]
    least, most = limits["float_correlation_min"], limits["float_flat_lsb"]
    said = f"{gap.mean():.2g} LSB on average, {gap.max():.2g} at most, over {len(some)} windows"
    ok = bool(np.isfinite(plain).all())
    if alike and ok:
        median = float(np.median(alike))
        said += f"; correlation of heads {min(alike):.3f} to {max(alike):.3f}, median {median:.3f}, {least:g} asked for"
        ok = median >= least
    if ok and not varied.all():
        flat = float(gap[:, ~varied].max())
        said += f"; {(~varied).sum()} heads vary by less than a step: {flat:.2g} LSB at most, {most:g} allowed"
        ok = flat <= most
    return {
        "name": name, "status": "ok" if ok else "FAILED",
        "found": said if np.isfinite(plain).all() else "outputs are not finite",
        "lsb": round(float(gap.max()), 2) if np.isfinite(gap).all() else None, "windows": len(some),
    }  # fmt: skip


def z_scores(bundle: Bundle, inputs: NDArray[np.int8]) -> NDArray[np.float64]:
    """What the int8 input of a bundle's model stands for."""
    tensor = bundle.manifest.input
    return np.asarray((inputs.astype(np.float64) - tensor.zero_point) * tensor.scale)
