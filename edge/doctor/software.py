"""Checks of Python, numpy, the model interpreter, the transport libraries and the demonstration bundle."""

from __future__ import annotations

import json
import platform
import re
import signal
import sys

from edge.doctor.probe import Finding, Probe, Ran, State

IMPORT_S = 45.0
"""Time limit of an import, s: from a slow SD card, not cached, while another import runs."""
SELF_TEST_S = 90.0
"""Time limit for loading the bundle and running its golden windows, s."""
MIN_NUMPY = "1.24"
"""Oldest supported numpy, as in ``pyproject.toml``: the version of Debian 12 and Raspberry Pi OS of 2023."""
TFLITE_RUNTIME_ENDS = (3, 12)
"""The first Python for which tflite-runtime has no wheel."""
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
"""Program that imports the interpreters in the order in which the runtime tries them."""


def userland(probe: Probe) -> list[Finding]:
    """Check for a 64-bit userland, which ai-edge-litert needs, and a Python that can start child processes."""
    out = [_pointer_size(probe)]
    ran = probe.run_python("pass", IMPORT_S)
    if not ran.started:
        detail = f"cannot start a child process: {probe.python}: {ran.err or 'No such file or directory'}"
        fix = "run anyecg with a Python whose sys.executable can be started; anyecg demo needs it, too"
        out.append(Finding("Python", State.WRONG, detail, fix))
    return out


def _pointer_size(probe: Probe) -> Finding:
    machine = platform.machine()
    if probe.pointer_bits == 64:
        return Finding("64-bit", State.OK, f"{machine}, Python {platform.python_version()}")
    kernel = " under a 64-bit kernel" if machine in {"aarch64", "x86_64"} else ""
    detail = f"32-bit Python{kernel}: it runs only tflite-runtime (Python 3.11), 25x slower than ai-edge-litert"
    return Finding("64-bit", State.WARNING, detail, "install the 64-bit Raspberry Pi OS")


def numpy(probe: Probe) -> list[Finding]:
    """Check that numpy loads, computes, and is new enough."""
    code = "import numpy; assert numpy.arange(3.0) @ numpy.ones(3) == 3.0; print(numpy.__version__)"
    ran = probe.run_python(code, IMPORT_S)
    if not ran.started:
        return [_unchecked("numpy")]
    # 32-bit Raspberry Pi OS has its own numpy package; the newest numpy that works with tflite-runtime is 1.26.
    install = f"{probe.python} -m pip install --force-reinstall 'numpy>={MIN_NUMPY}'"
    install = install if probe.pointer_bits == 64 else "sudo apt-get install python3-numpy"
    if ran.code == 0:
        if _release(ran.last_line) < _release(MIN_NUMPY):
            return [Finding("numpy", State.WRONG, f"{ran.last_line} is older than {MIN_NUMPY}", install)]
        return [Finding("numpy", State.OK, ran.last_line)]
    if "blas" in ran.err or "gfortran" in ran.err:
        install = "sudo apt-get install libopenblas0-pthread libgfortran5"
    return [Finding("numpy", State.WRONG, f"cannot be loaded: {_why(ran)}", install)]


def interpreter(probe: Probe) -> list[Finding]:
    """Check that an interpreter of TFLite models loads."""
    name = "interpreter"
    install = f"{probe.python} -m pip install ai-edge-litert"
    ran = probe.run_python(INTERPRETERS, IMPORT_S)
    if not ran.started:
        return [_unchecked(name)]
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
        installable = probe.pointer_bits == 64
        return [Finding(name, State.WARNING, detail, install if installable else "install the 64-bit Raspberry Pi OS")]
    if "umpy" in second_fault:
        fix = f"{probe.python} -m pip install 'numpy<2'"
    elif "GLIBC" in best_fault:
        fix = "upgrade the system: it needs glibc 2.34 (Debian 12, Raspberry Pi OS of 2023, or newer)"
    elif probe.pointer_bits == 64:
        fix = install
    elif sys.version_info >= TFLITE_RUNTIME_ENDS:
        fix = "install the 64-bit Raspberry Pi OS: tflite-runtime does not exist for this Python"
    else:
        fix = f"{probe.python} -m pip install tflite-runtime"
    fault = best_fault or second_fault
    detail = f"cannot be loaded: {fault}" if fault else "neither ai-edge-litert nor tflite-runtime is installed"
    return [Finding(name, State.WRONG, " ".join(detail.split()), fix)]


def libraries(probe: Probe) -> list[Finding]:
    """Check that the libraries of the two transports load."""
    out = []
    for module, package, what in (("serial", "pyserial", "serial ports"), ("bleak", "bleak", "Bluetooth")):
        code = f"import {module}; from importlib.metadata import version; print(version('{package}'))"
        ran = probe.run_python(code, IMPORT_S)
        if not ran.started:
            out.append(_unchecked(package))
        elif ran.code == 0:
            out.append(Finding(package, State.OK, ran.last_line))
        else:
            fix = f"{probe.python} -m pip install {package}"
            out.append(Finding(package, State.WRONG, f"{what} cannot be used: {_why(ran)}", fix))
    return out


def bundle(probe: Probe) -> list[Finding]:
    """Check that the demonstration bundle is intact, and that its model and the signal chain work on this machine."""
    ran = probe.run(probe.python, "-m", "edge.cli", "bundle", "verify", "demo", timeout_s=SELF_TEST_S)
    if not ran.started:
        return [_unchecked("demo bundle")]
    if ran.code == 0:
        return [Finding("demo bundle", State.OK, "; ".join(ran.out.strip().splitlines()[-2:]))]
    detail = f"fails its self-test: {_why(ran).removeprefix('anyecg: ')}"
    fix = f"fix the problems above; if there are none, {probe.python} -m pip install --force-reinstall anyecg-edge"
    return [Finding("demo bundle", State.WRONG, detail, fix)]


def _unchecked(check: str) -> Finding:
    detail = "not checked: Python cannot start the child process that checks it"
    return Finding(check, State.WARNING, detail, "correct what 'Python' above says, then run anyecg doctor again")


def _release(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _why(ran: Ran) -> str:
    if ran.code is not None and ran.code < 0:
        try:
            name = signal.Signals(-ran.code).name
        except ValueError:
            name = f"signal {-ran.code}"
        hint = ", an instruction that this processor does not have" if name == "SIGILL" else ""
        return f"it crashed ({name}{hint})"
    return " ".join(ran.last_line.split())
