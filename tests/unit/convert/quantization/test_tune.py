"""Tuning by self-distillation, on a tiny residual network."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")

from convert.foundation.export import int8_input, quantized_flatbuffer
from convert.quantization import TuneOptions, improve, tune, tuning
from convert.quantization.forward import grid_of, rounded_weights
from convert.quantization.network import Network
from convert.quantization.passes import outputs, rounded_outputs
from convert.quantization.records import step_row
from convert.quantization.student import RANGE_LIMIT, Student
from firmware_bridge.errors import InputError, UsageError
from helpers.tiny_quantized import CLAMP, SAMPLES, tiny_calibrated, tiny_windows


@pytest.fixture(scope="module")
def improved() -> bytes:
    return improve(tiny_calibrated(), tiny_windows(24))[0]


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """Louder windows than those of calibration, so that some ranges are too narrow."""
    return (1.25 * tiny_windows(80, seed=4)).clip(-CLAMP, CLAMP - 0.125).astype(np.float32)


@pytest.fixture
def eager() -> Iterator[None]:
    """Run steps without a graph, whose making takes longer than a few steps."""
    from convert.quantization.forward import tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def test_the_student_rounds_as_the_emulated_kernels_do(improved: bytes, windows: np.ndarray) -> None:
    network = Network(improved)
    ours = Student(network).run(windows[:4].reshape(4, 1, SAMPLES, 1), lambda op, y: None).numpy().reshape(4, -1)
    theirs = rounded_outputs(network, windows[:4])
    # Halves are rounded up here and to even there, and one step at an early layer moves what follows.
    assert np.median(np.abs(ours - theirs)) < 0.02 * theirs.std()


def test_an_untrained_student_writes_the_model_back(improved: bytes) -> None:
    network = Network(improved)
    ranges = [network.range_of(op.output) for op in network.ops]
    weights = [network.constant(op.inputs[1]) for op in network.ops if op.kind == "CONV_2D"]
    Student(network).write()
    assert all(np.array_equal(a, network.constant(b.inputs[1])) for a, b in zip(
        weights, (op for op in network.ops if op.kind == "CONV_2D"), strict=True
    ))  # fmt: skip
    for op, (low, high) in zip(network.ops, ranges, strict=True):
        new = network.range_of(op.output)
        if op.kind in ("CONV_2D", "ADD") and op.output != network.sink:
            assert grid_of(*new).scale == pytest.approx(grid_of(low, high).scale, rel=1e-5)


@pytest.mark.slow
def test_tuning_lowers_the_noise_on_windows_that_it_has_not_seen(
    improved: bytes, windows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rates for a tiny network: those of the full one are for sums over a thousand channels."""
    monkeypatch.setattr(tuning, "RATES", (3e-4, 1e-3, 1e-2))
    stream = io.StringIO()
    tuned, rows = tune(improved, windows[:56], TuneOptions(1.0, steps=80), stream, windows[56:])
    assert rows[1]["step"] == "tuned for 80 steps"
    assert rows[1]["noise_to_signal"] < 0.7 * rows[0]["noise_to_signal"]
    assert tuned != improved
    assert "80/80 steps" in stream.getvalue()
    assert len(quantized_flatbuffer(tuned, int8_input(CLAMP, SAMPLES))) < len(tuned)


@pytest.mark.usefixtures("eager")
def test_a_resumed_tuning_gives_the_same_bytes(
    improved: bytes, windows: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trained networks are compared, whether they are better or not."""
    monkeypatch.setattr(tuning, "RATES", (3e-4, 1e-3, 1e-2))

    def trained(options: TuneOptions) -> bytes:
        network = Network(improved)
        run = tuning._Run(network, windows[:24], "key", options)
        assert run.train(None) == options.steps
        run.student.write()
        return network.pack()

    state = tmp_path / "state.npz"
    whole = trained(TuneOptions(1.0, steps=6))
    assert trained(TuneOptions(1.0, state, steps=4)) != whole
    assert trained(TuneOptions(1.0, state, steps=6)) == whole


def test_learned_ranges_stay_near_those_of_calibration(improved: bytes) -> None:
    network = Network(improved)
    before = {op.output: network.range_of(op.output) for op in network.ops}
    student = Student(network)
    student.ends.assign(np.full(student.ends.shape, -5.0, np.float32))
    student.write()
    for index, (_low, high) in before.items():
        assert network.range_of(index)[1] >= high * np.exp(-RANGE_LIMIT) * 0.999


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_a_damaged_state_is_refused(improved: bytes, windows: np.ndarray, tmp_path: Path, content: bytes) -> None:
    state = tmp_path / "state.npz"
    state.write_bytes(content)
    with pytest.raises(InputError, match="is not the state of a tuning"):
        tune(improved, windows, TuneOptions(1.0, state, steps=1))


@pytest.mark.usefixtures("eager")
def test_the_state_of_another_model_is_refused(improved: bytes, windows: np.ndarray, tmp_path: Path) -> None:
    state = tmp_path / "state.npz"
    tune(improved, windows[:8], TuneOptions(1.0, state, steps=1))
    with pytest.raises(InputError, match="another model or other windows"):
        tune(improved, windows[8:16], TuneOptions(1.0, state, steps=1))


def test_no_time_and_no_steps_is_refused(improved: bytes, windows: np.ndarray) -> None:
    with pytest.raises(UsageError, match="minutes or steps"):
        tune(improved, windows, TuneOptions(0.0))


def test_rounded_weights_of_a_tuned_model_are_those_of_the_student(improved: bytes) -> None:
    """The kernel that the student sees is what the converter makes of the weights it writes."""
    from convert.quantization.forward import tf

    network = Network(improved)
    weights = network.constant(network.ops[0].inputs[1]).transpose(1, 2, 3, 0)
    peak = np.abs(weights).max(axis=(0, 1, 2))
    seen = tf.quantization.fake_quant_with_min_max_vars_per_channel(weights, -peak, peak, 8, narrow_range=True)
    np.testing.assert_allclose(seen, rounded_weights(weights, 3), atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_model_before_its_biases_were_corrected_teaches(improved: bytes, windows: np.ndarray) -> None:
    judged = [
        tune(improved, windows[:8], TuneOptions(1.0, steps=1), None, windows[56:], teacher)[1][0]["noise_to_signal"]
        for teacher in (None, tiny_calibrated())
    ]
    exact = outputs(Network(tiny_calibrated()), windows[56:])
    row = step_row("", exact, rounded_outputs(Network(improved), windows[56:]))
    assert judged[1] == row["noise_to_signal"] != judged[0]
