"""A bundle made to do harm is refused in one clean line, in bounded memory; the right hashes do not help it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge.bundle.files import MAX_RATIO, SPARE_BYTES
from edge.bundle.reader import demo_bundle_path, load_bundle
from edge.cli.main import main
from edge.model import ConstantModel
from edge.self_test import MIN_WINDOWS, self_test
from firmware_bridge.errors import BundleError
from helpers.edited_bundles import edit, rehash, zipped

HUGE = 10**400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_bundle_path(), tmp_path / "bundle"))


def first_head(change):
    return lambda c: change(next(iter(c["heads"].values())))


MANIFESTS = {
    "scale of 400 digits": lambda m: m["input"].update(scale=HUGE),
    "scale of 1e300": lambda m: m["output"].update(scale=1e300),
    "zero point": lambda m: m["output"].update(zero_point=HUGE),
    "n": lambda m: m["outputs"][0]["evidence"].update(n=HUGE),
    "horizon": lambda m: m["outputs"][0].update(horizon_min=HUGE),
    "index": lambda m: m["outputs"][0].update(index=HUGE),
    "bytes": lambda m: m["files"]["model.tflite"].update(bytes=HUGE),
    "many bytes": lambda m: m["files"].update({f"x{i}": {"sha256": "0", "bytes": 1 << 29} for i in range(9)}),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_numbers_without_end(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder, MANIFESTS[name])
    assert main(["bundle", "show", str(folder)]) == 4
    assert len(capsys.readouterr().err) < 300


CALIBRATIONS = {
    "reversed": first_head(lambda h: h.update(a=-5.0)),
    "erased": first_head(lambda h: h.update(a=0.0)),
    "steep": first_head(lambda h: h.update(a=1e300)),
    "far": first_head(lambda h: h.update(b=1e300)),
    "400 digits": first_head(lambda h: h.update(a=HUGE)),
    "threshold 0": first_head(lambda h: h.update(threshold=0.0)),
    "threshold 1": first_head(lambda h: h.update(threshold=1)),
    "threshold NaN": first_head(lambda h: h.update(threshold=float("nan"))),
    "wide": first_head(lambda h: h.update(interval={"method": "logit_sd", "sd": 1e308, "level": 0.9})),
    "endless": first_head(lambda h: h.update(interval={"method": "conformal", "half_width": float("inf")})),
}


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_a_calibration_that_lies(folder: Path, name: str) -> None:
    edit(folder, CALIBRATIONS[name], "calibration.json")
    with pytest.raises(BundleError, match=r"calibration\.heads\.potassium_low"):
        load_bundle(folder)


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07", "\x1b[2J", "a\ud800b", "a\u202eb", "a\rb", "\x9b31m"])
@pytest.mark.parametrize("place", ["name", "schema", "licence", "notice", "lab", "unit"])
def test_text_never_controls_a_terminal(folder: Path, capfd: pytest.CaptureFixture[str], place: str, text: str) -> None:
    edit(folder, lambda m: (m["outputs"][0] if place in {"lab", "unit"} else m).update({place: text}))
    assert main(["bundle", "show", str(folder)]) == (4 if place == "schema" else 0)
    shown = "".join(capfd.readouterr())
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert "owned" not in shown or "\ufffd" in shown


def test_the_notice_is_that_of_the_kit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder, lambda m: m.update(notice="A cleared medical device."))
    assert main(["bundle", "show", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "cleared" not in shown
    assert "no medical device" in shown


def test_a_key_that_occurs_twice(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"name": "anyecg-demo"', '"name": "x", "name": "anyecg-demo"', 1))
    with pytest.raises(BundleError, match="occurs twice"):
        load_bundle(folder)


def special(path: Path, kind: str) -> None:
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(kind)


@pytest.mark.parametrize("kind", ["fifo", "folder", "/dev/zero", "/etc/passwd"])
@pytest.mark.parametrize("name", ["manifest.json", "model.tflite", "golden.npz"])
def test_special_files(folder: Path, name: str, kind: str) -> None:
    special(folder / name, kind)
    with pytest.raises(BundleError):
        load_bundle(folder)


def test_a_zip_that_unpacks_to_more_than_a_bundle_needs(folder: Path, tmp_path: Path) -> None:
    target = zipped(folder, tmp_path / "x.zip")
    allowed = SPARE_BYTES + MAX_RATIO * (target.stat().st_size + (1 << 20))  # the zeros take less than that themselves
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as z, z.open("zeros", "w") as member:
        for _ in range(allowed // (1 << 20) + 1):
            member.write(bytes(1 << 20))
    with pytest.raises(BundleError, match="would unpack to"):
        load_bundle(target)


def test_a_large_file_is_hashed_and_not_kept(folder: Path, tmp_path: Path) -> None:
    with (folder / "report.bin").open("wb") as file:
        file.truncate(200 << 20)
    size = 200 << 20
    code = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[2]); from edge.bundle.reader import load_bundle;"
        "from edge.process.budget import peak_rss_mib; load_bundle('demo'); before = peak_rss_mib();"
        "load_bundle(sys.argv[1]); print(peak_rss_mib() - before)"
    )
    digest = hashlib.sha256(bytes(size)).hexdigest()
    edit(folder, lambda m: m["files"].update({"report.bin": {"sha256": digest, "bytes": size}}))
    run = [sys.executable, "-c", code, str(folder), str(Path(__file__).parents[4])]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 64


def npy(shape: str, data: bytes = b"", version: bytes = b"\1\0", descr: str = "|i1") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + data


MEMBERS = {
    "scalar": npy("()", b"\0"),
    "negative": npy("(-1, -1, 1, 1250, 1)", bytes(1250)),
    "empty but huge": npy("(0, 1099511627776)"),
    "huge": npy("(1099511627776,)"),
    "long integer": npy(f"({'9' * 400},)"),
    "many axes": npy("(" + "1, " * 33 + ")", b"\0"),
    "objects": npy("(1,)", b"\x80\x04N.", descr="|O"),
    "fields": npy("(1,)", b"\0", descr="[('a', '|i1')]"),
    "unbalanced": b"\x93NUMPY\1\0" + struct.pack("<H", 9000) + b"(" * 9000,
    "third version": b"\x93NUMPY\3\0" + struct.pack("<I", 10) + b"'" * 10,
    "nothing": b"",
    "zeros": npy("(0,)"),
}


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("where", ["inputs.npy", "outputs.npy"])
def test_arrays_that_are_none(folder: Path, where: str, name: str) -> None:
    with zipfile.ZipFile(folder / "golden.npz") as z:
        members = {n: z.read(n) for n in z.namelist()}
    with zipfile.ZipFile(folder / "golden.npz", "w") as z:
        for member, data in {**members, where: MEMBERS[name]}.items():
            z.writestr(member, data)
    rehash(folder, "golden.npz")
    with pytest.raises(BundleError, match=r"golden\.npz"):
        load_bundle(folder)


def with_golden(folder: Path, inputs: np.ndarray, outputs: np.ndarray):
    buffer = io.BytesIO()
    np.savez(buffer, inputs=inputs, outputs=outputs)
    (folder / "golden.npz").write_bytes(buffer.getvalue())
    rehash(folder, "golden.npz")
    return load_bundle(folder)


def test_golden_vectors_that_prove_nothing(folder: Path) -> None:
    good = load_bundle(folder)
    few = with_golden(folder, good.golden_inputs[: MIN_WINDOWS - 1], good.golden_outputs[: MIN_WINDOWS - 1])
    same = np.repeat(good.golden_outputs[:1], len(good.golden_inputs), axis=0)
    for bundle in (few, with_golden(folder, good.golden_inputs, same)):
        with pytest.raises(BundleError, match="golden windows"):
            self_test(bundle, ConstantModel(same[0]))


def test_a_long_message_stays_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder, lambda m: m.update(schema="line\n" * 900))
    assert main(["bundle", "show", str(folder)]) == 4
    assert capsys.readouterr().err.count("\n") == 1
    assert json.loads((folder / "manifest.json").read_text())["name"] == "anyecg-demo"
