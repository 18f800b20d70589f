"""Net1D against logits and features that ECGFounder's own code computed, and errors for other checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.checkpoint.load import net1d_from_checkpoint
from convert.checkpoint.net1d import Net1D, load_tensors, to_tensors
from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.spec import FULL_BLOCKS, FULL_FILTERS, Net1DSpec, is_norm, spec_from_tensors
from convert.checkpoint.writer import write_checkpoint
from firmware_bridge.errors import InputError, UsageError

GOLDEN = Path(__file__).parents[3] / "golden" / "data"
NAMES = ("net1d_1lead", "net1d_1lead_bn", "net1d_12lead_ratio_half")


def golden_model(name: str) -> Net1D:
    return net1d_from_checkpoint(GOLDEN / f"{name}.pth", use_bn=name.endswith("_bn"))


def random_state(spec: Net1DSpec, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: (0.1 * rng.standard_normal(shape)).astype(np.float32) if len(shape) else np.array(0, np.int64)
        for name, shape in spec.shapes().items()
    }


@pytest.fixture(scope="module")
def small() -> Net1DSpec:
    return Net1DSpec(base_filters=8, filter_list=(8, 12), m_blocks_list=(1, 2), kernel_size=5, groups_width=4,
                     n_classes=3)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_original(name: str) -> None:
    golden = np.load(GOLDEN / f"{name}.npz")
    model = golden_model(name)
    lengths = [key[2:] for key in golden.files if key.startswith("x_")]
    assert lengths
    for n in lengths:
        x = golden[f"x_{n}"]
        for given in (x, x.transpose(0, 2, 1), x.transpose(0, 2, 1)[:, None]):
            found = model(given)
            np.testing.assert_allclose(found["logits"], golden[f"logits_{n}"], atol=1e-5, rtol=0)
            np.testing.assert_allclose(found["features"], golden[f"features_{n}"], atol=1e-5, rtol=0)
        fixed = model.with_length(int(n))(x)
        np.testing.assert_allclose(fixed["logits"], golden[f"logits_{n}"], atol=1e-5, rtol=0)


def test_predict_gives_a_dictionary() -> None:
    golden = np.load(GOLDEN / "net1d_1lead.npz")
    found = golden_model("net1d_1lead").predict(golden["x_777"].transpose(0, 2, 1), verbose=0)
    assert set(found) == {"logits", "features"}
    np.testing.assert_allclose(found["logits"], golden["logits_777"], atol=1e-5, rtol=0)


def test_shortcut_pool_pads_zeros_and_not_minus_infinity() -> None:
    # With zero weights a stage is only its shortcut: features are the mean of the pooled first convolution.
    model = Net1D(1, 2, 1, (2,), (1,), 1, 3, 1, 1)
    state = {n: np.zeros(s, np.float32) for n, s in model.spec.shapes().items()}
    state["first_conv.conv.weight"][:] = 1.0
    load_tensors(model, state)
    x = np.full((1, 7, 1), -1.0, np.float32)
    silu = -1.0 / (1.0 + np.e)
    # The first convolution leaves four samples a. With a zero on both sides the windows are {0, a, a}, {a, a, 0}.
    np.testing.assert_allclose(model(x)["features"], [[0.0, 0.0]], atol=1e-6)
    # With seven samples the second window is {a, a, a} and the third is {a, a, 0}.
    x = np.full((1, 13, 1), -1.0, np.float32)
    np.testing.assert_allclose(model(x)["features"], [[silu / 3, silu / 3]], atol=1e-6)


def test_options_are_inferred_from_the_shapes(small: Net1DSpec) -> None:
    for spec in (
        small,
        Net1DSpec(12, 8, 0.5, (8, 20), (2, 1), 7, 2, 4, 9),
        Net1DSpec(1, 32, 0.5, (32, 64, 64, 128, 128, 256), (1, 1, 2, 2, 2, 2), 16, 2, 8, 2),
    ):
        found = spec_from_tensors(random_state(spec), "x", stride=spec.stride, use_bn=False)
        assert found.shapes() == spec.shapes()
        assert [b.groups for b in found.blocks()] == [b.groups for b in spec.blocks()]


def test_the_full_teacher_has_its_published_size() -> None:
    spec = Net1DSpec(n_classes=108)
    assert (spec.filter_list, spec.m_blocks_list) == (FULL_FILTERS, FULL_BLOCKS)
    assert spec.count_parameters() == 30_698_332
    assert round(spec.count_macs(5000) / 1e9, 3) == 1.140
    assert spec.lengths(5000) == (2500, 1250, 625, 313, 157, 79, 40, 20)
    assert len(spec.shapes()) == 509


def test_macs_of_the_small_family_member_are_the_published_ones() -> None:
    clef = Net1DSpec(1, 32, 0.5, (32, 64, 64, 128, 128, 256), (1, 1, 2, 2, 2, 2), 16, 2, 8, 1)
    assert round(clef.count_macs(5000) / 1e6) == 29
    # The published number is 448 thousand; the width of its head is not published.
    assert 0.98 < clef.count_parameters() / 448e3 < 1.0


@pytest.mark.slow
def test_the_full_teacher_builds_loads_and_runs(tmp_path: Path) -> None:
    spec = Net1DSpec(n_classes=108)
    write_checkpoint(tmp_path / "full.pth", random_state(spec))
    model = net1d_from_checkpoint(tmp_path / "full.pth")
    assert model.count_params() == 30_698_332
    found = model(np.random.default_rng(0).standard_normal((1, 5000, 1)).astype(np.float32))
    assert np.all(np.isfinite(found["logits"]))


def test_to_tensors_is_the_inverse_of_load_tensors() -> None:
    for name in NAMES[:2]:
        tensors = read_checkpoint(GOLDEN / f"{name}.pth").tensors
        model = golden_model(name)
        found = to_tensors(model)
        assert list(found) == list(tensors)
        for key, value in tensors.items():
            unused = ".num_batches" in key or key.startswith("stage_list.0.block_list.0.bn1.")
            if not unused and (model.spec.use_bn or not is_norm(key)):
                np.testing.assert_array_equal(found[key], value, err_msg=key)


def test_saved_by_keras_and_loaded_again(tmp_path: Path) -> None:
    import keras

    model = golden_model("net1d_1lead")
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", custom_objects={"Net1D": Net1D})
    x = np.load(GOLDEN / "net1d_1lead.npz")["x_777"]
    np.testing.assert_allclose(again(x)["logits"], model(x)["logits"], atol=1e-6)


def test_module_prefix_and_model_layout(tmp_path: Path) -> None:
    tensors = read_checkpoint(GOLDEN / "net1d_1lead.pth").tensors
    write_checkpoint(tmp_path / "a.pth", {f"module.{k}": v for k, v in tensors.items()}, layout="model")
    golden = np.load(GOLDEN / "net1d_1lead.npz")
    found = net1d_from_checkpoint(tmp_path / "a.pth")(golden["x_777"])
    np.testing.assert_allclose(found["logits"], golden["logits_777"], atol=1e-5)


def test_normalisation_may_be_absent_where_it_is_not_used(small: Net1DSpec) -> None:
    state = {k: v for k, v in random_state(small).items() if not is_norm(k)}
    assert spec_from_tensors(state, "x", stride=2, use_bn=False).n_classes == 3
    with pytest.raises(InputError, match=r"missing: first_bn\.weight"):
        spec_from_tensors(state, "x", stride=2, use_bn=True)


def test_all_faults_are_reported_together(small: Net1DSpec) -> None:
    state = random_state(small)
    del state["stage_list.1.block_list.1.se_fc1.bias"]
    state["head.weight"] = np.zeros((2, 2), np.float32)
    state["dense.bias"] = np.zeros(5, np.float32)
    with pytest.raises(InputError) as e:
        spec_from_tensors(state, "a.pth", stride=2, use_bn=False)
    text = str(e.value)
    assert "\n" not in text
    for part in ("missing: stage_list.1.block_list.1.se_fc1.bias", "extra: head.weight",
                 "wrong shape: dense.bias (5,) instead of (3,)"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda s: {"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}, "another network"),
        (lambda s: {k: v for k, v in s.items() if not k.startswith("dense")}, r"missing: dense\.weight"),
        (lambda s: {k: v for k, v in s.items() if not k.startswith("first_conv")}, "missing: first_conv"),
        (lambda s: {k: v for k, v in s.items() if ".block_list.0." not in k}, "missing: stages or blocks"),
        (lambda s: {**s, "dense.weight": np.zeros((2, 3, 4), np.float32)}, "wrong shape: dense.weight"),
        (lambda s: {**s, "stage_list.0.block_list.0.conv3.conv.weight": np.zeros((4, 8, 1), np.float32)}, "Net1D"),
        (lambda s: {**s, "dense.bias": np.float32([0, np.nan, 0])}, r"NaN or infinite values: dense\.bias"),
    ],
)
def test_other_networks_and_damaged_ones_are_refused(small: Net1DSpec, change: object, what: str) -> None:
    with pytest.raises(InputError, match=what):
        spec_from_tensors(change(random_state(small)), "a.pth", stride=2, use_bn=False)  # type: ignore[operator]


@pytest.mark.parametrize(
    "options",
    [
        {"filter_list": (8, 4)},
        {"m_blocks_list": (1,)},
        {"m_blocks_list": (1, 0)},
        {"kernel_size": 0},
        {"groups_width": 100},
        {"ratio": 0.01},
        {"ratio": 0.4},
        {"base_filters": 1, "filter_list": (1, 2), "groups_width": 1},
    ],
)
def test_contradictory_options_are_refused(options: dict[str, object]) -> None:
    base: dict[str, object] = {"base_filters": 8, "filter_list": (8, 16), "m_blocks_list": (1, 1), "groups_width": 4}
    with pytest.raises(UsageError):
        Net1DSpec(**{**base, **options})  # type: ignore[arg-type]


def test_dropout_acts_in_training_only() -> None:
    import keras

    keras.utils.set_random_seed(1)
    model = Net1D(1, 4, 1, (4,), (2,), 3, 2, 4, 2, use_do=True, length=64)
    x = np.random.default_rng(0).standard_normal((2, 64, 1)).astype(np.float32)
    np.testing.assert_array_equal(model(x)["logits"], model(x)["logits"])
    assert np.any(np.asarray(model(x, training=True)["logits"]) != np.asarray(model(x, training=True)["logits"]))


@pytest.mark.slow
def test_it_trains_with_fit() -> None:
    import keras

    keras.utils.set_random_seed(1)
    model = Net1D(1, 4, 1, (4, 8), (1, 1), 5, 2, 4, 1, use_bn=True)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 80, 1)).astype(np.float32)
    y = (np.abs(x).mean((1, 2)) > np.median(np.abs(x).mean((1, 2)))).astype(np.float32)[:, None]
    model.compile("adam", loss={"logits": keras.losses.BinaryCrossentropy(from_logits=True), "features": None})
    losses = model.fit(x, {"logits": y}, epochs=8, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
