"""The QRS feature against its definition on a whole signal, and the peaks found in it."""

from __future__ import annotations

import numpy as np
import pytest

from edge.beats.feature import BAND_HZ, MIN_HEIGHT, Peak, QrsFeature, band_pass

FS = 125.0
REACH, SLOPE_REACH, SHAPE_REACH, SLACK = 25, 8, 14, 4
"""200, 64, 80 + 32 and 32 ms in samples."""


def run(x: np.ndarray, feature: QrsFeature | None = None) -> tuple[np.ndarray, list[Peak]]:
    """Return all feature values, from stream sample ``-lag``, and all peaks."""
    feature = feature or QrsFeature(FS)
    values, peaks = [], []
    for at in range(0, len(x) - feature.block + 1, feature.block):
        new, found = feature.step(x[at : at + feature.block])
        assert new.shape == (feature.block,)
        values.append(new)
        peaks += found
    return np.concatenate(values), peaks


def whole(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return band-passed stream, weighted slope and feature by their definitions, each at its sample."""
    band = np.convolve(x, band_pass(41, FS), "same")
    slope = np.zeros(len(x))
    slope[1:-1] = (band[2:] - band[:-2]) * 1.5 / (2.0 * np.sin(2 * np.pi * np.sqrt(6.0 * 20.0) / FS))
    power = band**2 + slope**2
    return band, np.abs(slope), np.sqrt(np.convolve(power, np.full(17, 1 / 17), "same"))


def signal(n: int = 2500) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = 0.05 * rng.standard_normal(n)
    for at, size in zip(range(120, n, 97), np.resize([1.0, 0.6, 1.4], 100), strict=False):
        x += size * np.exp(-0.5 * ((np.arange(n) - at) / 2.0) ** 2)
    return x


def test_the_band_pass_is_symmetric_and_passes_its_middle_and_nothing_constant() -> None:
    taps = band_pass(41, FS)
    assert taps == pytest.approx(taps[::-1])
    assert taps.sum() == pytest.approx(0.0, abs=1e-15)
    gain = {
        f: abs(np.sum(taps * np.exp(-2j * np.pi * f / FS * np.arange(41))))
        for f in (np.sqrt(120.0), 1.0, 6.0, 20.0, 40.0)
    }
    assert BAND_HZ == (6.0, 20.0)
    assert gain[np.sqrt(120.0)] == pytest.approx(1.0)
    assert gain[6.0] == pytest.approx(0.5, abs=0.15)
    assert gain[20.0] == pytest.approx(0.5, abs=0.15)
    assert gain[1.0] < 0.1
    assert gain[40.0] < 0.01


def test_a_sine_at_mid_band_has_an_envelope_without_ripple_but_for_the_weight_of_its_slope() -> None:
    x = np.sin(2 * np.pi * np.sqrt(120.0) * np.arange(2500) / FS)
    values, _ = run(x)
    # Half the power of the signal plus 1.5 squared times half that of the slope: sqrt((1 + 2.25) / 2) over periods.
    assert values[500:2000] == pytest.approx(np.full(1500, np.sqrt(3.25 / 2)), rel=0.15)


def test_the_feature_is_its_definition_at_the_stated_lag() -> None:
    feature, x = QrsFeature(FS), signal()
    assert (feature.block, feature.spacing, feature.lag) == (25, REACH, 20 + 1 + 8)
    values, _ = run(x, feature)
    _, _, expected = whole(x)
    lag = feature.lag
    assert values[: 2 * lag].tolist() == [0.0] * (2 * lag)  # the filters hold zeros that are not in the signal
    assert values[2 * lag :] == pytest.approx(expected[lag : len(values) - lag], abs=1e-12)


def test_peaks_are_the_largest_within_200_ms_with_their_slope_and_shape() -> None:
    x = signal()
    values, peaks = run(x)
    band, slope, feature = whole(x)
    feature[:29] = 0.0
    last = len(values) - 29 - REACH - 1
    expected = [
        i
        for i in range(REACH, last + 1)
        if feature[i] > MIN_HEIGHT
        and feature[i] > feature[i - REACH : i].max()
        and feature[i] >= feature[i + 1 : i + REACH + 1].max()
    ]
    assert len(expected) > 20
    assert [p.index for p in peaks] == expected
    for p in peaks:
        assert p.height == pytest.approx(feature[p.index])
        assert p.slope == pytest.approx(slope[p.index - SLOPE_REACH : p.index + SLOPE_REACH + 1].max())
        assert p.shape_slack == SLACK
        if p.index >= SHAPE_REACH + 30:
            assert p.shape == pytest.approx(band[p.index - SHAPE_REACH : p.index + SHAPE_REACH + 1], abs=1e-12)


def test_the_first_sample_of_a_plateau_is_the_peak() -> None:
    feature = QrsFeature(FS)
    feature._feature[REACH + 5 : REACH + 9] = 1.0
    found = feature._peaks(100)
    assert [(p.index, p.height) for p in found] == [(100 - REACH + 5, 1.0)]


@pytest.mark.parametrize(("height", "found"), [(1e-9, 0), (1.1e-9, 1)])
def test_a_peak_of_rounding_errors_is_ignored(height: float, found: int) -> None:
    feature = QrsFeature(FS)
    feature._feature[REACH + 5] = height
    assert len(feature._peaks(100)) == found


def test_a_constant_has_no_peaks_and_reset_forgets() -> None:
    assert run(np.full(1250, 1e6))[1] == []
    feature = QrsFeature(FS)
    run(1e3 * np.random.default_rng(1).standard_normal(1250), feature)
    feature.reset()
    again, fresh = run(signal(), feature), run(signal())
    assert again[0].tobytes() == fresh[0].tobytes()
    assert [p.index for p in again[1]] == [p.index for p in fresh[1]]
