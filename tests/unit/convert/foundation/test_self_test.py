"""The self-test of a converted bundle: sound models pass in every interpreter, damaged ones fail."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.datasets.windows import collect_windows
from convert.foundation import FoundationConfig, convert_foundation
from convert.foundation.windows import prepare
from edge.bundle.golden import Limit
from edge.bundle.reader import Bundle, load_bundle
from edge.cli.main import main as anyecg
from edge.model import BackendName, load_model
from edge.self_test import SELF_TEST_LSB, compared, measured, self_test
from firmware_bridge.errors import AnyEcgError, BundleError
from helpers.broken_models import rehashed
from helpers.damaged_models import KINDS, damaged
from helpers.small_teacher import small_bundle, write_recordings
from helpers.trained_like_teacher import SMALL, trained_like_teacher

BROKEN = 50


@pytest.fixture(scope="module", params=["int8", "dynamic"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(small_bundle(tmp_path_factory.mktemp(request.param), request.param))


@pytest.mark.parametrize("backend", ["litert", "litert-reference", "tflm"])
def test_a_sound_model_passes(bundle: Bundle, backend: BackendName) -> None:
    if backend == "tflm" and bundle.manifest.form != "int8":
        pytest.skip("TFLite Micro has no kernels for dynamic range")
    model = load_model(bundle, backend)
    self_test(bundle, model)
    found = compared(bundle, model)
    own = backend in bundle.golden_by_interpreter
    assert found.worst == 0 if own else found.found.max <= found.allowed.max


def test_every_damaged_model_fails(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The manifest has the right hash of the damaged file, as if it had been written with it."""
    folder = shutil.copytree(bundle.path, tmp_path / "bundle")
    seen = set()
    for what, model in damaged(bundle.model, BROKEN):
        seen.add(what.split()[0])
        (folder / "model.tflite").write_bytes(model)
        assert anyecg(["bundle", "verify", str(rehashed(folder))]) == BundleError.exit_code, what
        assert "was changed after the conversion" in capsys.readouterr().err
    assert seen == set(KINDS)


@pytest.mark.slow
def test_outputs_alone_show_damage_that_matters(bundle: Bundle) -> None:
    """Without the digest of the model, the limits still refuse nearly every changed operation.

    Nearly, because this network has random weights: its outputs hardly depend on some of its gates.
    """
    changed = [model for what, model in damaged(bundle.model, BROKEN) if what.startswith("operation")]
    assert len(changed) > 10
    refused = 0
    for model in changed:
        broken = replace(bundle, model=model)
        try:
            self_test(broken, load_model(broken))
        except AnyEcgError:
            refused += 1
    assert refused >= 0.8 * len(changed)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10))
def test_no_sound_model_is_refused(seed: int, tmp_path: Path) -> None:
    data = write_recordings(tmp_path / "recordings", 3, 40)
    windows = prepare(collect_windows(data, 24).raw(), 16.0).values
    teacher = trained_like_teacher(tmp_path / "teacher", windows, seed, SMALL)
    for form in ("dynamic", "int8"):
        config = FoundationConfig(
            teacher, None, data, tmp_path / form, calibration_windows=12, evaluation_windows=12, accept_loss=True,
            form=form,
        )  # fmt: skip
        convert_foundation(config)
        found = load_bundle(tmp_path / form)
        for backend in ("litert", "litert-reference", *(("tflm",) if form == "int8" else ())):
            self_test(found, load_model(found, backend))


def test_each_measure_has_its_own_limit(bundle: Bundle) -> None:
    limit = bundle.manifest.golden.limits["litert"]
    name = load_model(bundle).backend
    for low, what in (
        (replace(limit, max=1e9, rms=1e9, shift=0.0), "systematically"),
        (replace(limit, max=1e9, rms=0.0, shift=1e9), "on average"),
        (replace(limit, max=0.0, rms=1e9, shift=1e9), "by up to"),
    ):
        tight = replace(bundle.manifest, golden=replace(bundle.manifest.golden, limits={name: low}))
        moved = {name: bundle.golden_by_interpreter[name] + np.int16(1)}
        with pytest.raises(BundleError, match=what):
            self_test(replace(bundle, manifest=tight, golden_by_interpreter=moved), load_model(bundle))


def test_an_interpreter_that_was_not_tried_gets_the_loosest_limit(bundle: Bundle) -> None:
    model = load_model(bundle)
    model.backend = "another"
    limits = bundle.manifest.golden.limits.values()
    assert compared(bundle, model).allowed.max == max(limit.max for limit in limits)
    first = replace(bundle.manifest, golden=replace(bundle.manifest.golden, limits={}))
    assert compared(replace(bundle, manifest=first), model).allowed.max == SELF_TEST_LSB


def test_a_systematic_shift_is_not_hidden_by_many_windows() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(-3, 4, (64, 20))
    shifted = noise + 1
    assert measured(noise).shift < 0.5
    assert measured(shifted).shift == pytest.approx(1.0, abs=0.2)
    assert measured(np.zeros((2, 2), int)) == Limit(0.0, 0.0, 0.0)
