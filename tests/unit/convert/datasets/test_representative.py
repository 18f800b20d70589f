"""The windows for quantization cover the data, and the choice does not depend on their order."""

from __future__ import annotations

import numpy as np
import pytest

from convert.datasets.representative import FEATURES, Described, choose, coverage, coverage_text, describe
from firmware_bridge.errors import InputError
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth


def cloud(n: int, seed: int = 0) -> Described:
    """Make features of mostly similar windows, with a few of every other kind at the end."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.3, (n, len(FEATURES)))
    for j in range(len(FEATURES)):
        values[n - 12 + 2 * j, j] = 2.0
        values[n - 11 + 2 * j, j] = -2.0
    device = np.array(["strap"] * (n - 3) + ["board"] * 3)
    return Described(values, device)


def test_the_choice_contains_rare_kinds_and_the_first_windows_do_not() -> None:
    all_of_them = cloud(500)
    chosen = choose(all_of_them, 30)
    assert len(set(chosen.tolist())) == 30
    assert set(range(488, 500)) <= set(chosen.tolist())
    found, first = coverage(all_of_them, chosen), coverage(all_of_them, np.arange(30))
    for name in FEATURES:
        assert found[name]["covered"] == 1.0 > first[name]["covered"]
        assert found[name]["chosen"] == found[name]["all"]
    assert (found["device"], first["device"]) == ({"all": 2, "chosen": 2}, {"all": 2, "chosen": 1})
    assert "devices 2 of 2" in coverage_text(found)


def test_the_choice_is_reproducible_and_independent_of_order() -> None:
    one = cloud(200)
    chosen = choose(one, 20)
    assert (choose(one, 20) == chosen).all()
    order = np.random.default_rng(1).permutation(200)
    turned = choose(Described(one.values[order], one.device[order]), 20)
    assert sorted(order[turned].tolist()) == chosen.tolist()


def test_few_windows_are_all_chosen_and_duplicates_do_not_matter() -> None:
    assert choose(cloud(20), 30).tolist() == list(range(20))
    same = Described(np.zeros((40, len(FEATURES))), np.array(["a"] * 40))
    assert len(set(choose(same, 10).tolist())) == 10
    assert coverage(same, np.arange(3))["rate"]["covered"] == 1.0


def test_one_extreme_window_does_not_hide_the_others() -> None:
    one = cloud(300)
    one.values[0] = 1e6
    chosen = choose(one, 30)
    assert set(range(288, 300)) <= set(chosen.tolist())


def window(hr_bpm: float, gain: float, noise: float, seed: int, **changes: float) -> tuple[np.ndarray, np.ndarray]:
    raw = EcgSynth(EcgParams(hr_bpm=hr_bpm, **changes), seed).generate(5000, 500.0)
    rng = np.random.default_rng(seed)
    raw = raw + noise * rng.standard_normal(5000)
    return gain * raw[::4], gain * (raw + 0.5 * noise * np.sin(np.arange(5000) / 300.0))


def test_features_measure_what_their_names_say() -> None:
    slow, fast, noisy = window(50, 1.0, 0.003, 1), window(130, 4.0, 0.003, 1), window(50, 1.0, 0.1, 1)
    irregular = window(70, 1.0, 0.003, 1, af=True)
    filtered, raw = (np.array([w[k] for w in (slow, fast, noisy, irregular)]) for k in (0, 1))
    found = dict(zip(FEATURES, describe(filtered, raw).values.T, strict=True))
    assert found["rate"][:2] == pytest.approx([50, 130], rel=0.08)
    assert found["amplitude"][1] - found["amplitude"][0] == pytest.approx(np.log10(4.0), abs=0.15)
    assert found["noise"][2] > found["noise"][0] + 0.5
    assert found["irregularity"][3] > 2 * found["irregularity"][0]
    assert found["wander"][2] > found["wander"][0]


def test_arrays_of_different_length_are_refused() -> None:
    for words in (
        (np.zeros((0, 1250)),),
        (np.zeros((2, 1250)), np.zeros((3, 5000))),
        (np.zeros((2, 1250)), None, ["a"]),
    ):
        with pytest.raises(InputError, match="equally many"):
            describe(*words)
    assert np.isfinite(describe(np.zeros((2, 1250)), np.zeros((2, 5000))).values).all()
