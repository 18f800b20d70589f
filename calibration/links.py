"""The links of the chain that need no labels: the same windows through the interpreters, and through a reference.

labels <-> teacher <-> student is judged in ``comparisons``; here it is whether the int8 model is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle
from edge.model import BackendName, load_model, self_test
from firmware_bridge.errors import BundleError, MissingExtraError

MOST_WINDOWS = 200
"""Windows compared, one a recording: TFLite Micro's kernels on a host take 5 ms each."""


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
    some = (
        inputs[np.unique(np.linspace(0, max(len(inputs) - 1, 0), MOST_WINDOWS).astype(int))] if len(inputs) else inputs
    )
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


def float_link(bundle: Bundle) -> dict[str, Any]:
    """Float and int8 form of the student, where the bundle carries its float form; no bundle of this version does."""
    name = "float student and int8"
    return _not_run(name, f"{bundle.manifest.name} carries no float form; its own parity report was made with it")
