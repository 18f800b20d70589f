"""The network is found under any key and any prefix, and alone or beside other tensors."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.checkpoint.choose import MAX_COPIES
from convert.checkpoint.reader import read_checkpoint
from edge.cli.main import main as anyecg
from firmware_bridge.errors import InputError
from helpers.torch_files import (
    Pickler,
    Tensor,
    module,
    read_back,
    tensors,
    tiny_state,
    write_legacy,
    write_safetensors,
    write_zip,
)

STATE, OTHER = tiny_state(0), tiny_state(1)
PREFIXES = (
    "", "model.", "net.", "module.", "_orig_mod.", "backbone.encoder.", "module._orig_mod.model.", "dense.",
    "stage_list.0.", "ema.module.", "model.dense.first_conv.",
)  # fmt: skip
KEYS = (
    "state_dict", "model", "model_state_dict", "net", "weights", "params", "teacher", "student", "ema", "any thing",
)  # fmt: skip


def under(prefix: str, state: dict[str, np.ndarray] = STATE, code: str = "f4") -> dict[str, object]:
    return tensors({prefix + name: value for name, value in state.items()}, code)


def one(values: float = 1.0) -> Tensor:
    return Tensor(np.float32([values]), "f4")


def same(found: dict[str, np.ndarray], state: dict[str, np.ndarray], code: str = "f4") -> None:
    assert set(found) == set(state)
    for name, value in state.items():
        assert found[name].tobytes() == read_back(value, code).tobytes(), name


@pytest.mark.parametrize("prefix", PREFIXES)
def test_any_common_prefix_is_removed(tmp_path: Path, prefix: str) -> None:
    found = read_checkpoint(write_zip(tmp_path / "a.pth", {"state_dict": under(prefix)}))
    same(dict(found.tensors), STATE)
    assert found.layout == "state_dict"
    assert found.oddities == ((f"the prefix '{prefix}' was removed from every name",) if prefix else ())


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("outer", ["", "checkpoint", "a.b"])
def test_any_key_holds_the_tensors(tmp_path: Path, key: str, outer: str) -> None:
    inner = {key: under(""), "optimizer": {"state": {0: {"exp_avg": one()}}}, "epoch": 3}
    found = read_checkpoint(write_zip(tmp_path / "a.pth", {outer: inner, "step": 5} if outer else inner))
    same(dict(found.tensors), STATE)
    assert found.layout == (f"{outer}.{key}" if outer else key)
    assert found.facts == ({"step": 5} if outer else {"epoch": 3})


def test_lists_and_nested_modules_of_names(tmp_path: Path) -> None:
    nested: dict[str, object] = {}
    for name, tensor in under("").items():
        at = nested
        *way, last = name.split(".")
        for part in way:
            at = at.setdefault(part, {})  # type: ignore[assignment]
        at[last] = tensor
    for value in ([under("net."), {"state": {0: one()}}], {"weights": nested}):
        same(dict(read_checkpoint(write_zip(tmp_path / "a.pth", value)).tensors), STATE)


def test_other_tensors_are_left_out_with_a_note(tmp_path: Path) -> None:
    more = {
        "loss.uw": one(), "criterion.weight": one(), "ema_decay": one(),
        "ema.module.first_conv.conv.weight": Tensor(STATE["first_conv.conv.weight"] + 1, "f4"),
    }  # fmt: skip
    found = read_checkpoint(write_zip(tmp_path / "a.pth", {"state_dict": under("model.") | more}))
    same(dict(found.tensors), STATE)
    assert found.oddities[-1] == (
        "4 tensors beside the network were left out: state_dict.loss.uw, state_dict.criterion.weight, "
        "state_dict.ema_decay, a network in state_dict.ema.module"
    )
    inside = read_checkpoint(write_zip(tmp_path / "b.pth", under("") | {"loss.uw": one()}))
    same(dict(inside.tensors), STATE)
    assert inside.oddities == ("1 tensor beside the network was left out: loss.uw",)


def test_a_tensor_that_is_no_part_of_a_block_is_not_left_out(tmp_path: Path) -> None:
    extra = under("model.") | {"model.stage_list.0.block_list.0.attention.weight": one()}
    assert "stage_list.0.block_list.0.attention.weight" in read_checkpoint(write_zip(tmp_path / "a.pth", extra)).tensors


def test_the_state_of_the_training_is_named_by_its_keys(tmp_path: Path) -> None:
    value = {"model": under("module."), "optimizer": {"state": {0: {"exp_avg": one()}}}, "scaler": {"scale": one()}}
    found = read_checkpoint(write_zip(tmp_path / "a.pth", value))
    assert found.oddities == (
        "the prefix 'module.' was removed from every name",
        "the state of the training was left out: scaler, optimizer",
    )


# Several networks ----------------------------------------------------------------------------------------------------


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "twins.pth", {"model": under(""), "model_ema": under("module.", OTHER), "epoch": 1})


def test_two_networks_are_refused_with_both_names(twins: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_checkpoint(twins)
    assert "holds 2 complete networks: model, model_ema.module" in str(caught.value)
    assert "a command with --key can choose one, such as --key model" in str(caught.value)


@pytest.mark.parametrize(("key", "state"), [("model", STATE), ("model_ema", OTHER), ("model_ema.module", OTHER)])
def test_a_key_chooses_a_network(twins: Path, key: str, state: dict[str, np.ndarray]) -> None:
    found = read_checkpoint(twins, key=key)
    same(dict(found.tensors), state)
    assert f"{len(STATE)} tensors beside the network were left out: a network in model" in " ".join(found.oddities)


def test_a_wrong_key_is_refused_with_the_right_ones(twins: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no network under 'mod' \(--key can be model, model_ema.module\)"):
        read_checkpoint(twins, key="mod")
    nested = write_zip(tmp_path / "n.pth", {"a": {"b": under(""), "c": under("", OTHER)}})
    with pytest.raises(InputError, match=r"2 networks under 'a' \(--key can be a.b, a.c\)"):
        read_checkpoint(nested, key="a")


def test_a_network_at_the_top_is_called_bare(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "a.safetensors", under("") | under("ema.", OTHER))
    with pytest.raises(InputError, match="2 complete networks"):
        read_checkpoint(path)
    same(dict(read_checkpoint(path, key="bare").tensors), STATE)
    same(dict(read_checkpoint(path, key="ema").tensors), OTHER)


def test_one_dictionary_under_two_keys_is_one_network(tmp_path: Path) -> None:
    pickler = Pickler()
    state = pickler.value(under(""))
    # The second key gets the dictionary of the first one from the memo.
    described = b"\x80\x02}(" + pickler.value("model") + state + b"q\x07" + pickler.value("state_dict") + b"h\x07u."
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as z:
        z.writestr("a/data.pkl", described)
        for i, raw in enumerate(pickler.storages):
            z.writestr(f"a/data/{i}", raw)
    same(dict(read_checkpoint(tmp_path / "a.pth").tensors), STATE)


def test_an_incomplete_copy_is_no_reason_to_ask(tmp_path: Path) -> None:
    backbone = {k: v for k, v in under("momentum.", OTHER).items() if ".dense." not in k}
    found = read_checkpoint(write_zip(tmp_path / "a.pth", under("encoder.") | backbone))
    same(dict(found.tensors), STATE)
    assert "a network in momentum" in found.oddities[-1]


def test_too_many_networks(tmp_path: Path) -> None:
    one_tensor = {f"fold{i}.first_conv.conv.weight": one() for i in range(MAX_COPIES + 1)}
    with pytest.raises(InputError, match=f"holds {MAX_COPIES + 1} networks"):
        read_checkpoint(write_zip(tmp_path / "a.pth", one_tensor))


def test_two_tensors_with_one_name(tmp_path: Path) -> None:
    value = {"net": {"dense": {"bias": Tensor(OTHER["dense.bias"], "f4")}}} | under("net.")
    with pytest.raises(InputError, match=r"two tensors with the name net\.dense\.bias"):
        read_checkpoint(write_zip(tmp_path / "a.pth", value))


# Another network -----------------------------------------------------------------------------------------------------


def test_another_network_is_found_too(tmp_path: Path) -> None:
    value = {"epoch": 1, "weights": {"module.conv.weight": one(2.0), "module.conv.bias": one(3.0)}, "best": one()}
    found = read_checkpoint(write_zip(tmp_path / "a.pth", {**value, "opt": {"state": {0: {"m": one()}}}}))
    assert found.layout == "bare"
    assert set(found.tensors) == {"best"}
    found = read_checkpoint(tmp_path / "a.pth", key="weights")
    assert {k: float(v[0]) for k, v in found.tensors.items()} == {"conv.weight": 2.0, "conv.bias": 3.0}
    with pytest.raises(InputError, match=r"--key can be bare, weights, opt\.state\.0"):
        read_checkpoint(tmp_path / "a.pth", key="x")


def test_inspect_and_key(twins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert anyecg(["convert", "inspect", str(twins)]) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--key" in error
    assert anyecg(["convert", "inspect", str(twins), "--key", "model_ema"]) == 0
    out = capsys.readouterr().out
    assert "tensors under 'model_ema'" in out
    assert "a network in model" in out


# Round trip ----------------------------------------------------------------------------------------------------------

part = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=8)
# Names of parts of a Net1D in a prefix are tested above; a random one is not likely to hit them.
prefixes = st.lists(part, max_size=4).map(lambda parts: "".join(f"{p}." for p in parts))


@given(
    prefix=prefixes,
    keys=st.lists(part, max_size=2),
    code=st.sampled_from(["f4", "f8", "f2", "bf16"]),
    form=st.sampled_from(["zip", "untyped", "legacy", "safetensors", "module"]),
    extra=st.lists(part, max_size=3, unique=True),
)
@settings(max_examples=60)
def test_prefix_layout_and_type_round_trip(
    tmp_path_factory: pytest.TempPathFactory, prefix: str, keys: list[str], code: str, form: str, extra: list[str]
) -> None:
    path = tmp_path_factory.mktemp("trip") / "a.pth"
    state = under(prefix, code=code) | {f"{name}.other": one() for name in extra}
    if form == "safetensors":
        found = read_checkpoint(write_safetensors(path, state))
    else:
        value: object = state
        if form == "module":
            value, code = module({prefix + name: v for name, v in STATE.items()}), "f4"
        for key in keys[::-1]:
            value = {key: value, "epoch": 1}
        write = write_legacy if form == "legacy" else write_zip
        found = read_checkpoint(write(path, value, **({"untyped": True} if form == "untyped" else {})))
        assert form == "module" or found.layout == (".".join(keys) or "bare")
    same(dict(found.tensors), STATE, code)
    assert ("left out" in " ".join(found.oddities)) == (bool(extra) and form != "module")
