"""The process of a device holds no OpenSSL, numpy.ma or second LiteRT runtime, nor pages that only the start needed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from edge.process.pages import _clean_program_mappings
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps of Linux")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LOADED = """
import json, sys
maps = open("/proc/self/maps").read()
print(json.dumps({
    "modules": [m for m in ("ssl", "_ssl", "_hashlib", "numpy.ma", "paho") if m in sys.modules],
    "libraries": [name for name in ("libcrypto", "libssl", "libLiteRt.so") if name in maps],
    "needed": [m for m in ("bleak.backends.bluezdbus.client", "serial", "hashlib", "ai_edge_litert.interpreter")
               if m not in sys.modules],
}))
"""


@needs_linux
@pytest.mark.parametrize("options", [[], ["--reasons"]])
def test_a_whole_run_with_both_radios_loads_neither_openssl_nor_the_second_runtime(tmp_path, options) -> None:
    """Use a recording, because the simulator loads numpy.random and with it OpenSSL, which a device does not need."""
    pytest.importorskip("ai_edge_litert")
    recording, estimates = tmp_path / "ecg.csv", tmp_path / "estimates.jsonl"
    values = (EcgSynth(EcgParams(), 1).generate(20 * 250, 250.0) * 1000.0).astype(int)
    recording.write_text("ecg_uv\n" + "".join(f"{v}\n" for v in values))
    arguments = ["--bundle", "demo", "--view", "none", "--out", str(estimates), *options]
    code = f"""
from edge.cli.main import main
code = main(["run", "--source", "replay:{recording}?fs=250&speed=max", *{arguments}])
assert code == 0, code
import sys
assert "firmware_bridge.synth.ecgsyn" not in sys.modules, "a device needs no simulator"
import bleak.backends.bluezdbus.client, serial
{LOADED}"""
    assert json.loads(python(code).splitlines()[-1]) == {"modules": [], "libraries": [], "needed": []}
    assert estimates.read_text().count("\n") > 3


@needs_linux
def test_the_measured_process_loads_what_a_run_loads(tmp_path) -> None:
    """The measurement must include the transports and start as large as ``anyecg run``.

    It adds 0.75 h to the given hours, so -0.75 means no signal at all.
    """
    pytest.importorskip("ai_edge_litert")
    np.save(tmp_path / "ecg.npy", np.zeros(10, np.int32))
    code = f"""
from edge.bench import child as bench_child
bench_child._memory("demo", "-0.75", {str(tmp_path / "ecg.npy")!r})
{LOADED}"""
    assert json.loads(python(code).splitlines()[-1]) == {"modules": [], "libraries": [], "needed": []}


def test_digests_without_openssl_are_the_same_and_openssl_can_be_imported_later() -> None:
    code = """
import sys
from edge.process.no_openssl import load_hashlib
load_hashlib()
import hashlib
print("_hashlib" in sys.modules)
for name in ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b"):
    print(hashlib.new(name, b"a patch").hexdigest())
import hmac, secrets, ssl
print(hmac.new(b"key", b"a patch", hashlib.sha256).hexdigest(), hmac.new(b"key", b"a patch", "sha256").hexdigest())
print(ssl.create_default_context() is not None)
"""
    import hmac

    lines = python(code).splitlines()
    assert lines[0] == "False"
    names = ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b")
    assert lines[1:7] == [hashlib.new(name, b"a patch").hexdigest() for name in names]
    assert lines[7].split() == [hmac.new(b"key", b"a patch", "sha256").hexdigest()] * 2
    assert lines[8] == "True"


def test_hashlib_keeps_openssl_if_python_has_no_digests() -> None:
    code = """
import importlib.util, sys
from edge.process import no_openssl
real = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in ("_sha2", "_sha256") else real(name)
no_openssl.load_hashlib()
print("hashlib" in sys.modules)
"""
    assert python(code) == "False"


def test_a_program_that_has_hashlib_keeps_it() -> None:
    code = """
import hashlib, sys
before = "_hashlib" in sys.modules
from edge.process.no_openssl import load_hashlib
load_hashlib()
print(sys.modules["hashlib"] is hashlib, ("_hashlib" in sys.modules) == before)
"""
    assert python(code) == "True True"


INTERPRETER = """
import sys
from edge.model import load_model
from edge.process import interpreter
from edge.bundle.reader import load_bundle
{before}
bundle = load_bundle("demo")
model = load_model(bundle, "{backend}")
print([model.run(w).tolist() for w in bundle.golden_inputs], "libLiteRt.so" in open("/proc/self/maps").read())
"""


@needs_linux
@pytest.mark.parametrize("backend", ["litert", "litert-reference"])
def test_the_light_interpreter_computes_the_same(backend: str) -> None:
    pytest.importorskip("ai_edge_litert")
    whole = python(INTERPRETER.format(before="", backend=backend))
    light = python(INTERPRETER.format(before="interpreter.keep_interpreter_light()", backend=backend))
    assert whole.endswith("True")
    assert light.endswith("False")
    assert light.removesuffix("False") == whole.removesuffix("True")


@needs_linux
def test_a_litert_that_needs_its_whole_package_is_loaded_completely(tmp_path) -> None:
    package = tmp_path / "ai_edge_litert"
    package.mkdir()
    (package / "__init__.py").write_text("ready = True\n")
    (package / "interpreter.py").write_text("from ai_edge_litert import ready\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from edge.process import interpreter
interpreter.keep_interpreter_light()
print(interpreter.import_interpreter().ready, sys.modules["ai_edge_litert"].ready)
"""
    assert python(code) == "True True"


def test_a_machine_without_litert_says_so() -> None:
    code = """
import sys
sys.meta_path.insert(0, type("No", (), {"find_spec": staticmethod(
    lambda name, path=None, target=None: exec("raise ImportError(name)") if name.startswith("ai_edge") else None)})())
from edge.process import interpreter
interpreter.keep_interpreter_light()
try:
    interpreter.import_interpreter()
except ImportError:
    print("ImportError")
"""
    assert python(code) == "ImportError"


@needs_linux
def test_pages_of_the_start_are_released_and_can_be_used_again() -> None:
    code = """
import numpy as np
from edge.process import budget
from edge.process.pages import release_start_pages
before = budget.rss_mib()
expected = np.fft.rfft(np.arange(64.0)).tobytes()
released = release_start_pages() / 2**20
after = budget.rss_mib()
import json, zlib  # the interpreter runs on
print(released > 1.0, after < before, np.fft.rfft(np.arange(64.0)).tobytes() == expected)
"""
    assert python(code) == "True True True"


def test_no_collection_looks_at_what_the_start_made() -> None:
    """A full collection, days after the start, would bring back the pages of every library."""
    pytest.importorskip("ai_edge_litert")
    code = """
import gc
from edge.session import load
load("demo")
print(gc.get_freeze_count() > 20_000, len(gc.get_objects()) < 1000)
"""
    assert python(code) == "True True"


def smaps(perms: str, path: str, *, anonymous: int, rss: int = 64) -> str:
    head = f"7f0000000000-7f0000010000 {perms} 00000000 08:01 123  {path}"
    return f"{head}\nSize: 64 kB\nRss: {rss} kB\nPrivate_Dirty: 0 kB\nAnonymous: {anonymous} kB\nVmFlags: rd mr\n"


@pytest.mark.parametrize(
    ("mapping", "released"),
    [
        (smaps("r-xp", "/usr/lib/libm.so.6", anonymous=0), True),
        (smaps("r--p", "/usr/lib/a folder/libm.so", anonymous=0), True),
        (smaps("r-xp", sys.executable, anonymous=0).replace(sys.executable, "EXECUTABLE"), True),
        (smaps("r--p", "/usr/lib/libm.so.6", anonymous=4), False),  # what the linker relocated
        (smaps("rw-p", "/usr/lib/libm.so.6", anonymous=0), False),
        (smaps("r--s", "/usr/lib/libm.so.6", anonymous=0), False),
        (smaps("r--p", "/home/pi/recording.npy", anonymous=0), False),
        (smaps("r-xp", "[vdso]", anonymous=0), False),
        (smaps("r-xp", "/usr/lib/libm.so.6", anonymous=0, rss=0), False),  # an emulator that does not know
    ],
)
def test_only_unchanged_pages_of_program_files_are_released(mapping: str, released: bool) -> None:
    import os

    text = mapping.replace("EXECUTABLE", os.path.realpath(sys.executable))
    expected = [(0x7F0000000000, 0x7F0000010000, 64 * 1024)] if released else []
    assert list(_clean_program_mappings(text)) == expected
    # The mapping after it is checked separately.
    assert len(list(_clean_program_mappings(text + smaps("rw-p", "/x.so", anonymous=0)))) == len(expected)
