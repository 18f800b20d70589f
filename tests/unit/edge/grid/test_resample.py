"""The interpolation kernel against its specification, and the resampler as a function of positions only."""

from __future__ import annotations

import numpy as np
import pytest

from edge.grid.resample import PHASES, Resampler, kernel_table

RATES = [(250.0, 250.0), (130.0, 250.0), (500.0, 250.0), (360.0, 500.0), (1000.0, 250.0)]


def gain(fs_in_hz: float, fs_out_hz: float, frequency_hz: float) -> float:
    """Return the amplitude of a sine after resampling, from the outputs between the ends."""
    x = np.exp(2j * np.pi * frequency_hz * np.arange(4000) / fs_in_hz)
    parts = []
    for part in (x.real, x.imag):
        resampler = Resampler(fs_in_hz, fs_out_hz)
        positions = np.arange(resampler.half - 1, 3900, fs_in_hz / fs_out_hz)
        parts.append(resampler.push(part, positions))
    return float(np.abs(parts[0] + 1j * parts[1]).mean())


@pytest.mark.parametrize(("fs_in_hz", "fs_out_hz"), RATES)
def test_a_constant_of_any_size_passes_unchanged(fs_in_hz: float, fs_out_hz: float) -> None:
    table, half = kernel_table(fs_in_hz, fs_out_hz)
    assert table.shape == (PHASES + 1, 2 * half)
    assert np.abs(table.sum(axis=1) - 1.0).max() < 1e-12


@pytest.mark.parametrize(("fs_in_hz", "fs_out_hz"), RATES)
def test_the_kernel_is_symmetric_with_eight_zero_crossings_on_each_side(fs_in_hz: float, fs_out_hz: float) -> None:
    table, half = kernel_table(fs_in_hz, fs_out_hz)
    assert half == int(np.ceil(8 / (0.92 * min(1.0, fs_out_hz / fs_in_hz))))
    assert np.abs(table - table[::-1, ::-1]).max() < 1e-12
    # On a sample the weight is largest there; after the last phase that is the next one.
    assert (int(table[0].argmax()), int(table[-1].argmax())) == (half - 1, half)


@pytest.mark.parametrize(
    ("fs_in_hz", "fs_out_hz", "frequency_hz"), [(125.0, 250.0, 40.0), (500.0, 250.0, 90.0), (1000.0, 250.0, 40.0)]
)
def test_the_ecg_band_passes_within_a_tenth_of_a_decibel(
    fs_in_hz: float, fs_out_hz: float, frequency_hz: float
) -> None:
    assert abs(20 * np.log10(gain(fs_in_hz, fs_out_hz, frequency_hz))) < 0.1


@pytest.mark.parametrize(("fs_in_hz", "frequency_hz"), [(500.0, 145.0), (1000.0, 145.0), (1000.0, 400.0)])
def test_aliases_are_attenuated_by_60_decibels(fs_in_hz: float, frequency_hz: float) -> None:
    assert 20 * np.log10(gain(fs_in_hz, 250.0, frequency_hz)) < -60.0


def test_an_output_at_a_sample_between_two_and_next_to_one_is_the_sine_there() -> None:
    at = np.array([20.0, 20.5, 20.001, 20.9999, 33.3])
    x = np.sin(0.3 * np.arange(60))
    assert Resampler(250.0, 250.0).push(x, at) == pytest.approx(np.sin(0.3 * at), abs=5e-4)


@pytest.mark.parametrize("sizes", [[1], [7], [3, 50, 1], [400]])
def test_any_cut_of_samples_and_positions_gives_the_same_bits_and_holds_little(sizes: list[int]) -> None:
    x = np.random.default_rng(0).standard_normal(400)
    whole = Resampler(130.0, 250.0)
    positions = np.arange(whole.half - 1, 399, 0.52)
    expected = whole.push(x, positions)
    resampler, at, out, k = Resampler(130.0, 250.0), 0, [], 0
    while at < len(x):
        n = sizes[k % len(sizes)]
        due = positions[(positions >= at) & (positions < at + n)] if at else positions[positions < n]
        out.append(resampler.push(x[at : at + n], due))
        at, k = at + n, k + 1
        assert len(resampler._buffer) <= 3 * resampler.half + n
    assert np.concatenate(out).tobytes() == expected.tobytes()


def test_an_output_comes_as_soon_as_half_a_kernel_lies_behind_it() -> None:
    resampler = Resampler(250.0, 250.0)
    first = resampler.half - 1.0
    assert len(resampler.push(np.ones(2 * resampler.half - 1), np.array([first]))) == 0
    assert resampler.push(np.ones(1), np.empty(0)) == pytest.approx([1.0])
    assert len(resampler.push(np.ones(1), np.array([first + 2.5]))) == 0
    assert len(resampler.push(np.ones(1), np.empty(0))) == 1
