"""The quantization-aware form, the exported model and every interpreter must agree. Imports TensorFlow (slow)."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")

from convert.compute.inference import arena_bytes, as_float, run_int8
from convert.compute.litert import describe, export_int8
from convert.compute.qat import (
    OUTPUT_RANGE,
    float_forward,
    fold,
    initial_ranges,
    initial_weights,
    post_training_ranges,
    quantized_forward,
    trainable_names,
)
from convert.compute.students import ALLOWED_OPS, PRESETS, Block, StudentSpec
from convert.compute.training import Phase, Trainer, load_state, save_state, start
from convert.distil.parity import parity

TINY = StudentSpec("tiny", 4, 7, 2, (Block(6, 5, 2), Block(6, 5), Block(8, 3, 2)), 8, 32 * 1024, 16 * 1024)
HEADS = 3
SAMPLES = 160


def _data(n, seed):
    """Make a task that a tiny network learns: sign and size of a bump. The third head is noise."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(-3, 3, n)
    t = np.arange(SAMPLES)[None, :]
    bump = size[:, None] * np.exp(-0.5 * ((t - rng.integers(40, 120, n)[:, None]) / 6.0) ** 2)
    x = np.clip(np.rint((bump + 0.3 * rng.standard_normal((n, SAMPLES))) * 16), -128, 127).astype(np.int8)
    y = np.stack([size > 0, size, rng.random(n) < 0.5], axis=1).astype(np.float32)
    y[::5, 1] = np.nan
    return x[:, None, :, None], y


def _train(kind, state, epochs, seed=5):
    x, y = _data(192, seed)
    phase = Phase(kind, epochs, steps_per_epoch=4, rate=1e-2 if kind == "float" else 2e-3)
    trainer = Trainer(TINY, [False, True, False], phase, state, seed)
    while trainer.epoch < epochs:
        order = np.random.default_rng([seed, trainer.epoch]).permutation(192)
        batches = ((as_float(x[rows]), y[rows]) for rows in np.split(order, 4))
        trainer.run_epoch(batches, (as_float(x[:64]), y[:64]), lambda _: None)
    return trainer.state()


@pytest.fixture(scope="module")
def trained():
    state = _train("float", start(initial_weights(TINY, HEADS, 0)), 10)
    folded = fold(TINY, HEADS, state.best)
    ranged = initial_ranges(TINY, HEADS, folded, as_float(_data(64, 1)[0]))
    return state, folded, _train("quant", start(ranged), 4).best


@pytest.fixture(scope="module")
def exported(trained):
    return export_int8(TINY, HEADS, trained[2], samples=SAMPLES)


def test_training_learns_the_signal_and_not_the_noise(trained):
    x, y = _data(200, 99)
    logits = quantized_forward(TINY, HEADS, trained[2], as_float(x))
    assert np.mean((logits[:, 0] > 0) == (y[:, 0] > 0.5)) > 0.9
    assert np.mean((logits[:, 2] > 0) == (y[:, 2] > 0.5)) < 0.65


@pytest.mark.slow
def test_a_resumed_training_ends_with_the_same_bits(tmp_path):
    whole = _train("float", start(initial_weights(TINY, HEADS, 0)), 2)
    rng_free = Phase("float", 2, steps_per_epoch=4, rate=1e-2)
    x, y = _data(192, 5)
    state = start(initial_weights(TINY, HEADS, 0))
    for epoch in range(2):
        trainer = Trainer(TINY, [False, True, False], rng_free, state, 5)
        order = np.random.default_rng([5, epoch]).permutation(192)
        batches = ((as_float(x[rows]), y[rows]) for rows in np.split(order, 4))
        trainer.run_epoch(batches, (as_float(x[:64]), y[:64]), lambda _: None)
        save_state(tmp_path / "state.npz", trainer.state())
        state = load_state(tmp_path / "state.npz")
    assert state.epoch == whole.epoch == 2
    for name, value in whole.weights.items():
        np.testing.assert_array_equal(value, state.weights[name], err_msg=name)
    assert state.best_loss == whole.best_loss


def test_folding_does_not_change_the_outputs(trained):
    from convert.compute.qat import FloatOps
    from convert.compute.students import wire

    state, _, _ = trained
    x = as_float(_data(16, 2)[0])
    ops = FloatOps(TINY, HEADS, state.best, training=False)
    logits, _ = wire(TINY, ops, x)
    folded = fold(TINY, HEADS, state.best)
    np.testing.assert_allclose(float_forward(TINY, HEADS, folded, x), logits.numpy().reshape(16, HEADS), atol=1e-4)


def test_ranges_are_learned_and_relu_tensors_stay_at_zero(trained):
    _, folded, weights = trained
    names = trainable_names(TINY, weights)
    assert "stem/high" in names
    assert "stem/low" not in names
    assert float(weights["stem/low"]) == 0.0
    ranged = initial_ranges(TINY, HEADS, folded, as_float(_data(64, 1)[0]))
    moved = [abs(float(weights[k]) - float(ranged[k])) for k in ranged if k.endswith("/high")]
    assert max(moved) > 1e-3


def test_export_has_only_allowed_operations_and_the_contracted_tensors(exported):
    assert set(exported.ops) <= ALLOWED_OPS
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN"} <= set(exported.ops)
    assert exported.ops[-1] == "CONV_2D"
    assert (exported.output_scale, exported.output_zero_point) == (0.125, 0)
    assert exported.output_shape == (1, 1, 1, HEADS)
    assert OUTPUT_RANGE == (-16.0, 15.875)


def test_int8_is_within_one_step_of_the_training_graph_and_tflm_is_exact(trained, exported):
    pytest.importorskip("tflite_micro", reason="the micro extra is not installed")
    x, _ = _data(100, 3)
    found = parity(TINY, trained[2], exported, x)
    assert found["fake_quant"]["max_lsb"] <= 1
    assert found["xnnpack"]["max_lsb"] <= 1
    assert found["tflm"]["max_lsb"] == 0
    assert run_int8(exported.model, x).std() > 3, "constant outputs would agree trivially"


def test_export_is_reproducible(trained, exported):
    assert export_int8(TINY, HEADS, trained[2], samples=SAMPLES).model == exported.model


def test_post_training_quantization_follows_the_float_student(trained):
    _, folded, _ = trained
    x, _ = _data(64, 4)
    ptq = export_int8(TINY, HEADS, post_training_ranges(TINY, HEADS, folded, as_float(x)), samples=SAMPLES)
    assert set(ptq.ops) <= ALLOWED_OPS
    real = (run_int8(ptq.model, x).astype(float) - ptq.output_zero_point) * ptq.output_scale
    float_logits = float_forward(TINY, HEADS, folded, as_float(x))
    for head in range(2):
        assert np.corrcoef(real[:, head], float_logits[:, head])[0, 1] > 0.97


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_keep_their_budget_in_the_real_interpreter(name):
    pytest.importorskip("tflite_micro", reason="the micro extra is not installed")
    spec = PRESETS[name]
    folded = fold(spec, 12, initial_weights(spec, 12, 0))
    x = np.random.default_rng(0).standard_normal((2, 1, 1250, 1)).astype(np.float32)
    exported = export_int8(spec, 12, initial_ranges(spec, 12, folded, x))
    assert set(exported.ops) <= ALLOWED_OPS
    assert len(exported.model) <= spec.flash_limit_bytes
    assert arena_bytes(exported.model) <= spec.arena_limit_bytes


def test_describe_reads_the_file(exported):
    assert describe(exported.model) == exported
