"""Targets for the files of a bundle."""

from __future__ import annotations

import functools
import io
import json
import shutil
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.bundle.calibration import parse_calibration
from edge.bundle.diff import changes_between
from edge.bundle.files import open_files, read
from edge.bundle.golden import read_golden
from edge.bundle.reader import Bundle, _json, demo_bundle_path, load_bundle
from edge.bundle.signature import parse_signature
from edge.cli.bundle.show import describe
from edge.estimate import Estimator
from edge.rounding import significant
from fuzz.target import MAX_BYTES, Target, check_texts, scratch

HEADS = 3
"""Heads of the manifest that the fuzzer begins with; twelve would be mostly repetition."""


@functools.cache
def demo() -> Bundle:
    """Return the bundle in the package."""
    return load_bundle(demo_bundle_path())


def _small_manifest() -> dict:
    manifest = json.loads((demo_bundle_path() / "manifest.json").read_text())
    manifest["outputs"] = manifest["outputs"][:HEADS]
    return manifest


def manifest_seeds() -> list[bytes]:
    """Return the demonstration's manifest with few heads, and one of schema 2."""
    first = _small_manifest()
    second = {**first, "schema": "anyecg.bundle/2", "form": "dynamic"}
    second["golden"] = {
        "model_sha256": first["files"]["model.tflite"]["sha256"],
        "interpreters": {"litert": {"max": 2, "rms": 0.5, "shift": 0.1}},
    }
    return [json.dumps(first).encode(), json.dumps(second).encode()]


@functools.cache
def _folder() -> Path:
    return Path(shutil.copytree(demo_bundle_path(), scratch() / "bundle"))


def check_manifest(data: bytes) -> None:
    """Load a whole bundle with this manifest; describe it and compare it with the demonstration."""
    (_folder() / "manifest.json").write_bytes(data)
    bundle = load_bundle(_folder())
    check_texts(describe(bundle).splitlines())
    for change in changes_between(demo(), bundle):
        check_texts([change.section])


def calibration_seeds() -> list[bytes]:
    """Return calibrations of every method."""
    heads = demo().manifest.outputs
    raw = json.loads((demo_bundle_path() / "calibration.json").read_text())
    isotonic = {"method": "isotonic", "x": [-2, 0, 1.5], "y": [0.1, 0.4, 0.9], "threshold": 0.5}
    isotonic |= {"interval": {"method": "conformal", "half_width": 0.3}, "abstain": {"low": 0.4, "high": 0.6}}
    value = {"method": "linear", "slope": 1.5, "intercept": 2, "interval": {"method": "none"}}
    value["persons"] = {"between_sd": 1, "within_sd": 0.5}
    other = {h.key: dict(value if h.kind == "value" else isotonic) for h in heads}
    return [json.dumps(raw).encode(), json.dumps({**raw, "heads": other}).encode()]


def check_calibration(data: bytes) -> None:
    """Make estimates with this calibration; each must be a number, or absent."""
    bundle = demo()
    calibrated = replace(
        bundle, calibration=parse_calibration(_json(data, "calibration.json"), bundle.manifest.outputs)
    )
    estimator = Estimator(calibrated)
    lowest, highest = (np.full(bundle.manifest.output.width, v, np.int8) for v in (-128, 127))
    for k, outputs in enumerate((*bundle.golden_outputs[:3], lowest, highest)):
        estimator.add(float(k), outputs, 0.5)
        for lab in estimator.labs():
            shown = [lab.value, *(lab.interval or ())]
            assert all(v is None or np.isfinite(v) for v in shown), lab
            assert all(v is None or significant(v) is not None for v in shown)
            assert lab.unit != "1" or lab.value is None or 0.0 <= lab.value <= 1.0, lab


def _npy(shape: tuple[int, ...], data: bytes) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|i1", "fortran_order": False, "shape": shape})
    return header.getvalue() + data


def golden_seeds() -> list[bytes]:
    """Return two arrays, to be packed, and a packed file."""
    spec = demo().manifest
    inputs = _npy((1, *spec.input.shape), bytes(int(np.prod(spec.input.shape))))
    outputs = _npy((1, spec.output.width), bytes(spec.output.width))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inputs.npy", inputs)
        archive.writestr("outputs.npy", outputs)
    plain = struct.pack("<BH", 1, len(outputs)) + outputs + inputs
    return [plain, b"\x02" + plain[1:], b"\x00" + packed.getvalue()]


def check_golden(data: bytes) -> None:
    """Read golden vectors: the file itself after a byte 0, else two arrays that are packed here."""
    raw = data[1:]
    if data[:1] not in {b"", b"\x00"}:
        size = int.from_bytes(data[1:3], "little")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED if data[0] % 2 else zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("outputs.npy", data[3 : 3 + size])
            archive.writestr("inputs.npy", data[3 + size :])
        raw = packed.getvalue()
    spec = demo().manifest
    golden = read_golden(raw, spec.input, spec.output, spec.golden)
    assert golden.inputs.shape[1:] == spec.input.shape
    assert golden.outputs.shape == (len(golden.inputs), spec.output.width)
    assert golden.inputs.nbytes < MAX_BYTES * 1100  # the densest that deflate can pack


def zip_seeds() -> list[bytes]:
    """Return a zip with a folder and one without."""
    out = []
    for prefix, method in (("", zipfile.ZIP_STORED), ("demo/", zipfile.ZIP_DEFLATED), ("", zipfile.ZIP_LZMA)):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", method) as archive:
            archive.writestr(f"{prefix}manifest.json", '{"schema": "anyecg.bundle/1", "name": "fuzz"}')
            archive.writestr(f"{prefix}micro/model.h", "/* */")
        out.append(packed.getvalue())
    return out


def check_zip(data: bytes) -> None:
    """Read every file of a zipped bundle within a limit, then the bundle."""
    path = scratch() / "bundle.zip"
    path.write_bytes(data)
    files = open_files(path)
    for name in sorted(files.names()):
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        read(files, name, 1 << 20)
    load_bundle(path)


def signature_seeds() -> list[bytes]:
    """Return a signature file."""
    fields = {"schema": "anyecg.signature/1", "public_key": "A" * 43 + "=", "signature": "A" * 86 + "=="}
    return [(json.dumps(fields, indent=2) + "\n").encode()]


TARGETS = (
    Target("manifest", manifest_seeds, check_manifest, is_json=True),
    Target("calibration", calibration_seeds, check_calibration, is_json=True),
    Target("golden", golden_seeds, check_golden, (b"'descr': '|i1'", b"'shape': (", b"\x93NUMPY\x01\x00")),
    Target("bundle-zip", zip_seeds, check_zip, (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06")),
    Target("signature", signature_seeds, parse_signature, is_json=True),
)
