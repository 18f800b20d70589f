"""``anyecg bundle verify`` runs the whole chain on this machine, and says which interpreter is missing."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from edge import trial
from edge.bundle.reader import Bundle, load_bundle
from edge.cli.main import main
from edge.engine import Engine
from edge.model import ConstantModel, load_model
from edge.self_test import compared, self_test
from firmware_bridge.errors import CheckFailedError, MissingExtraError, MissingPackageError, UsageError


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo")


def test_the_demonstration_bundle_gives_estimates(bundle: Bundle) -> None:
    found = trial.try_chain(bundle, load_model(bundle))
    assert found.estimates == 3
    assert found.heart_rate_bpm == pytest.approx(trial.HR_BPM, abs=trial.HR_ERROR_BPM)


def test_verify_shows_the_model_s_differences_and_the_chain(capsys: pytest.CaptureFixture[str], bundle: Bundle) -> None:
    assert main(["bundle", "verify", "demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    differences = compared(bundle, load_model(bundle)).differences
    assert f"{np.count_nonzero(differences)} of 96 outputs differ, by at most 1 LSB: ok" in lines[1]
    assert lines[2].startswith("signal chain: 3 estimates from a simulated ECG, heart rate ")
    assert main(["bundle", "verify", "demo", "--backend", "litert-reference"]) == 0
    assert "8 golden windows, all 96 outputs equal: ok" in capsys.readouterr().out


@pytest.mark.parametrize(("error", "code"), [(TypeError("int64 is no index"), 70), (CheckFailedError("none"), 1)])
def test_verify_fails_where_the_chain_fails(monkeypatch, capsys: pytest.CaptureFixture[str], error, code) -> None:
    """Seen on 32-bit ARM: the model's self-test passed and the first full window ended the run."""

    def broken(self: Engine, item: object) -> None:
        raise error

    monkeypatch.setattr(Engine, "push", broken)
    assert main(["bundle", "verify", "demo"]) == code
    assert "signal chain" not in capsys.readouterr().out


def test_a_chain_that_gives_nothing_or_another_rate_fails(bundle: Bundle, monkeypatch) -> None:
    model = ConstantModel(bundle.golden_outputs[0])
    monkeypatch.setattr(trial, "HR_ERROR_BPM", 0.0)
    with pytest.raises(CheckFailedError, match=r"a heart rate of \d+ bpm for a simulated ECG of 70 bpm"):
        trial.try_chain(bundle, model)
    monkeypatch.setattr(trial, "SECONDS", 5.0)
    with pytest.raises(CheckFailedError, match="no estimate for 5 s of simulated ECG: warming_up"):
        trial.try_chain(bundle, model)


def test_golden_differences_are_counted_one_by_one(bundle: Bundle) -> None:
    shifted = bundle.golden_outputs.astype(np.int16)
    shifted[2, 3] += -1 if shifted[2, 3] > 0 else 1
    changed = replace(bundle, golden_outputs=shifted.astype(np.int8))
    reference = load_model(bundle, "litert-reference")
    assert compared(bundle, reference).differences.tolist() == np.zeros((8, 12)).tolist()
    differences = compared(changed, reference).differences
    assert (np.count_nonzero(differences), differences[2, 3]) == (1, 1)
    assert self_test(changed, reference).worst == 1


@pytest.mark.parametrize(
    ("backend", "bits", "kind", "words"),
    [
        ("litert", 64, MissingPackageError, "pip install ai-edge-litert"),
        ("litert-reference", 64, MissingPackageError, "pip install ai-edge-litert"),
        ("auto", 64, MissingPackageError, "pip install ai-edge-litert"),
        ("litert", 32, UsageError, "'anyecg run' and 'anyecg bundle' take --backend tflite-runtime"),
        ("auto", 32, MissingPackageError, "pip install tflite-runtime"),
        ("tflite-runtime", 32, MissingPackageError, "pip install tflite-runtime"),
        ("tflite-runtime", 64, MissingExtraError, r"anyecg-edge\[tflite\]"),
        ("tflm", 64, MissingExtraError, r"anyecg-edge\[micro\]"),
    ],
)
def test_a_missing_interpreter_names_what_brings_it(bundle: Bundle, monkeypatch, backend, bits, kind, words) -> None:
    for module in ("ai_edge_litert", "ai_edge_litert.interpreter", "tflite_runtime", "tflite_micro"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("edge.model.importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr("edge.model.sys.maxsize", (1 << bits - 1) - 1)
    with pytest.raises(kind, match=words) as caught:
        load_model(bundle, backend)
    assert type(caught.value) is kind
