"""ecgfounder/1 against what the original preparation made of real and synthetic windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, filtfilt, iirnotch, medfilt

from edge.frontend.ecgfounder import EcgFounderFrontEnd


def as_published(x: np.ndarray) -> np.ndarray:
    """ECGFounder's preparation as its README shows it."""
    b, a = iirnotch(50, 30, 500)
    y = filtfilt(b, a, x)
    b, a = butter(N=4, Wn=[0.67, 40], btype="bandpass", fs=500)
    y = filtfilt(b, a, y)
    return y - medfilt(y, 201)


@pytest.mark.parametrize("name", ["real", "synthetic"])
def test_equals_the_original(shared_dir: Path, name: str) -> None:
    front_end = EcgFounderFrontEnd()
    with np.load(shared_dir / "golden" / f"ecgfounder_preprocess_{name}.npz") as golden:
        keys = [k.removesuffix("_500hz_mv") for k in golden if k.endswith("_500hz_mv")]
        assert len(keys) >= 4
        for key in keys:
            z = front_end(golden[f"{key}_500hz_mv"])
            assert np.max(np.abs(z - golden[f"{key}_zscored"])) < 1e-6, key
            filtered = front_end.filter(golden[f"{key}_500hz_mv"])
            assert np.max(np.abs(filtered - golden[f"{key}_filtered_mv"])) < 1e-9, key


def test_equals_the_published_function_on_noise() -> None:
    x = np.random.default_rng(5).standard_normal(5000).cumsum() * 0.05
    assert np.max(np.abs(EcgFounderFrontEnd().filter(x) - as_published(x))) < 1e-9
