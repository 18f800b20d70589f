"""The first load of a bundle: whatever the model does, this process goes on and says one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge import first_load
from edge.bundle.reader import demo_bundle_path, load_bundle
from edge.cli.main import main
from firmware_bridge.errors import BundleError
from helpers.edited_bundles import rehash


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_bundle_path(), tmp_path / "bundle"))


def marks(cache: Path) -> list[Path]:
    return list(cache.rglob("proven/*"))


def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Let the child be this script instead of Python."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setattr(first_load.sys, "executable", str(script))


def test_a_good_bundle_is_tried_once(folder: Path, cache: Path, tmp_path: Path, monkeypatch) -> None:
    first_load.prove(load_bundle(folder))
    assert len(marks(cache)) == 1
    interpreter(tmp_path, monkeypatch, "kill -ABRT $$")
    first_load.prove(load_bundle(folder))
    with pytest.raises(BundleError, match="SIGABRT"):
        first_load.prove(load_bundle(folder), "litert-reference")


def test_the_bundle_in_the_package_needs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter(tmp_path, monkeypatch, "kill -ABRT $$")
    first_load.prove(load_bundle("demo"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("kill -ABRT $$", "end with SIGABRT"),
        ("kill -SEGV $$", "end with SIGSEGV"),
        ("kill -KILL $$", "end with SIGKILL"),
        ("exit 70", "made the interpreter fail"),
        ("echo nonsense; exit 1", "made the interpreter fail"),
        ("echo .; exec sleep 60", "did not answer within"),
        ("while :; do echo garbage; done | head -c 3000000; exit 1", "made the interpreter fail"),
    ],
)
def test_a_model_that_ends_its_process(folder: Path, cache: Path, tmp_path: Path, monkeypatch, body, said) -> None:
    interpreter(tmp_path, monkeypatch, body)
    monkeypatch.setattr(first_load, "SILENCE_S", 0.5)
    with pytest.raises(BundleError, match=said):
        first_load.prove(load_bundle(folder))
    assert marks(cache) == []


def changed(folder: Path, change) -> None:
    flatbuffers = pytest.importorskip("flatbuffers")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    path = folder / "model.tflite"
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(path.read_bytes()), 0))
    change(model)
    builder = flatbuffers.Builder(1 << 17)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    rehash(folder, "model.tflite")


def endless_output(model) -> None:
    tensor = model.subgraphs[0].tensors[63]
    tensor.shape = np.array(tensor.shape)
    tensor.shape[-1] = 1 << 30


def lost_input(model) -> None:
    model.subgraphs[0].operators[0].outputs[0] = 60


@pytest.mark.parametrize("change", [endless_output, lost_input])
def test_a_real_model_that_was_changed(folder: Path, change, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The first needs gigabytes, the second has an operation without input; both have the right hashes."""
    changed(folder, change)
    monkeypatch.setattr(first_load, "SILENCE_S", 10.0)
    for arguments in (
        ["bundle", "verify", str(folder)],
        ["run", "--source", "sim:?seconds=1", "--bundle", str(folder)],
    ):
        assert main(arguments) == 4
        said = capsys.readouterr().err
        assert said.startswith("anyecg: ")
        assert said.count("\n") == 1


def test_a_service_without_a_home_keeps_its_marks(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", f"{tmp_path / 'service'}:{tmp_path / 'other'}")
    first_load.prove(load_bundle(folder))
    assert len(marks(tmp_path / "service")) == 1


def test_a_cache_that_cannot_be_written_costs_nothing(folder: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    first_load.prove(load_bundle(folder))
