"""A bundle is written atomically, and the device's own reader accepts it."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest

from convert.bundle.writer import (
    AGGREGATION,
    STREAM_FRONT_END,
    STREAM_INPUT,
    BundleContents,
    golden_npz,
    to_json,
    write_bundle,
)
from edge.bundle.reader import load_bundle
from edge.frontend.stream import CLAMP, FS_HZ, GROUP_DELAY_S, INPUT_SCALE, WINDOW_S, WINDOW_SAMPLES
from firmware_bridge.errors import OutputError

HEAD = {
    "index": 0,
    "key": "potassium_high",
    "lab": "potassium",
    "loinc": "2823-3",
    "unit": "1",
    "direction": "high",
    "kind": "probability",
    "horizon_min": None,
    "evidence": {"auroc": 0.8, "ci": [0.7, 0.9], "n": 10, "positives": 3, "tier": "strong", "mae": None, "data": "x"},
}
CALIBRATION = {
    "method": "platt",
    "a": 1.0,
    "b": 0.0,
    "threshold": 0.5,
    "threshold_method": "youden",
    "interval": {"method": "logit_sd", "sd": 0.2, "level": 0.9},
}


def contents(**changes):
    manifest = {
        "name": "t",
        "version": "1",
        "tier": "micro",
        "licence": "MIT",
        "created": "2026-01-01",
        "teacher": {"name": None, "sha256": None},
        "front_end": dict(STREAM_FRONT_END),
        "input": dict(STREAM_INPUT),
        "output": {"dtype": "int8", "shape": [1, 1, 1, 1], "scale": 0.125, "zero_point": 0},
        "outputs": [HEAD],
        "aggregation": dict(AGGREGATION),
        "budgets": {"flash_bytes": 5, "arena_bytes": 10},
    }
    rng = np.random.default_rng(0)
    given = {
        "manifest": manifest,
        "model": b"model",
        "heads": {"potassium_high": CALIBRATION},
        "golden_inputs": rng.integers(-128, 128, (2, 1, 1, 1250, 1)).astype(np.int8),
        "golden_outputs": np.zeros((2, 1), np.int8),
        "model_card": "# card\n",
        "extra": {"validation/report.json": b"{}\n"},
    }
    return BundleContents(**(given | changes))


def test_the_reader_accepts_a_written_bundle(tmp_path):
    given = contents()
    write_bundle(tmp_path / "b", given)
    bundle = load_bundle(tmp_path / "b")
    assert bundle.model == b"model"
    assert bundle.manifest.outputs[0].key == "potassium_high"
    assert bundle.calibration["potassium_high"].interval_width == 0.2
    np.testing.assert_array_equal(bundle.golden_inputs, given.golden_inputs)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b"], "no temporary folder is left"


def test_hashes_and_sizes_match_the_files(tmp_path):
    write_bundle(tmp_path / "b", contents())
    listed = json.loads((tmp_path / "b/manifest.json").read_text())["files"]
    found = {p.relative_to(tmp_path / "b").as_posix(): p for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert set(found) == set(listed) | {"manifest.json"}
    for name, facts in listed.items():
        data = found[name].read_bytes()
        assert facts == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def test_the_same_contents_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_bundle(tmp_path / name, contents())
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_an_older_bundle_is_replaced_and_another_folder_is_not(tmp_path):
    write_bundle(tmp_path / "b", contents())
    write_bundle(tmp_path / "b", contents(model_card="# new\n"))
    assert (tmp_path / "b/MODEL_CARD.md").read_text() == "# new\n"
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not a bundle") as caught:
        write_bundle(tmp_path / "thesis", contents())
    assert caught.value.exit_code == 7
    assert (tmp_path / "thesis/chapter1.txt").read_text() == "years of work"


def test_a_full_disk_leaves_the_old_bundle(tmp_path, monkeypatch):
    write_bundle(tmp_path / "b", contents())
    before = (tmp_path / "b/manifest.json").read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_bundle(tmp_path / "b", contents(model_card="# new\n"))
    assert (tmp_path / "b/manifest.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b"]


def test_nan_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json({"auroc": float("nan")})


def test_golden_vectors_have_a_fixed_date():
    x, y = np.zeros((1, 1, 1, 4, 1), np.int8), np.zeros((1, 2), np.int8)
    assert golden_npz(x, y) == golden_npz(x, y)
    assert b"\x00\x00\x21\x00" in golden_npz(x, y)[:40], "1980-01-01 in DOS time"


def test_the_manifest_states_the_front_end_that_the_device_runs():
    assert STREAM_FRONT_END["fs_hz"] == FS_HZ
    assert STREAM_FRONT_END["window_s"] == WINDOW_S
    assert STREAM_FRONT_END["group_delay_s"] == GROUP_DELAY_S
    assert STREAM_FRONT_END["clamp"] == CLAMP
    assert STREAM_INPUT["scale"] == INPUT_SCALE
    assert STREAM_INPUT["shape"] == [1, 1, WINDOW_SAMPLES, 1]
