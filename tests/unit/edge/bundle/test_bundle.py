"""A bundle is read strictly: every error is one line that names the problem."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle.calibration import parse_calibration
from edge.bundle.reader import demo_bundle_path, load_bundle
from edge.bundle.schema import parse_manifest
from edge.model import ConstantModel, load_model
from edge.self_test import self_test
from firmware_bridge.errors import BundleError, UsageError
from helpers.edited_bundles import edit, rehash, zipped


@pytest.fixture
def bundle_dir(tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_bundle_path(), tmp_path / "bundle"))


def test_folder_zip_and_name_are_the_same_bundle(bundle_dir: Path, tmp_path: Path) -> None:
    shas = {
        load_bundle("demo").sha256,
        load_bundle(bundle_dir).sha256,
        load_bundle(zipped(bundle_dir, tmp_path / "a.zip")).sha256,
        load_bundle(zipped(bundle_dir, tmp_path / "b.zip", "anyecg-demo/")).sha256,
    }
    assert len(shas) == 1


def test_an_altered_file_is_named(bundle_dir: Path) -> None:
    path = bundle_dir / "model.tflite"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.tflite was altered"):
        load_bundle(bundle_dir)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema="anyecg.bundle/3"), "anyecg.bundle/2"),
        (lambda m: m.pop("outputs"), "'outputs' is missing"),
        (lambda m: m.update(outputs=[]), "outputs is empty"),
        (lambda m: m["outputs"][2].update(index=4000), r"outputs\[2\].*4000"),
        (lambda m: m["outputs"][1].update(key=m["outputs"][0]["key"]), "occurs twice"),
        (lambda m: m["outputs"][0].update(kind="guess"), r"outputs\[0\]\.kind"),
        (lambda m: m["outputs"][0]["evidence"].update(auroc="high"), "auroc: expected a finite number"),
        (lambda m: m["front_end"].update(name="stream/9"), "front_end.name"),
        (lambda m: m["front_end"].update(grid_hz=500), "the value of stream/1"),
        (lambda m: m["input"].update(shape=[1, 1, 1000, 1]), "1000 samples"),
        (lambda m: m["input"].update(scale=0), "positive"),
        (lambda m: m["output"].update(dtype="float32"), "dtype"),
        (lambda m: m["aggregation"].update(minutes=-5), "minutes"),
        (lambda m: m["files"].pop("model.tflite"), "does not list model.tflite"),
        (lambda m: m["files"]["model.tflite"].update(bytes=10**13), "impossible size"),
        (lambda m: m.update(budgets=[1]), "budgets: expected an object"),
        (lambda m: m.update(tier="huge"), "tier"),
        (lambda m: m["outputs"][0].update(means=121 * "m"), "at most 120 characters"),
    ],
)
def test_a_wrong_manifest_says_where(bundle_dir: Path, change, message: str) -> None:
    edit(bundle_dir, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(bundle_dir)


@pytest.mark.parametrize("text", ["", "{", "[1,2]", "nul", '{"schema": NaN}', "[" * 100_000, '"x"'])
def test_a_file_that_is_not_a_manifest(bundle_dir: Path, text: str) -> None:
    (bundle_dir / "manifest.json").write_text(text)
    with pytest.raises(BundleError):
        load_bundle(bundle_dir)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_replaced_part_is_refused_or_harmless(data: st.DataObject) -> None:
    manifest = json.loads((demo_bundle_path() / "manifest.json").read_text())
    calibration = json.loads((demo_bundle_path() / "calibration.json").read_text())
    heads = parse_manifest(manifest).outputs
    root = data.draw(st.sampled_from([manifest, calibration]))
    node = root
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            node[key] = data.draw(JSON)
            break
        node = node[key]
    try:
        parse_manifest(manifest) if root is manifest else parse_calibration(calibration, heads)
    except BundleError as e:
        assert str(e)


def test_missing_and_foreign_files_are_named(bundle_dir: Path) -> None:
    (bundle_dir / "extra.sh").write_text("rm -rf /")
    with pytest.raises(BundleError, match=r"extra\.sh is in the bundle but not"):
        load_bundle(bundle_dir)
    (bundle_dir / "extra.sh").unlink()
    (bundle_dir / "MODEL_CARD.md").unlink()
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md is missing"):
        load_bundle(bundle_dir)


def test_a_link_in_a_bundle_is_refused(bundle_dir: Path) -> None:
    (bundle_dir / "secret").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="symbolic link"):
        load_bundle(bundle_dir)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "bundle//etc/evil", "a/./b", "a/../../evil", "a\\..\\evil", "C:evil"]
)
def test_paths_in_a_zip_must_stay_inside(bundle_dir: Path, tmp_path: Path, name: str) -> None:
    target = zipped(bundle_dir, tmp_path / "x.zip")
    with zipfile.ZipFile(target, "a") as z:
        z.writestr(name, "x")
    with pytest.raises(BundleError, match="leaves the bundle"):
        load_bundle(target)
    assert not (tmp_path / "evil").exists()


def test_zip_faults(bundle_dir: Path, tmp_path: Path) -> None:
    target = zipped(bundle_dir, tmp_path / "x.zip")
    whole = target.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        target.write_bytes(whole[:cut])
        with pytest.raises(BundleError):
            load_bundle(target)
    damaged = bytearray(whole)
    damaged[2000:2100] = bytes(100)
    target.write_bytes(damaged)
    with pytest.raises(BundleError):
        load_bundle(target)


def test_a_zip_bomb_is_not_unpacked(bundle_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for path in bundle_dir.rglob("*"):
            if path.is_file() and path.name != "model.tflite":
                z.write(path, path.relative_to(bundle_dir).as_posix())
        z.writestr("model.tflite", bytes(50_000_000))
    with pytest.raises(BundleError, match="larger than it should be"):
        load_bundle(tmp_path / "bomb.zip")


def test_invalid_golden_files(bundle_dir: Path) -> None:
    def write(**arrays: np.ndarray) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        (bundle_dir / "golden.npz").write_bytes(buffer.getvalue())
        rehash(bundle_dir, "golden.npz")

    good = load_bundle(bundle_dir)
    inputs, outputs = good.golden_inputs, good.golden_outputs
    for arrays in (
        {"inputs": inputs},
        {"inputs": inputs.astype(np.float32), "outputs": outputs},
        {"inputs": inputs[:3], "outputs": outputs},
        {"inputs": inputs[:, :, :, :100], "outputs": outputs},
        {"inputs": np.array([{}], dtype=object), "outputs": outputs},
    ):
        write(**arrays)
        with pytest.raises(BundleError, match=r"golden\.npz"):
            load_bundle(bundle_dir)
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '|i1', 'fortran_order': False, 'shape': (10000000000000,), }".ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(bundle_dir / "golden.npz", "w") as z:
        z.writestr("inputs.npy", header)
        z.writestr("outputs.npy", header)
    rehash(bundle_dir, "golden.npz")
    with pytest.raises(BundleError, match=r"golden\.npz"):
        load_bundle(bundle_dir)


def test_a_model_with_other_results_fails_its_self_test() -> None:
    bundle = load_bundle("demo")
    wrong = ConstantModel(bundle.golden_outputs[0])
    with pytest.raises(BundleError, match="self-test"):
        self_test(bundle, wrong)


@pytest.mark.parametrize(("backend", "allowed_lsb"), [("litert", 1), ("litert-reference", 0), ("tflm", 0)])
def test_interpreters_agree_on_the_golden_windows(backend, allowed_lsb: int) -> None:
    if backend == "tflm":
        pytest.importorskip("tflite_micro")
    bundle = load_bundle("demo")
    assert self_test(bundle, load_model(bundle, backend)).worst <= allowed_lsb


def test_a_file_that_is_not_a_model(bundle_dir: Path) -> None:
    (bundle_dir / "model.tflite").write_bytes(b"not a flatbuffer at all" * 10)
    rehash(bundle_dir, "model.tflite")
    with pytest.raises(BundleError, match=r"model\.tflite"):
        load_model(load_bundle(bundle_dir))


def test_unknown_backend() -> None:
    with pytest.raises(UsageError, match="unknown backend"):
        load_model(load_bundle("demo"), "tpu")  # type: ignore[arg-type]
