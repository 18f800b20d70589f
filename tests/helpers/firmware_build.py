"""Builds and runs generated C, on this machine and on an emulated Cortex-M."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.frontend.stream import StreamFilter, window_input_int8
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from helpers.needs import tool

HERE = Path(__file__).resolve().parents[1] / "firmware"
CORTEX = HERE / "cortex-m"
MOCK = HERE / "tflm_mock"

STRICT = (
    *("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wcast-align", "-Wcast-qual"),
    *("-Wdouble-promotion", "-Wundef", "-Wformat=2", "-Wredundant-decls", "-Werror"),
)
STRICT_C = (*STRICT, "-Wstrict-prototypes", "-Wmissing-prototypes")
STRICT_CXX = (*STRICT, "-Wold-style-cast", "-Wzero-as-null-pointer-constant")
M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")


def run(command: Sequence[object], **kwargs) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, **kwargs)


def compiled(command: Sequence[object]) -> None:
    done = run(command)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def sources(package: Path) -> list[Path]:
    return sorted(package.glob("anyecg_*.c"))


def cortex_image(package: Path, program: Path, image: Path, *extra: object, std: str = "c11") -> Path:
    """Link a program with a package for a Cortex-M4 and return the image."""
    compiled(
        [
            *(tool("arm-none-eabi-gcc"), *M4, f"-std={std}", "-Os", "-ffp-contract=off", "-ffunction-sections"),
            *("-fdata-sections", *STRICT_C, f"-I{package}", *extra, *sources(package), program),
            *(CORTEX / "startup.c", f"-T{CORTEX / 'mps2.ld'}", "-nostartfiles", "--specs=rdimon.specs"),
            *("-Wl,--gc-sections", "-lm", "-o", image),
        ]
    )
    return image


def cortex_selftest(package: Path, folder: Path, *extra: object) -> Path:
    """Link main.cc with the stand-in for TFLite Micro, as C++ for a Cortex-M4, and return the image."""
    flags = (*M4, "-Os", "-ffunction-sections", "-fdata-sections", f"-I{package}", f"-isystem{MOCK}", *extra)
    flags = (*flags, "-DANYECG_REFERENCE_KERNELS")
    objects = []
    for source in (*sources(package), CORTEX / "startup.c"):
        objects.append(folder / f"{source.stem}.o")
        compiled([tool("arm-none-eabi-gcc"), "-std=c11", *flags, *STRICT_C, "-c", source, "-o", objects[-1]])
    image = folder / "selftest.elf"
    compiled(
        [
            *(tool("arm-none-eabi-g++"), "-std=c++17", "-fno-exceptions", "-fno-rtti", *flags, *STRICT_CXX),
            *(package / "main.cc", *objects, f"-T{CORTEX / 'mps2.ld'}", "-nostartfiles", "--specs=rdimon.specs"),
            *("-Wl,--gc-sections", "-o", image),
        ]
    )
    return image


def emulate(image: Path) -> subprocess.CompletedProcess[str]:
    """Run an image on QEMU's Cortex-M4 board."""
    return run(
        [
            *(tool("qemu-system-arm"), "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none"),
            *("-semihosting-config", "enable=on,target=native", "-kernel", image),
        ]
    )


def write_frontend_case(folder: Path) -> None:
    """Write an ECG of exactly one window after the filter's warm-up, with the kit's results."""
    filter_ = StreamFilter(250)
    n = filter_.warmup_samples + 1 + 2 * 1249
    ecg = np.asarray(EcgSynth(EcgParams(), 7).generate(n, 250.0), dtype=np.float64)
    ecg += 0.4 * np.sin(2 * np.pi * 0.2 * np.arange(n) / 250.0) + 0.05 * np.sin(2 * np.pi * 50 * np.arange(n) / 250.0)
    stream = filter_.push(ecg)
    assert stream.shape == (1250,)
    window = window_input_int8(stream)
    text = "".join(
        f"static const {kind} {name}[] = {{{', '.join(repr(v) for v in values.tolist())}}};\n"
        for kind, name, values in (
            ("double", "case_input", ecg),
            ("double", "case_stream", stream),
            ("int", "case_window", window),
        )
    )
    (folder / "frontend_case.h").write_text(text)
