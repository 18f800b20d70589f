"""The doctor's look at Python, numpy, the interpreter of models, and the demonstration bundle."""

from __future__ import annotations

import json
import platform
import signal

from edge.doctor.probe import Finding, Probe, Ran, State

IMPORT_S = 45.0
"""How long an import may take: from a slow SD card, not cached, with another import beside it."""
SELF_TEST_S = 90.0
"""The same for loading the bundle and running its golden windows."""
INTERPRETERS = """
import importlib, json
from importlib.metadata import version
found = {}
for module, package in (("ai_edge_litert", "ai-edge-litert"), ("tflite_runtime", "tflite-runtime")):
    try:
        importlib.import_module(module + ".interpreter").Interpreter
        found[package] = [version(package), ""]
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        found[package] = ["", "" if missing else f"{type(error).__name__}: {error}"]
print(json.dumps(found))
"""
"""Imports them in the order in which the runtime does."""


def userland(probe: Probe) -> list[Finding]:
    """64-bit userland: there is no ai-edge-litert for 32 bit."""
    machine = platform.machine()
    if probe.pointer_bits == 64:
        return [Finding("64-bit", State.OK, f"{machine}, Python {platform.python_version()}")]
    kernel = " under a 64-bit kernel" if machine in {"aarch64", "x86_64"} else ""
    detail = (
        f"32-bit Python{kernel}: ai-edge-litert does not exist for it, only tflite-runtime (Python 3.11), 25x slower"
    )
    return [Finding("64-bit", State.WARNING, detail, "install the 64-bit Raspberry Pi OS")]


def numpy(probe: Probe) -> list[Finding]:
    """Numpy loads and computes."""
    code = "import numpy; assert numpy.arange(3.0) @ numpy.ones(3) == 3.0; print(numpy.__version__)"
    ran = probe.run_python(code, IMPORT_S)
    if ran.code == 0:
        return [Finding("numpy", State.OK, ran.last_line)]
    if "blas" in ran.err or "gfortran" in ran.err:
        fix = "sudo apt-get install libopenblas0-pthread libgfortran5"
    else:
        fix = f"{probe.python} -m pip install --force-reinstall 'numpy>=1.26'"
    return [Finding("numpy", State.WRONG, f"cannot be loaded: {_why(ran)}", fix)]


def interpreter(probe: Probe) -> list[Finding]:
    """An interpreter of TFLite models loads."""
    name = "interpreter"
    install = f"{probe.python} -m pip install ai-edge-litert"
    ran = probe.run_python(INTERPRETERS, IMPORT_S)
    try:
        found = {str(k): (str(v[0]), str(v[1])) for k, v in json.loads(ran.out).items()} if ran.code == 0 else {}
    except (ValueError, AttributeError, LookupError, TypeError):
        found = {}
    if not found:
        return [Finding(name, State.WRONG, f"cannot be loaded: {_why(ran)}", install)]
    best, best_fault = found.get("ai-edge-litert", ("", ""))
    second, second_fault = found.get("tflite-runtime", ("", ""))
    if best:
        return [Finding(name, State.OK, f"ai-edge-litert {best}")]
    if second:
        detail = f"tflite-runtime {second}: works, 25x slower than ai-edge-litert on int8"
        mends = probe.pointer_bits == 64
        return [Finding(name, State.WARNING, detail, install if mends else "install the 64-bit Raspberry Pi OS")]
    if "umpy" in second_fault:
        fix = f"{probe.python} -m pip install 'numpy<2'"
    elif "GLIBC" in best_fault:
        fix = "upgrade the system: it needs glibc 2.34 (Debian 12, Raspberry Pi OS of 2023, or newer)"
    elif probe.pointer_bits == 64:
        fix = install
    else:
        fix = f"{probe.python} -m pip install 'anyecg-edge[tflite]'"
    fault = best_fault or second_fault
    detail = f"cannot be loaded: {fault}" if fault else "neither ai-edge-litert nor tflite-runtime is installed"
    return [Finding(name, State.WRONG, " ".join(detail.split()), fix)]


def libraries(probe: Probe) -> list[Finding]:
    """The libraries of the two transports load."""
    out = []
    for module, package, what in (("serial", "pyserial", "serial ports"), ("bleak", "bleak", "Bluetooth")):
        code = f"import {module}; from importlib.metadata import version; print(version('{package}'))"
        ran = probe.run_python(code, IMPORT_S)
        if ran.code == 0:
            out.append(Finding(package, State.OK, ran.last_line))
        else:
            fix = f"{probe.python} -m pip install {package}"
            out.append(Finding(package, State.WRONG, f"{what} cannot be used: {_why(ran)}", fix))
    return out


def bundle(probe: Probe) -> list[Finding]:
    """The demonstration bundle is whole and its model computes here what it should."""
    ran = probe.run(probe.python, "-m", "edge.cli", "bundle", "verify", "demo", timeout_s=SELF_TEST_S)
    if ran.code == 0:
        return [Finding("demo bundle", State.OK, ran.last_line)]
    detail = f"fails its self-test: {_why(ran).removeprefix('anyecg: ')}"
    fix = f"mend what stands above; else {probe.python} -m pip install --force-reinstall anyecg-edge"
    return [Finding("demo bundle", State.WRONG, detail, fix)]


def _why(ran: Ran) -> str:
    if ran.code is not None and ran.code < 0:
        try:
            name = signal.Signals(-ran.code).name
        except ValueError:
            name = f"signal {-ran.code}"
        hint = ", an instruction that this processor does not have" if name == "SIGILL" else ""
        return f"it crashed ({name}{hint})"
    return " ".join(ran.last_line.split())
