"""Checkpoints: which files are read, which are refused, and that no code in a file ever runs."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.checkpoint import legacy
from convert.checkpoint import reader as checkpoint
from convert.checkpoint.pickles import Inert, builders, load_plain, unpickle
from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.writer import write_checkpoint
from firmware_bridge.errors import InputError, OutputError

GOLDEN = Path(__file__).parents[3] / "golden" / "data"
NAMES = ("net1d_1lead", "net1d_1lead_bn", "net1d_12lead_ratio_half")


def state(**more: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "a.weight": rng.standard_normal((3, 4)).astype(np.float32),
        "a.bias": np.float32([1, 2, 3]),
        "a.count": np.array(7, dtype=np.int64),
        **more,
    }


def archive(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None, **options: object) -> Path:
    with zipfile.ZipFile(path, "w", **options) as z:  # type: ignore[arg-type]
        z.writestr("x/data.pkl", pickled)
        z.writestr("x/byteorder", str(options.get("order", "little")))
        for key, data in (storages or {}).items():
            z.writestr(f"x/data/{key}", data)
    return path


def tensor_pickle(shape: tuple[int, ...], stride: tuple[int, ...], *, numel: int, offset: int = 0, key: str = "0",
                  dtype: str = "FloatStorage") -> bytes:  # fmt: skip
    def number(n: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", n)

    def text(s: str) -> bytes:
        return b"X" + struct.pack("<I", len(s)) + s.encode()

    storage = b"(" + text("storage") + f"ctorch\n{dtype}\n".encode() + text(key) + text("cpu") + number(numel) + b"tQ"
    sizes = b"(" + b"".join(map(number, shape)) + b"t(" + b"".join(map(number, stride)) + b"t"
    return (
        b"\x80\x02}(" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage + number(offset) + sizes + b"\x89}tRu."
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_reads_what_ecgfounder_wrote(name: str) -> None:
    found = read_checkpoint(GOLDEN / f"{name}.pth")
    assert found.layout == "state_dict"
    assert found.facts == {"epoch": 3, "step": 1200, "val_auroc": 0.71}
    assert found.tensors["first_conv.conv.weight"].dtype == np.float32
    assert found.tensors["first_bn.num_batches_tracked"].shape == ()
    assert not found.oddities


@pytest.mark.parametrize("layout", ["state_dict", "model", "bare"])
def test_a_written_checkpoint_reads_back(tmp_path: Path, layout: str) -> None:
    tensors = state(
        half=np.float16([0.5, -2]), double=np.float64([[0.1, 1e-300, 1e39]]), empty=np.zeros((0, 3), np.float32)
    )
    write_checkpoint(tmp_path / "a.pth", tensors, layout=layout, facts={"epoch": 2, "big": 1 << 40, "auroc": 0.5})
    found = read_checkpoint(tmp_path / "a.pth")
    assert found.layout == layout
    assert list(found.tensors) == list(tensors)
    for name, value in tensors.items():
        with np.errstate(over="ignore", under="ignore"):
            expected = value.astype(np.float32) if value.dtype.kind == "f" else value
        np.testing.assert_array_equal(found.tensors[name], expected)
        assert found.tensors[name].dtype == expected.dtype
    assert layout == "bare" or found.facts == {"epoch": 2, "big": 1 << 40, "auroc": 0.5}
    first = (tmp_path / "a.pth").read_bytes()
    write_checkpoint(tmp_path / "a.pth", tensors, layout=layout, facts={"epoch": 2, "big": 1 << 40, "auroc": 0.5})
    assert (tmp_path / "a.pth").read_bytes() == first


def test_storages_are_aligned_as_in_pytorch(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.pth", state())
    with zipfile.ZipFile(tmp_path / "a.pth") as z:
        for info in z.infolist():
            with (tmp_path / "a.pth").open("rb") as f:
                f.seek(info.header_offset + 26)
                name, extra = struct.unpack("<HH", f.read(4))
            assert (info.header_offset + 30 + name + extra) % 64 == 0


def test_data_parallel_prefix_is_removed(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.pth", {f"module.{k}": v for k, v in state().items()})
    found = read_checkpoint(tmp_path / "a.pth")
    assert set(found.tensors) == set(state())
    assert "module." in found.oddities[0]


def test_bfloat16_and_big_endian(tmp_path: Path) -> None:
    raw = np.array([0x3FC0, 0xC000], dtype="<u2").tobytes()
    bf16 = archive(tmp_path / "b.pth", tensor_pickle((2,), (1,), numel=2, dtype="BFloat16Storage"), {"0": raw})
    np.testing.assert_array_equal(read_checkpoint(bf16).tensors["w"], np.float32([1.5, -2]))
    with zipfile.ZipFile(tmp_path / "e.pth", "w") as z:
        z.writestr("x/data.pkl", tensor_pickle((2,), (1,), numel=2))
        z.writestr("x/byteorder", "big")
        z.writestr("x/data/0", np.array([1.5, -2], dtype=">f4").tobytes())
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "e.pth").tensors["w"], np.float32([1.5, -2]))


def test_views_and_shared_storages(tmp_path: Path) -> None:
    raw = np.arange(12, dtype="<f4").tobytes()
    path = archive(tmp_path / "v.pth", tensor_pickle((2, 3), (1, 4), numel=12, offset=1), {"0": raw})
    np.testing.assert_array_equal(read_checkpoint(path).tensors["w"], np.float32([[1, 5, 9], [2, 6, 10]]))


# Code in a pickle never runs -----------------------------------------------------------------------------------------


class Runs:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> object:
        return self.call


class State:
    def __setstate__(self, state: object) -> None:
        raise AssertionError("it ran")

    def __reduce__(self) -> object:
        return (State, (), {"x": 1})


def hostile(tmp_path: Path) -> dict[str, object]:
    mark = tmp_path / "ran"
    return {
        "os.system": Runs(os.system, f"touch {mark}"),
        "eval": Runs(eval, f"open({str(mark)!r}, 'w')"),
        "exec": Runs(exec, f"open({str(mark)!r}, 'w')"),
        "open": Runs(open, str(mark), "w"),
        "chain": Runs(getattr, Runs(__import__, "os"), "system"),
        "nested": [{"deep": (Runs(os.system, f"touch {mark}"),)}],
        "setstate": State(),
        "numpy load": Runs(np.load, str(mark)),
        "map": Runs(map, os.system, [f"touch {mark}"]),
    }


KINDS = ("os.system", "eval", "exec", "open", "chain", "nested", "setstate", "numpy load", "map")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_is_inert(tmp_path: Path, kind: str, protocol: int) -> None:
    bad = hostile(tmp_path)[kind]
    path = archive(tmp_path / "bad.pth", pickle.dumps({"state_dict": bad, "more": bad}, protocol=protocol))
    with pytest.raises(InputError):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_code_next_to_valid_tensors_is_reported_and_not_run(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "good.pth", {"w": np.float32([1, 2])})
    with zipfile.ZipFile(tmp_path / "good.pth") as z:
        good = z.read("good/data.pkl")
    attack = b"X\x04\x00\x00\x00evilcposix\nsystem\n(X\x05\x00\x00\x00touchtR"
    pickled = good[: -len(b"u.")] + attack + b"u."
    path = archive(tmp_path / "both.pth", pickled, {"0": np.float32([1, 2]).tobytes()})
    found = read_checkpoint(path)
    np.testing.assert_array_equal(found.tensors["w"], [1, 2])
    assert found.oddities == ("the file refers to code (posix.system); none of it was run",)


def test_calls_leave_only_a_name() -> None:
    loaded = load_plain(pickle.dumps(Runs(os.system, "true")), "x")
    assert isinstance(loaded.value, Inert)
    assert loaded.inert == ["posix.system"]


def test_pythons_pickle_module_is_not_used() -> None:
    for module in (checkpoint, unpickle, builders, legacy):
        assert "pickle" not in vars(module)
        assert "importlib" not in vars(module)


@pytest.mark.parametrize(
    ("pickled", "what"),
    [
        (b"\x80\x02]r\xff\xff\xff\x7f.", "memo index 2147483647"),
        (b"\x80\x04]" + b"\x94" * 1_000_002 + b".", "more than 1000000 steps"),
        (b"\x80\x02" + b"(" * 10 + b".", "damaged"),
        (b"\x80\x02R.", "damaged"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "damaged"),
        (b"\x80\x02}", "damaged"),
        (b"\x80\x02h\x05.", "damaged"),
        (b"", "damaged"),
        (b"\x80\x04\x97.", "NEXT_BUFFER"),
    ],
)
def test_damaged_and_oversized_pickles_are_refused(tmp_path: Path, pickled: bytes, what: str) -> None:
    with pytest.raises(InputError, match=what):
        read_checkpoint(archive(tmp_path / "a.pth", pickled))


def test_deep_nesting_does_not_overflow_the_stack(tmp_path: Path) -> None:
    deep = b"\x80\x02}(" + b")" + b"\x85" * 300_000 + b"K\x01u."
    with pytest.raises(InputError, match="no tensors"):
        read_checkpoint(archive(tmp_path / "a.pth", deep))


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_an_input_error_or_plain_data(data: bytes) -> None:
    with contextlib.suppress(InputError):
        load_plain(b"\x80\x02" + data, "x")


@given(st.integers(0, 400), st.binary(min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_damage_to_a_description_gives_an_input_error_or_data(position: int, damage: bytes) -> None:
    buffer = io.BytesIO((GOLDEN / "net1d_1lead.pth").read_bytes())
    with zipfile.ZipFile(buffer) as z:
        good = z.read("net1d_1lead/data.pkl")[:600] + b"."
    with contextlib.suppress(InputError):
        load_plain(good[:position] + damage + good[position + len(damage) :], "x")


@pytest.mark.parametrize(
    ("description", "what"),
    [
        (tensor_pickle((1 << 40,), (1,), numel=4), "has 1099511627776 values, its storage has 4"),
        (tensor_pickle((1 << 40,), (0,), numel=1 << 40), "MB of tensors"),
        (tensor_pickle((2, 2), (3, 1), numel=4), "reaches beyond"),
        (tensor_pickle((4,), (1,), numel=4, offset=1), "reaches beyond"),
        (tensor_pickle((1, 1, 1, 1, 1, 1, 1, 1, 1), (1,) * 9, numel=4), "impossible shape"),
        (tensor_pickle((2,), (1, 1), numel=4), "impossible shape"),
        (tensor_pickle((-1,), (1,), numel=4), "no tensors"),
        (tensor_pickle((4,), (1,), numel=5), "16 bytes instead of 20"),
        (tensor_pickle((4,), (1,), numel=4, key="../../etc/passwd"), "missing"),
        (tensor_pickle((4,), (1,), numel=4, key="7"), "missing"),
        (tensor_pickle((4,), (1,), numel=4, dtype="ComplexFloatStorage"), "ComplexFloatStorage"),
    ],
)
def test_impossible_tensors_are_refused(tmp_path: Path, description: bytes, what: str) -> None:
    with pytest.raises(InputError, match=what):
        read_checkpoint(archive(tmp_path / "a.pth", description, {"0": np.zeros(4, "<f4").tobytes()}))


# Files that are not checkpoints --------------------------------------------------------------------------------------


def test_zip_bombs_are_refused(tmp_path: Path) -> None:
    bomb = archive(
        tmp_path / "a.pth",
        tensor_pickle((1 << 20,), (1,), numel=1 << 20),
        {"0": bytes(4 << 20)},
        compression=zipfile.ZIP_DEFLATED,
    )
    with pytest.raises(InputError, match="PyTorch did not write"):
        read_checkpoint(bomb)


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.pth", b"\x80\x02}.", {"0": bytes(4000), "1": b""})
    raw = bytearray(path.read_bytes())
    # The directory entry of storage 1 points to the bytes of storage 0.
    entries = [i for i in range(len(raw)) if raw[i : i + 4] == b"PK\x01\x02"]
    raw[entries[3] + 20 : entries[3] + 28] = raw[entries[2] + 20 : entries[2] + 28]
    raw[entries[3] + 42 : entries[3] + 46] = raw[entries[2] + 42 : entries[2] + 46]
    path.write_bytes(raw)
    with pytest.raises(InputError, match="PyTorch did not write"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git-LFS pointer"),
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"0123456789" * 60, "not a PyTorch checkpoint"),
        (bytes(257) + b"ustar" + bytes(250), "tar archive"),
        (b"\x80\x04}.", "bare pickle"),
        (b"PK\x03\x04 and nothing more", "truncated"),
    ],
)
def test_other_file_types_are_recognised(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(InputError, match=what):
        read_checkpoint(tmp_path / "a.pth")


def test_every_truncation_gives_an_input_error(tmp_path: Path) -> None:
    whole = (GOLDEN / "net1d_1lead.pth").read_bytes()
    for part in (0.1, 0.5, 0.9, 0.999):
        (tmp_path / "a.pth").write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InputError, match="truncated"):
            read_checkpoint(tmp_path / "a.pth")


def test_a_flipped_bit_in_the_weights_is_found(tmp_path: Path) -> None:
    whole = bytearray((GOLDEN / "net1d_1lead.pth").read_bytes())
    whole[len(whole) // 2] ^= 1
    (tmp_path / "a.pth").write_bytes(whole)
    with pytest.raises(InputError, match="download it again"):
        read_checkpoint(tmp_path / "a.pth")


def test_zips_without_a_checkpoint_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as z:
        z.writestr("word/document.xml", "x")
    with pytest.raises(InputError, match=r"no data\.pkl"):
        read_checkpoint(tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as z:
        z.writestr("x/data.pkl", b"\x80\x02}.")
        z.writestr("x/constants.pkl", b"")
    with pytest.raises(InputError, match="TorchScript"):
        read_checkpoint(tmp_path / "b.pth")


def test_unreadable_and_unwritable_paths(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "a.pth")
    with pytest.raises(InputError, match="is a folder"):
        read_checkpoint(tmp_path)
    with pytest.raises(OutputError, match="cannot write"):
        write_checkpoint(tmp_path / "no" / "a.pth", state())
    with pytest.raises(ValueError, match="complex"):
        write_checkpoint(tmp_path / "a.pth", {"x": np.complex64([1])})
    assert list(tmp_path.iterdir()) == []
