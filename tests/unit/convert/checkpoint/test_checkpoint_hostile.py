"""Checkpoints that were made to harm: each is refused or read within bounded time and memory, and nothing runs."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.checkpoint import archive, leaves, storages
from convert.checkpoint.pickles import builders, load_plain
from convert.checkpoint.reader import read_checkpoint
from firmware_bridge.errors import InputError
from helpers.torch_files import Pickler, Tensor, tensors, tiny_state, write_zip

ROOT = Path(__file__).resolve().parents[4]


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def name(module: str, function: str) -> bytes:
    return f"c{module}\n{function}\n".encode()


def described(path: Path, pickled: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("a/data.pkl", pickled)
        z.writestr("a/data/0", bytes(16))
    return path


def refused(path: Path, what: str) -> str:
    with pytest.raises(InputError, match=what) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert message.isprintable()
    return message


ORDERED = name("collections", "OrderedDict")
LATIN1 = name("_codecs", "encode")
REBUILD = name("torch._utils", "_rebuild_tensor_v2")
LONG = "a" * (1 << 20)


@pytest.mark.parametrize(
    ("pickled", "what"),
    [
        # A list of 400,000 pairs that is copied into 80,000 dictionaries.
        (b"]q\0(" + text("a") + b"N\x86q\1" + b"h\1" * 400_000 + b"e0" + ORDERED + b"q\0020" + b"h\2h\0\x85R0" * 80_000,
         "copies more than"),
        # A megabyte that is encoded 60,000 times.
        (text(LONG) + b"q\0000" + LATIN1 + b"q\0010" + (b"h\1h\0" + text("latin1") + b"\x86R") * 60_000,
         "produces more than 32 MB"),
        # A shape of 100,000 dimensions that is checked 40,000 times.
        (b"(" + b"K\1" * 100_000 + b"tq\0000" + REBUILD + b"q\0010" + b"h\1(h\0K\0h\0h\0tR0" * 20_000 + b"}",
         "no tensors"),
        # Names of a megabyte, joined 50,000 times.
        (text(LONG) + b"q\0000" + b"h\0h\0\x930" * 50_000 + b"}", "no tensors"),
        # A number of two megabytes that is hashed 30,000 times.
        (b"\x8b" + struct.pack("<i", 1 << 21) + b"\1" * (1 << 21) + b"q\0000}q\1" + b"h\0Ns" * 30_000, "no tensors"),
        # Two equal keys of a megabyte that are compared 200,000 times.
        (text(LONG) + b"q\0000" + text(LONG) + b"q\0010}" + b"h\0Nsh\1Ns" * 100_000, "no tensors"),
        # 120,000 objects, each the state of the next.
        (name("a", "b") + b"q\0000Nq\0010" + (b"h\0)\x81h\1bq\0010") * 120_000 + b"h\1", "holds a pickled a.b object"),
        # 60,000 dictionaries, each in the next.
        (b"}q\1" + b"0" + (b"}" + text("k") + b"h\1sq\0010") * 60_000 + b"h\1", "no tensors"),
    ],
    ids=["copies", "encodes", "shapes", "names", "numbers", "keys", "objects", "dictionaries"],
)  # fmt: skip
def test_what_grows_is_bounded(tmp_path: Path, pickled: bytes, what: str) -> None:
    refused(described(tmp_path / "a.pth", b"\x80\x02" + pickled + b"."), what)


def test_budgets_are_far_above_what_checkpoints_need() -> None:
    pairs = [(f"k{i}", 1) for i in range(20_000)]
    pickled = b"\x80\x02" + ORDERED + b"(](" + b"".join(text(k) + b"K\1\x86" for k, _ in pairs) + b"etR."
    assert load_plain(pickled, "x").value == dict(pairs)


def test_more_values_than_any_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "a.pth", {"a": list(range(2000)), "state_dict": tensors(tiny_state())})
    read_checkpoint(path)
    monkeypatch.setattr(leaves, "MAX_NODES", 1000)
    refused(path, "more values than any checkpoint")
    monkeypatch.setattr(leaves, "MAX_NODES", 1_000_000)
    monkeypatch.setattr(leaves, "MAX_LEAVES", 10)
    refused(path, "more values than any checkpoint")


@pytest.mark.parametrize("bad", ["\x1b]0;owned\x07w", "a\nb", "w\u202e", "x" * (builders.MAX_KEY - 5)])
def test_names_that_are_no_names(tmp_path: Path, bad: str) -> None:
    path = write_zip(tmp_path / "a.pth", {"state_dict": {bad: Tensor(np.ones(1, np.float32), "f4")}})
    refused(path, "impossible name")


def test_facts_are_clean(tmp_path: Path) -> None:
    facts = {
        "a\x1b[31m": 1,
        "text": "b\x1b[31m",
        "big": 1 << 400,
        "good": 1 << 40,
        "nan": float("nan"),
        "long": "x" * 999,
    }
    found = read_checkpoint(write_zip(tmp_path / "a.pth", {**facts, "state_dict": tensors(tiny_state())}))
    assert list(found.facts) == ["a?[31m", "good", "nan"]


def test_a_symbol_with_escapes_is_no_name(tmp_path: Path) -> None:
    pickled = b"\x80\x02" + name("os\x1b]0;owned\x07", "system") + b")R."
    assert "a pickled ? object" in refused(described(tmp_path / "a.pth", pickled), "pickled")


@pytest.mark.parametrize(
    ("shape", "stride", "what"),
    [
        ((1,), (1 << 70,), "impossible shape"),
        ((1,), (1 << 62,), "impossible shape"),
        ((0, 1 << 70), (1, 1), "impossible shape"),
        ((0, 1 << 40, 1 << 40), (1, 1, 1), "impossible shape"),
        ((1 << 20, 1 << 20), (0, 0), "its storage has 4"),
        ((4,), (-1,), "impossible shape"),
    ],
)
def test_sizes_that_overflow(tmp_path: Path, shape: tuple[int, ...], stride: tuple[int, ...], what: str) -> None:
    pickler = Pickler()
    ident = b"(" + b"".join(map(pickler.value, ("storage",))) + name("torch", "FloatStorage") + text("0") + text("cpu")
    arguments = b"(" + ident + b"K\4tQK\0" + pickler.value(shape) + pickler.value(stride) + b"\x89}t"
    refused(described(tmp_path / "a.pth", b"\x80\x02}" + text("w") + REBUILD + arguments + b"Rs."), what)


def test_a_huge_stride_of_a_single_value_is_harmless(tmp_path: Path) -> None:
    pickler = Pickler()
    ident = b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + b"K\4tQ"
    arguments = b"(" + ident + b"K\0" + pickler.value((1,)) + pickler.value((1 << 46,)) + b"\x89}t"
    path = described(tmp_path / "a.pth", b"\x80\x02}" + text("w") + REBUILD + arguments + b"Rs.")
    assert read_checkpoint(path).tensors["w"].shape == (1,)


def test_a_directory_of_a_zip_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "a.pth", tensors(tiny_state()))
    read_checkpoint(path)
    monkeypatch.setattr(archive, "MAX_DIRECTORY_BYTES", 100)
    refused(path, "a directory of")


def test_the_tensors_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "a.pth", tensors(tiny_state()))
    monkeypatch.setattr(storages, "MAX_TENSORS", 10)
    refused(path, "more than any supported network")


def test_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pth")
    for path in (tmp_path / "fifo.pth", Path("/dev/zero")):
        refused(path, "not a regular file")


CHILD = """
import json, os, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
source = open(sys.argv[1], encoding="utf-8").read().split('code=\"\"\"')[0]
from convert.checkpoint import read_checkpoint
from edge.process.budget import peak_rss_mib
from firmware_bridge.errors import InputError
import convert.checkpoint.safetensors_file
space = {"__name__": "cases"}
exec(compile(source, "cases", "exec"), space)
space["C"].pop("zipbomb")  # building it takes longer than all others; zip bombs have a test of their own
before = peak_rss_mib()
paths = {name: make() for name, make in space["C"].items()}
found = {}
for name, path in paths.items():
    started = time.process_time()
    try:
        read_checkpoint(path)
        what = "read"
    except InputError as error:
        what = str(error)
    except BaseException as error:
        what = f"!{type(error).__name__}: {error}"
    found[name] = (what, time.process_time() - started)
grown = peak_rss_mib() - before
print(json.dumps({"found": found, "mb": grown, "ran": os.path.exists("cases-out/PWNED_ck")}))
"""


def test_the_shared_cases(shared_dir: Path, tmp_path: Path) -> None:
    script = shared_dir / "cases" / "checkpoints.py"
    if not script.is_file():
        pytest.skip("no ../shared/cases beside the project")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", CHILD, str(script)]
    done = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert len(result["found"]) == 43
    assert not result["ran"]
    assert {n: what for n, (what, _) in result["found"].items() if what.startswith("!") or not what.isprintable()} == {}
    # The builders of the cases are in this number, too.
    assert result["mb"] < 200 + 150
    read = {n for n, (what, _) in result["found"].items() if what == "read"}
    assert read == {
        "ok", "os_system_in_dict", "builtins_getattr_nested", "overlap", "overlap_dtypes", "fact_hugeint", "fact_nan",
        "deep_tuple",
    }  # fmt: skip


DATA = Path(__file__).parent / "data"


@given(
    st.sampled_from(["legacy.pth", "bf16.safetensors", "module.pth", "bf16.pth"]),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 6)), min_size=1, max_size=4),
)
@settings(max_examples=120)
def test_any_damage_gives_an_input_error_or_tensors(
    tmp_path_factory: pytest.TempPathFactory, file: str, damages: list[tuple[float, bytes, int]]
) -> None:
    raw = (DATA / file).read_bytes()
    for where, put, drop in damages:
        at = int(where * (len(raw) - 1))
        raw = raw[:at] + put + raw[at + drop :]
    path = tmp_path_factory.mktemp("damaged") / file
    path.write_bytes(raw)
    with contextlib.suppress(InputError):
        read_checkpoint(path)
