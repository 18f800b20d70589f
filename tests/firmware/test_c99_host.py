"""The plain C99 network on this machine: every compiler and level, sanitizers, warnings, a fuzzer, many windows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")
pytest.importorskip("tflite_micro", reason="the micro extra is not installed")

from convert.compute.inference import run_int8
from helpers.c99_students import RUNNER, outputs_of, student, windows, write_sources
from helpers.c_side import SANITIZE
from helpers.firmware_build import HERE, STRICT_C, compiled, run, tool

pytestmark = pytest.mark.slow

HEADS = {"demo": 12, "nano": 1, "micro": 30, "small": 108}
MANY = {"demo": 2_000, "nano": 4_000, "micro": 1_000, "small": 400}
"""``benchmarks/bench_micro_c99.py --host 10000`` compares ten thousand of each."""

MISRA_LIKE = (
    *("-Wswitch-default", "-Wswitch-enum", "-Wvla", "-Wbad-function-cast", "-Wnested-externs", "-Winit-self"),
    *("-Wold-style-definition", "-Wwrite-strings", "-Wpointer-arith", "-Wunused-macros", "-Wfloat-equal", "-Wcomment"),
    *("-Wmissing-declarations", "-Wnull-dereference", "-Winline", "-Walloca", "-Wstack-usage=512"),
)
GCC_ONLY = (
    "-Wlogical-op",
    "-Wduplicated-cond",
    "-Wduplicated-branches",
    "-Wjump-misses-init",
    "-Wunsuffixed-float-constants",
)
CLANG_TOLERATED = ("-Wno-padded", "-Wno-declaration-after-statement", "-Wno-unknown-warning-option")
CLANG_NEWER = ("-Wno-unsafe-buffer-usage", "-Wno-switch-default", "-Wno-pre-c11-compat")
FUZZ_S = 20


def clang() -> str:
    found = shutil.which("clang")
    if found is None:
        pytest.skip("clang is not installed (.ci/install-slow installs it)")
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    return write_sources(student("demo"), tmp_path_factory.mktemp("c99"))


@pytest.fixture(scope="module")
def wanted():
    rows = windows(60)
    return rows, run_int8(student("demo"), rows.reshape(60, 1, 1, -1, 1), "tflm")


def program(folder: Path, out: Path, compiler: str, *flags: str) -> Path:
    compiled([compiler, "-std=c99", *flags, f"-I{folder}", *folder.glob("anyecg_*.c"), RUNNER, "-o", out])
    return out


@pytest.mark.parametrize("form", [(), ("-DANYECG_NARROW=1",), SANITIZE], ids=["plain", "narrow", "sanitized"])
@pytest.mark.parametrize("level", ["-O0", "-Os", "-O2", "-O3"])
@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_the_same_bits_from_every_compiler(tmp_path, demo, wanted, name, level, form):
    compiler = clang() if name == "clang" else tool("gcc")
    rows, outputs = wanted
    assert np.array_equal(
        outputs_of(program(demo, tmp_path / "run", compiler, level, *form), rows, HEADS["demo"]), outputs
    )


@pytest.mark.parametrize("name", MANY)
def test_many_windows(tmp_path, name):
    model, rows = student(name, HEADS[name]), windows(MANY[name], seed=11)
    folder = write_sources(model, tmp_path / "c")
    found = outputs_of(program(folder, tmp_path / "run", tool("gcc"), "-O2"), rows, HEADS[name])
    assert np.array_equal(found, run_int8(model, rows.reshape(len(rows), 1, 1, -1, 1), "tflm"))


def test_a_network_with_narrower_ranges(tmp_path):
    """Layers that RELU6 limits below 127 take the general form of the limits."""
    model = narrow_model()
    rows = windows(40)
    folder = write_sources(model, tmp_path / "c")
    assert "#define ANYECG_FULL_RANGE 0" in (folder / "anyecg_config.h").read_text()
    found = outputs_of(program(folder, tmp_path / "run", tool("gcc"), "-O2"), rows, 5)
    assert np.array_equal(found, run_int8(model, rows.reshape(len(rows), 1, 1, -1, 1), "tflm"))


def narrow_model() -> bytes:
    from convert.compute.litert import export_int8
    from convert.compute.qat import fold, initial_weights
    from convert.compute.students import PRESETS, activation_names

    spec = PRESETS["nano"]
    weights = dict(fold(spec, 5, initial_weights(spec, 5, 3)))
    for name, from_zero in activation_names(spec):
        weights[f"{name}/low"] = np.float32(0.0 if from_zero else -3.0)
        weights[f"{name}/high"] = np.float32(8.0)
    return export_int8(spec, 5, weights).model


def test_no_warning_from_gcc(demo, tmp_path):
    for source in demo.glob("anyecg_*.c"):
        compiled([tool("gcc"), "-std=c99", "-O2", *STRICT_C, *MISRA_LIKE, *GCC_ONLY, f"-I{demo}", "-c", source,
                  "-o", tmp_path / "o.o"])  # fmt: skip


def test_no_warning_from_clang(demo, tmp_path):
    for source in demo.glob("anyecg_*.c"):
        compiled([clang(), "-std=c99", "-Weverything", "-Werror", *CLANG_TOLERATED, *CLANG_NEWER, f"-I{demo}", "-c",
                  source, "-o", tmp_path / "o.o"])  # fmt: skip


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m33"])
def test_no_warning_no_float_and_no_library_on_a_cortex_m(demo, tmp_path, core):
    """Of the C library only the functions that copy and fill memory; the rest is the compiler's own arithmetic."""
    allowed = {"memcpy", "memset", "memmove", "__aeabi_ldivmod", "__aeabi_uldivmod", "__aeabi_idiv", "__aeabi_uidiv",
               "__aeabi_lmul", "__aeabi_llsl", "__aeabi_llsr", "__aeabi_lasr"}  # fmt: skip
    objects = []
    for source in demo.glob("anyecg_*.c"):
        objects.append(tmp_path / f"{source.stem}.o")
        flags = [f"-mcpu={core}", "-mthumb", "-mfloat-abi=soft", "-std=c99", "-O2", *STRICT_C, f"-I{demo}"]
        compiled([tool("arm-none-eabi-gcc"), *flags, "-c", source, "-o", objects[-1]])
    listing = run([tool("arm-none-eabi-nm"), *objects]).stdout
    defined = set(re.findall(r" [A-TV-Z] (\w+)$", listing, re.MULTILINE))
    assert set(re.findall(r" U (\w+)$", listing, re.MULTILINE)) - defined <= allowed
    assert not re.search(r" [BbDd] ", listing)  # the caller provides all memory


def test_the_headers_are_cxx_too(demo, tmp_path):
    source = tmp_path / "all.cc"
    headers = sorted(path.name for path in demo.glob("*.h"))
    source.write_text("".join(f'#include "{name}"\n' for name in headers) + "int main() { return 0; }\n")
    compiled([tool("g++"), "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{demo}", source,
              "-o", tmp_path / "all"])  # fmt: skip


@pytest.mark.timeout(FUZZ_S + 240)
def test_a_fuzzer_finds_nothing(demo, tmp_path):
    fuzzer = tmp_path / "fuzz"
    flags = ["-std=c99", "-O2", "-g", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    sources = [*demo.glob("anyecg_*.c"), HERE / "c99" / "fuzz_network.c"]
    compiled([clang(), *flags, f"-I{demo}", *sources, "-o", fuzzer])
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for i, row in enumerate(windows(24)):
        (corpus / str(i)).write_bytes(row.tobytes()[: 1250 if i % 2 else 300])
    done = subprocess.run(
        [fuzzer, f"-max_total_time={FUZZ_S}", "-max_len=1250", "-rss_limit_mb=0", "-print_final_stats=1", corpus],
        capture_output=True, text=True, timeout=FUZZ_S + 200, cwd=tmp_path,
    )  # fmt: skip
    sys.stdout.write("\n".join(line for line in done.stderr.splitlines() if line.startswith("stat::")) + "\n")
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(re.search(r"number_of_executed_units: (\d+)", done.stderr)[1]) > 200
