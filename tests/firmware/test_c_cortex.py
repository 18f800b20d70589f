"""The C side on an emulated Cortex-M4: its results, its size, and a fuzzer on this machine."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convert.cli.micro_package import main as package_main
from convert.micro.vectors import messages
from edge.sources import open_source
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.wire.messages import encode
from helpers.c_example import EXAMPLE, listen, model_flags, with_model
from helpers.c_side import C_SIDE, SANITIZE, SOURCES, CSide
from helpers.c_vectors import SELFTEST, rows
from helpers.firmware_build import CORTEX, HERE, M4, MOCK, STRICT_C, STRICT_CXX, compiled, emulate, run, tool

pytestmark = pytest.mark.slow

FLASH_MAX = {
    "anyecg_estimate": 640,
    "anyecg_frame": 768,
    "anyecg_gate": 512,
    "anyecg_messages": 1792,
    "anyecg_patch": 1792,
    "anyecg_ring": 640,
    "ecg_frontend": 2048,
}
"""Bytes of flash that each part may take on a Cortex-M4, about a tenth above the measured size."""
IMAGE_FLASH_MAX, IMAGE_RAM_MAX = 8192, 45_056
"""Limit for the whole example with a ring of one minute (36,000 bytes of RAM)."""
FUZZ_S = 60


def make(folder: Path, target: str) -> str:
    """Run the Makefile that firmware engineers use."""
    tool("arm-none-eabi-gcc")
    done = run([tool("make"), "-s", "--no-print-directory", "-C", C_SIDE, f"O={folder}", target])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_flash_of_every_part(tmp_path):
    table = make(tmp_path, "sizes")
    sys.stdout.write(table)
    lines = [line.split() for line in table.splitlines()[1:]]
    found = {Path(line[-1]).stem: (int(line[0]), int(line[1]) + int(line[2])) for line in lines}
    assert set(found) == set(FLASH_MAX)
    for name, (text, ram) in found.items():
        assert text <= FLASH_MAX[name], f"{name}: {text} bytes"
        assert ram == 0  # the caller provides all memory


def test_the_example_fits_a_small_part(tmp_path):
    table = make(tmp_path, "cortex-m4")
    sys.stdout.write(table)
    text, data, bss = map(int, table.splitlines()[-1].split()[:3])
    assert text + data <= IMAGE_FLASH_MAX
    assert data + bss <= IMAGE_RAM_MAX


def test_no_libc_beyond_string_and_no_floating_point(tmp_path):
    """The library needs only three functions of string.h and the compiler's own 64-bit division."""
    make(tmp_path, "sizes")
    objects = sorted((tmp_path / "m4").glob("*.o"))
    listing = run([tool("arm-none-eabi-nm"), *objects]).stdout
    defined = set(re.findall(r" [Tt] (\w+)$", listing, re.MULTILINE))
    wanted = set(re.findall(r" U (\w+)$", listing, re.MULTILINE)) - defined
    assert wanted <= {"memcpy", "memmove", "memset", "__aeabi_ldivmod", "__aeabi_uldivmod"}


def cortex_program(sources: list[Path], image: Path, *extra: str) -> Path:
    compiled(
        [
            *(tool("arm-none-eabi-gcc"), *M4, "-std=c99", "-Os", "-ffunction-sections", "-fdata-sections", *STRICT_C),
            *(f"-I{C_SIDE / 'src'}", f"-I{C_SIDE / 'vectors'}", *extra, *SOURCES, *sources, CORTEX / "startup.c"),
            *(f"-T{CORTEX / 'mps2.ld'}", "-nostartfiles", "--specs=rdimon.specs", "-Wl,--gc-sections", "-o", image),
        ]
    )
    return image


def test_the_self_test_holds_on_the_target(tmp_path):
    done = emulate(cortex_program(sorted(SELFTEST.glob("*.c")), tmp_path / "selftest.elf"))
    assert (done.returncode, done.stdout.strip()) == (0, "anyecg self-test: ok")


def test_the_target_gives_exactly_the_hosts_window(tmp_path):
    """Integer arithmetic: the values are equal, not just within one step."""
    counts = rows("frontend.txt")[0][0]
    c = CSide()
    c.ask("i250 16")
    c.ask("p " + counts)
    host = c.window().tolist()
    c.close()
    program = tmp_path / "window.c"
    program.write_text(
        '#include <stdio.h>\n#include "ecg_frontend.h"\n'
        f"static const int16_t counts[] = {{{counts.replace(' ', ', ')}}};\n"
        "static struct anyecg_stream stream;\nstatic int8_t window[ANYECG_STREAM_WINDOW];\n"
        "int main(void) {\n  unsigned i;\n  if (!anyecg_stream_init(&stream, 250u, 16u)) {\n    return 1;\n  }\n"
        "  for (i = 0u; i < sizeof(counts) / sizeof(counts[0]); i++) {\n"
        "    (void)anyecg_stream_push(&stream, counts[i]);\n  }\n"
        "  if (!anyecg_stream_window(&stream, window)) {\n    return 2;\n  }\n"
        '  for (i = 0u; i < ANYECG_STREAM_WINDOW; i++) {\n    printf("%d\\n", (int)window[i]);\n  }\n  return 0;\n}\n'
    )  # fmt: skip
    done = emulate(cortex_program([program], tmp_path / "window.elf"))
    assert done.returncode == 0
    assert list(map(int, done.stdout.split())) == host


def test_an_emulated_patch_streams_to_the_kit(tmp_path):
    """The example's image, with its serial port on a pseudo-terminal, read by the kit's own serial source."""
    make(tmp_path, "cortex-m4")
    emulator = subprocess.Popen(
        [
            *(tool("qemu-system-arm"), "-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "pty"),
            *("-kernel", tmp_path / "patch.elf"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        port = re.search(r"(/dev/\S+)", emulator.stdout.readline())[1]
        items = asyncio.run(listen(open_source(f"serial:{port}"), 8.0))
    finally:
        emulator.kill()
        emulator.communicate()
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    hello = next(i for i in items if isinstance(i, LinkEvent) and i.kind is LinkEventKind.HELLO)
    assert hello.data["device_id"] == "mps2"
    assert sum(block.lost for block in blocks) == 0
    counts = np.concatenate([block.samples for block in blocks])
    assert counts.max() == 1000
    beats = np.flatnonzero(counts == 1000)
    assert set(np.diff(beats)) == {200}


@pytest.mark.timeout(FUZZ_S + 240)
def test_a_fuzzer_finds_nothing(tmp_path):
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("clang is not installed (.ci/install-slow installs it)")
    program = tmp_path / "fuzz"
    flags = ["-std=c99", "-O1", "-g", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    compiled([clang, *flags, f"-I{C_SIDE / 'src'}", *SOURCES, HERE / "fuzz_wire.c", "-o", program])
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name, (header, message) in messages().items():
        (corpus / name).write_bytes(encode(message, header))
    for name, data, _events in rows("streams.txt"):
        (corpus / name).write_bytes(bytes.fromhex(data))
    # No limit on resident memory: libFuzzer reads the peak of getrusage, in which Linux counts what the test process
    # held when it started the program. The heap is what the decoder could fill.
    done = subprocess.run(
        [
            *(program, f"-max_total_time={FUZZ_S}", "-max_len=2048", "-rss_limit_mb=0", "-malloc_limit_mb=64"),
            *("-print_final_stats=1", corpus),
        ],
        capture_output=True, text=True, timeout=FUZZ_S + 120, cwd=tmp_path,
    )  # fmt: skip
    sys.stdout.write("\n".join(line for line in done.stderr.splitlines() if line.startswith("stat::")) + "\n")
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(re.search(r"number_of_executed_units: (\d+)", done.stderr)[1]) > 10_000


def test_clang_gives_no_warning(tmp_path):
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("clang is not installed (.ci/install-slow installs it)")
    # Structure padding and C89's order of declarations are not faults; enum switches have a default on purpose.
    tolerated = ("-Wno-padded", "-Wno-declaration-after-statement", "-Wno-switch-enum", "-Wno-unknown-warning-option")
    newer = ("-Wno-unsafe-buffer-usage", "-Wno-switch-default", "-Wno-pre-c11-compat")
    for source in SOURCES:
        flags = ["-std=c99", "-Weverything", "-Werror", *tolerated, *newer, f"-I{C_SIDE / 'src'}"]
        compiled([clang, *flags, "-c", source, "-o", tmp_path / "o.o"])


def test_the_headers_are_cxx_too(tmp_path):
    source = tmp_path / "all.cc"
    headers = sorted(path.name for path in (C_SIDE / "src").glob("*.h"))
    source.write_text("".join(f'#include "{name}"\n' for name in headers) + "int main() { return 0; }\n")
    compiled([tool("g++"), "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{C_SIDE / 'src'}", source,
              "-o", tmp_path / "all"])  # fmt: skip


def test_a_sanitizer_detects_a_fault(tmp_path):
    """The harness is really built with sanitizers: reading beyond the end aborts it."""
    source = tmp_path / "beyond.c"
    source.write_text('#include "anyecg_frame.h"\nint main(int n, char **v) {\n  uint8_t b[2] = {0};\n'
                      "  (void)v;\n  return (int)anyecg_crc16(b, (size_t)n + 5u);\n}\n")  # fmt: skip
    compiled([tool("gcc"), "-std=c99", *SANITIZE, f"-I{C_SIDE / 'src'}", *SOURCES, source, "-o", tmp_path / "beyond"])
    assert run([tmp_path / "beyond"]).returncode != 0


def test_the_example_links_with_a_model(tmp_path):
    """Link with a stand-in for TFLite Micro's headers: the image is complete and contains the call."""
    package = tmp_path / "micro"
    assert package_main(["demo", "--runtime", "tflm", "--out", str(package)]) == 0
    include = [f"-I{C_SIDE / 'src'}", f"-I{EXAMPLE}", f"-I{package}", f"-isystem{MOCK}"]
    flags = [*M4, "-Os", "-ffunction-sections", "-fdata-sections", "-DANYECG_REFERENCE_KERNELS", *include]
    board = [EXAMPLE / "mps2" / "hal_mps2.c", CORTEX / "startup.c"]
    objects = []
    for source in (*SOURCES, *with_model(package, "tflm"), *board):
        objects.append(tmp_path / f"{source.stem}.o")
        strict = ["-std=c99", *STRICT_C, *model_flags("tflm")]
        compiled([tool("arm-none-eabi-gcc"), *flags, *strict, "-c", source, "-o", objects[-1]])
    image = tmp_path / "patch.elf"
    compiled(
        [
            *(tool("arm-none-eabi-g++"), "-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"),
            *(*flags, *STRICT_CXX, EXAMPLE / "anyecg_model_invoke.cc", *objects, f"-T{CORTEX / 'mps2.ld'}"),
            *("-nostartfiles", "--specs=rdimon.specs", "-Wl,--gc-sections", "-o", image),
        ]
    )
    assert " T anyecg_model_invoke\n" in run([tool("arm-none-eabi-nm"), image]).stdout


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m33"])
def test_it_compiles_for_every_common_core(tmp_path, core):
    flags = [f"-mcpu={core}", "-mthumb", "-mfloat-abi=soft", "-Os", "-std=c99", *STRICT_C, f"-I{C_SIDE / 'src'}"]
    for source in SOURCES:
        compiled([tool("arm-none-eabi-gcc"), *flags, "-c", source, "-o", tmp_path / "part.o"])
        listing = run([tool("arm-none-eabi-nm"), "-u", tmp_path / "part.o"]).stdout
        assert not re.search(r"__aeabi_[fd]", listing)  # no floating point
