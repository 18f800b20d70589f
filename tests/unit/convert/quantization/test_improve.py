"""Steps that make a calibrated model lose less in int8, on a tiny residual network."""

from __future__ import annotations

import io

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")

from convert.compute.inference import run_int8
from convert.compute.litert import describe
from convert.foundation.export import calibrated_flatbuffer, float_flatbuffer, int8_input, quantized_flatbuffer
from convert.foundation.parity import run_float
from convert.quantization import improve, steps
from convert.quantization.bias import correct_biases
from convert.quantization.forward import apply, grids, rounded_constants
from convert.quantization.network import CONVOLUTIONS, Network
from convert.quantization.noise import noise_table
from convert.quantization.passes import outputs, rounded_outputs, survey
from convert.quantization.ranges import clip_swish_inputs, swish_inputs
from convert.quantization.records import step_row
from convert.quantization.rewrite import fold_norms
from convert.quantization.sensitivity import sensitivities
from convert.quantization.stream import best_factors, find_stream, scale_stream
from firmware_bridge.errors import InputError
from helpers.tiny_quantized import CLAMP, SAMPLES, tiny_calibrated, tiny_windows, with_input_range


@pytest.fixture(scope="module")
def calibrated() -> bytes:
    return tiny_calibrated()


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    return tiny_windows(24)


def test_the_forward_pass_is_that_of_the_interpreter(calibrated: bytes, windows: np.ndarray) -> None:
    network = Network(calibrated)
    assert network.pack() == calibrated
    np.testing.assert_allclose(outputs(network, windows), run_float(calibrated, windows, None), atol=1e-5)


def test_rewriting_keeps_the_outputs(calibrated: bytes, windows: np.ndarray) -> None:
    network = Network(calibrated)
    before = outputs(network, windows)
    assert fold_norms(network) == 3
    stream = find_stream(network)
    assert stream is not None
    assert (len(stream.branches), stream.groups) == (4, 24)
    ranges, _ = survey(network, windows)
    factors = np.exp(np.random.default_rng(1).normal(0, 1, stream.groups)).astype(np.float32)
    scale_stream(network, stream, factors, ranges)
    np.testing.assert_allclose(outputs(network, windows), before, atol=1e-4)
    np.testing.assert_allclose(run_float(network.pack(), windows, None), before, atol=1e-4)
    measured, _ = survey(network, windows)
    assert set(measured) == set(ranges) & set(measured)
    for index, found in measured.items():
        np.testing.assert_allclose(ranges[index], found, atol=1e-4)


def test_each_operation_rounds_as_the_reference_kernel_does(calibrated: bytes, windows: np.ndarray) -> None:
    """Each operation gets the inputs of the kernel, so that earlier differences do not count."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    network = Network(improve(calibrated, windows)[0])
    interpreter = Interpreter(
        model_content=quantized_flatbuffer(network.pack(), int8_input(CLAMP, SAMPLES)),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    interpreter.set_tensor(source["index"], int8_input(CLAMP, SAMPLES).to_steps(windows[0]).reshape(source["shape"]))
    interpreter.invoke()
    found = {d["name"]: d for d in interpreter.get_tensor_details()}
    grid, constants = grids(network), rounded_constants(network)

    def kernel(index: int) -> np.ndarray:
        if index == network.source:
            return windows[:1].reshape(1, 1, -1, 1)
        if network.is_constant(index):
            return constants.get(index, network.constant(index))
        details = found[network.name(index)]
        scale, zero_point = details["quantization"]
        assert scale == pytest.approx(grid[index].scale, rel=1e-4)
        return ((interpreter.get_tensor(details["index"]) - float(zero_point)) * scale).astype(np.float32)

    compared = 0
    for op in network.ops:
        ours = grid[op.output].round(apply(op, [kernel(i) for i in op.inputs])).numpy()
        assert np.abs(ours - kernel(op.output)).max() <= 1.01 * grid[op.output].scale, (
            op.kind,
            network.name(op.output),
        )
        compared += 1
    assert compared == len(network.ops) > 60


def test_factors_give_a_quiet_channel_more_steps(calibrated: bytes, windows: np.ndarray) -> None:
    network = Network(calibrated)
    fold_norms(network)
    stream = find_stream(network)
    assert stream is not None
    ranges, found = survey(network, windows)
    factors = best_factors(network, stream, ranges, sensitivities(network, windows, found.std(axis=0)))
    last = stream.branches[-1][1]
    loudness = np.abs(ranges[last]).max(axis=0)
    assert np.corrcoef(np.log(loudness), np.log(factors[stream.channels[last]]))[0, 1] < -0.7


def test_clipping_touches_only_the_lower_ends_of_swish_inputs(calibrated: bytes, windows: np.ndarray) -> None:
    network = Network(calibrated)
    loud = swish_inputs(network)[0]
    network.set_range(loud, -30.0, 6.0)
    before = {op.output: network.range_of(op.output) for op in network.ops}
    assert clip_swish_inputs(network, windows) >= 1
    assert -10.0 < network.range_of(loud)[0] < -1.5
    inputs = set(swish_inputs(network))
    for index, (low, high) in before.items():
        new_low, new_high = network.range_of(index)
        assert new_high == high
        assert new_low >= low if index in inputs else new_low == low


def test_a_bias_takes_away_the_mean_error_of_its_weights() -> None:
    """Weights of .004 beside one of 1.0 round to .0079 or zero, and the input has a known mean."""
    import keras

    x = keras.Input((1, SAMPLES, 1))
    layer = keras.layers.Conv2D(2, (1, 2), padding="valid")
    layer.build(x.shape)
    kernel = np.array([[[[1.0, 1.0]], [[0.005, 0.003]]]], dtype=np.float32)
    layer.set_weights([kernel, np.array([0.5, -0.5], dtype=np.float32)])
    windows = (tiny_windows(6) + 4.0).clip(-CLAMP, CLAMP - 0.125).astype(np.float32)
    network = Network(_ranged(float_flatbuffer(keras.Model(x, [layer(x)] * 2), SAMPLES), windows))
    assert correct_biases(network, windows) == 1
    step = 1.0 / 127.0
    error = np.array([step - 0.005, 0.0 - 0.003]) * windows[:, 1:].mean()
    bias = network.constant(network.ops[0].inputs[2])
    np.testing.assert_allclose(bias, np.array([0.5, -0.5]) - error, atol=2e-3)


def _ranged(model: bytes, windows: np.ndarray) -> bytes:
    network = Network(model)
    for op in network.ops:
        network.set_range(op.output, float(windows.min()), float(windows.max()) + 1.0)
    return with_input_range(network.pack())


def test_corrected_biases_leave_no_mean_error(calibrated: bytes, windows: np.ndarray) -> None:
    network = Network(calibrated)
    before = _mean_error(calibrated, network, windows)
    assert correct_biases(network, windows) == sum(op.kind in CONVOLUTIONS for op in network.ops)
    assert _mean_error(calibrated, network, windows) < 0.2 * before


def _mean_error(exact: bytes, network: Network, windows: np.ndarray) -> float:
    a, b = outputs(Network(exact), windows), rounded_outputs(network, windows)
    return float(np.abs((b - a).mean(axis=0) / a.std(axis=0)).mean())


def test_improve_lowers_the_noise_in_the_interpreter(calibrated: bytes, windows: np.ndarray) -> None:
    stream = io.StringIO()
    better, rows = improve(calibrated, windows, stream)
    assert rows[0]["step"] == "as calibrated"
    assert len(rows) == 5 == len(stream.getvalue().splitlines())
    assert rows[-1]["noise_to_signal"] < 0.2 * rows[0]["noise_to_signal"]
    others = tiny_windows(16, seed=9)
    exact = run_float(calibrated, others, None)
    noise = [step_row("", exact, _int8_outputs(m, others))["noise_to_signal"] for m in (calibrated, better)]
    assert noise[1] < 0.3 * noise[0]


def _int8_outputs(model: bytes, windows: np.ndarray) -> np.ndarray:
    scale = int8_input(CLAMP, SAMPLES)
    int8 = quantized_flatbuffer(model, scale)
    steps = run_int8(int8, scale.to_steps(windows).reshape(-1, 1, SAMPLES, 1), "reference")
    return steps.astype(np.float64) * describe(int8).output_scale


def test_a_model_without_ranges_is_refused(windows: np.ndarray) -> None:
    import keras

    x = keras.Input((1, SAMPLES, 1))
    layer = keras.layers.Conv2D(2, (1, 2))
    with pytest.raises(InputError, match="has no range"):
        improve(float_flatbuffer(keras.Model(x, [layer(x)] * 2), SAMPLES), windows)


def test_the_same_windows_give_the_same_bytes(calibrated: bytes, windows: np.ndarray) -> None:
    assert improve(calibrated, windows)[0] == improve(calibrated, windows)[0]


def test_the_noise_is_found_where_it_is_made(calibrated: bytes, windows: np.ndarray) -> None:
    """The channels of the tiny network differ in loudness, so its residual sums are the worst until they are scaled."""
    before = noise_table(Network(calibrated), windows)
    after = {row["kind"]: row for row in noise_table(Network(improve(calibrated, windows)[0]), windows)}
    assert before[0]["kind"] == "residual sums"
    assert before[0]["tensors"] == 4
    assert after["residual sums"]["noise_to_signal"] < 0.2 * before[0]["noise_to_signal"]
    assert {row["kind"] for row in before} >= {"weights", "gates", "means", "convolutions", "products of swish"}


def test_a_step_that_makes_more_noise_is_undone(
    calibrated: bytes, windows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def narrow_every_range(network: Network, _: np.ndarray) -> None:
        for op in network.ops:
            if op.output != network.sink:
                low, high = network.range_of(op.output)
                network.set_range(op.output, 0.05 * low, 0.05 * high)

    wanted, rows = improve(calibrated, windows)
    monkeypatch.setitem(steps.STEPS, "harmful", narrow_every_range)
    found, more = improve(calibrated, windows)
    assert more[-1]["step"] == "harmful (not kept)"
    assert more[-1]["noise_to_signal"] > 2 * more[-2]["noise_to_signal"]
    assert found == wanted
    assert more[:-1] == rows


@pytest.mark.parametrize("folded", [False, True])
def test_scaling_the_stream_keeps_the_outputs_whatever_was_folded(
    calibrated: bytes, windows: np.ndarray, folded: bool
) -> None:
    network = Network(calibrated)
    if folded:
        fold_norms(network)
    ranges, wanted = survey(network, windows)
    stream = find_stream(network)
    assert stream is not None
    factors = np.exp(np.random.default_rng(0).standard_normal(stream.groups)).astype(np.float32)
    scale_stream(network, stream, factors, ranges)
    np.testing.assert_allclose(outputs(network, windows), wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_network_whose_stream_is_read_by_a_swish_is_left_as_it_is(windows: np.ndarray) -> None:
    """Without normalisation, nothing between the stream and the swish can take up a factor."""
    from convert.checkpoint.net1d import Net1D

    core = Net1D(1, 16, 1.0, (16, 24), (2, 2), 8, 2, 8, 5, use_bn=False, length=windows.shape[1], form="native").core
    plain = with_input_range(calibrated_flatbuffer(float_flatbuffer(core, windows.shape[1]), windows))
    assert find_stream(Network(plain)) is None
    wanted = outputs(Network(plain), windows)
    better = Network(improve(plain, windows)[0])
    np.testing.assert_allclose(outputs(better, windows), wanted, atol=0.05 * np.abs(wanted).max())
