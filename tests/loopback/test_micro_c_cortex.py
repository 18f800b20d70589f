"""The TFLite Micro package on an emulated Cortex-M4: compiled without a warning, and run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from convert.cli.micro_package import main as package_main
from edge.bundle.reader import load_bundle
from helpers.firmware_build import (
    HERE,
    M4,
    MOCK,
    compiled,
    cortex_image,
    cortex_selftest,
    emulate,
    run,
    sources,
    tool,
    write_frontend_case,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("cortex") / "micro"
    assert package_main(["demo", "--runtime", "tflm", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("std", ["c99", "c11"])
def test_arrays_check_themselves_on_the_target(folder, tmp_path, std):
    image = cortex_image(folder, folder / "check/main.c", tmp_path / "check.elf", std=std)
    done = emulate(image)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"anyecg check: ok: model {len(load_bundle('demo').model)} bytes" in done.stdout


def test_a_damaged_array_fails_on_the_target(folder, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    for path in folder.glob("anyecg_*"):
        (wrong / path.name).write_bytes(path.read_bytes())
    config = (wrong / "anyecg_config.h").read_text()
    (wrong / "anyecg_config.h").write_text(re.sub(r"(MODEL_CRC32 0x)\w+", r"\g<1>12345678u", config))
    done = emulate(cortex_image(wrong, folder / "check/main.c", tmp_path / "wrong.elf"))
    assert done.returncode == 1
    assert "the model's bytes" in done.stdout


def test_a_fault_ends_the_run(folder, tmp_path):
    program = tmp_path / "fault.c"
    program.write_text('int main(void) { __asm volatile("udf #0"); return 0; }\n')
    done = emulate(cortex_image(folder, program, tmp_path / "fault.elf"))
    assert done.returncode != 0


def test_front_end_gives_the_same_doubles_on_the_target(folder, tmp_path):
    write_frontend_case(tmp_path)
    done = emulate(cortex_image(folder, HERE / "frontend_parity.c", tmp_path / "parity.elf", f"-I{tmp_path}"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("front end: 0 of 1250 doubles differ")


@pytest.mark.parametrize(("extra", "status"), [((), 0), (("-DMOCK_WRONG_WINDOW=3",), 1)])
def test_self_test_passes_its_verdict_on(folder, tmp_path, extra, status):
    """Against a stand-in: no package contains TFLite Micro's sources."""
    done = emulate(cortex_selftest(folder, tmp_path, *extra))
    assert done.returncode == status, done.stdout + done.stderr
    assert f"{status} of 96 outputs differ" in done.stdout


def test_flash_is_the_model_and_little_else(folder, tmp_path):
    """The arrays have the size that README.md states; the C code around them stays below 2 KB."""
    objects = []
    for source in sources(folder):
        objects.append(tmp_path / f"{source.stem}.o")
        flags = ("-std=c11", "-Os", f"-I{folder}", "-c", source, "-o", objects[-1])
        assert run([tool("arm-none-eabi-gcc"), *M4, *flags]).returncode == 0
    table = run([tool("arm-none-eabi-size"), *objects]).stdout
    sys.stdout.write(table)
    flash = {Path(line.split()[-1]).stem: sum(map(int, line.split()[:2])) for line in table.splitlines()[1:]}
    ram = sum(int(line.split()[2]) for line in table.splitlines()[1:])
    assert flash["anyecg_model"] == len(load_bundle("demo").model)
    assert flash["anyecg_golden"] - 8 * (1250 + 12) in range(4)
    assert flash["anyecg_check"] + flash["anyecg_frontend"] + flash["anyecg_outputs"] < 2048
    assert ram == 0


CORTEX = {
    "mps2-an386": ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
    "mps3-an547": ("-mcpu=cortex-m55", "-mfloat-abi=hard"),
}


@pytest.mark.parametrize("machine", CORTEX)
@pytest.mark.parametrize(("extra", "status"), [("", 0), ("-DMOCK_WRONG_WINDOW=3", 2)])
def test_the_bare_metal_image_runs_from_its_makefile(folder, tmp_path, machine, extra, status):
    """As README.md says, with a stand-in for the library; start-up, linker script and system calls are real."""
    library, unit = tmp_path / "libtensorflow-microlite.a", tmp_path / "unit.c"
    unit.write_text("void tflm_stand_in(void);\nvoid tflm_stand_in(void) {}\n")
    compiled([tool("arm-none-eabi-gcc"), *CORTEX[machine], "-mthumb", "-c", unit, "-o", tmp_path / "unit.o"])
    compiled([tool("arm-none-eabi-ar"), "rcs", library, tmp_path / "unit.o"])
    tool("qemu-system-arm")
    settings = (
        *(f"O={tmp_path / 'build'}", f"TFLM_INCLUDES=-isystem {MOCK}", f"TFLM_LIB={library}", f"MACHINE={machine}"),
        *(f"CPU={' '.join(CORTEX[machine])}", f"EXTRA={extra}"),
    )
    done = run([tool("make"), "-s", "-C", folder / "bare_metal", *settings, "run"])
    assert done.returncode == status, done.stdout + done.stderr
    assert f"{'FAILED' if extra else 'ok'}: {1 if extra else 0} of 96 outputs differ" in done.stdout + done.stderr
    size = run([tool("arm-none-eabi-size"), tmp_path / "build/selftest.elf"]).stdout.split()
    model_and_vectors = 78_536 + 8 * (1250 + 12)
    assert int(size[6]) - model_and_vectors < 12_288  # no libstdc++, no exceptions


def test_a_missing_library_gives_a_sentence(folder, tmp_path):
    done = run([tool("make"), "-s", "-C", folder / "bare_metal", f"O={tmp_path}", f"TFLM_INCLUDES=-isystem {MOCK}"])
    assert done.returncode != 0
    assert "no libtensorflow-microlite.a with cmsis_nn" in done.stderr
