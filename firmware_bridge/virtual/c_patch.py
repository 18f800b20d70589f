"""The example patch in C as a virtual patch: compiled here, run as a process, served on a pseudo-terminal.

``python -m firmware_bridge.virtual.c_patch --link /tmp/patch`` runs the firmware's own code behind the port
that ``python -m firmware_bridge.virtual`` makes. Only the fault ``unplug`` is supported: other faults happen inside the
virtual patch, and a lost link is all that a wire can do to the C code.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.child import child_environment
from firmware_bridge.cliargs import OneLineParser
from firmware_bridge.errors import AnyEcgError, LinkError, UsageError
from firmware_bridge.virtual.ecg import Signal
from firmware_bridge.virtual.faults import FaultSchedule
from firmware_bridge.virtual.process import STEP_S, PtyPort, add_patient, signal_of

C_SIDE = Path(__file__).parents[1] / "c"
"""Folder of the library and the example, as installed."""
FS_HZ = 250.0
"""Sampling rate of the example patch, Hz."""
SIGNAL_S = 300.0
"""Seconds of signal passed to the process, which repeats them from the start."""
COMPILE_S = 120.0
"""Time that a compiler may take, in seconds."""
PIPE_BYTES = 4096
MODEL_PARTS = ("kernels", "layers", "network", "outputs")
"""Parts of a package of ``anyecg micro-package`` that the patch estimates with."""


def build(folder: Path, model: Path | None = None) -> Path:
    """Compile the example patch for this machine.

    Args:
        folder: Folder for the program.
        model: Folder that ``anyecg micro-package`` wrote, for a patch that estimates.

    Returns:
        Path of the program.

    Raises:
        LinkError: There is no C compiler, or it fails; the message has its last line.
        UsageError: The folder holds no model in plain C.
    """
    parts = [] if model is None else [model / f"anyecg_{part}.c" for part in MODEL_PARTS]
    if not all(part.is_file() for part in parts):
        raise UsageError(f"{model} holds no model in plain C", f"anyecg micro-package demo --out {model}")
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise LinkError("the patch in C needs a C compiler, but none is installed", "sudo apt-get install gcc")
    program = folder / "patch"
    example = C_SIDE / "examples" / "patch"
    command = [compiler, "-std=c99", "-O2", f"-I{C_SIDE / 'src'}", f"-I{example}"]
    sources = [*sorted((C_SIDE / "src").glob("*.c")), example / "main.c", example / "hal_host.c", *parts]
    if model is not None:
        command += ["-DANYECG_WITH_MODEL=1", f"-I{model}"]
        sources += [example / "patch_estimate.c", example / "patch_model.c"]
    try:
        done = subprocess.run(  # noqa: S603 - the user's own compiler on our own sources
            [*command, *map(str, sources), "-o", str(program)],
            capture_output=True, text=True, timeout=COMPILE_S, check=False, env=child_environment(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LinkError(f"the C compiler {compiler} cannot be run: {error}") from None
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise LinkError(f"{compiler} cannot compile the patch: {last[0]}")
    return program


def microvolts(source: Signal, seconds: float = SIGNAL_S) -> NDArray[np.int32]:
    """Return the samples of the patch's converter in microvolts, shape ``(n,)``, at 250 Hz."""
    mv = source.generate(round(min(seconds, SIGNAL_S) * FS_HZ), FS_HZ)
    return np.clip(np.rint(mv * 1000.0), -32_768, 32_767).astype(np.int32)


class CPatchProcess:
    """The compiled patch, with its serial line on pipes.

    Args:
        program: Program that ``build`` made.
        samples: File with the converter's samples, int32 microvolts.
        speed: Factor of real time.
        seconds: Duration of the signal, seconds.
    """

    def __init__(self, program: Path, samples: Path, speed: float, seconds: float) -> None:
        limit = {} if seconds == float("inf") else {"ANYECG_SECONDS": str(seconds)}
        self._process = subprocess.Popen(  # noqa: S603 - the program that was just compiled
            [str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(ANYECG_SAMPLES=str(samples), ANYECG_SPEED=str(speed), **limit),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()

    @property
    def running(self) -> bool:
        """Return whether it still measures."""
        return self._process.poll() is None

    def link(self, *, up: bool) -> None:
        """Tell the process that the link is up or down."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR2 if up else signal.SIGUSR1)

    def write(self, data: bytes) -> None:
        """Send the host's bytes to the process."""
        with suppress(BrokenPipeError):
            os.write(self._to, data)

    def read(self) -> bytes:
        """Return the bytes that the process sent; empty if none wait."""
        ready, _, _ = select.select([self._from], [], [], 0)
        return os.read(self._from, PIPE_BYTES) if ready else b""

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.communicate()


def serve(patch: CPatchProcess, link: Path, faults: FaultSchedule, speed: float) -> None:
    """Run the patch behind a port until its signal ends.

    Args:
        patch: The process.
        link: Name of the port.
        faults: Schedule of the lost links (``unplug``).
        speed: Factor of real time; must be that of the patch.
    """
    port = PtyPort(link)
    port.plug()
    sys.stdout.write(f"ready {link}\n")
    sys.stdout.flush()
    start, plugged = time.monotonic(), True
    try:
        while patch.running:
            wanted = not faults.active("unplug", (time.monotonic() - start) * speed)
            if wanted != plugged:
                plugged = wanted
                patch.link(up=plugged)
                if plugged:
                    port.plug()
                else:
                    port.unplug()
            _pump(patch, port, plugged=plugged)
        _pump(patch, port, plugged=plugged)
    finally:
        port.unplug()
        patch.close()


def _pump(patch: CPatchProcess, port: PtyPort, *, plugged: bool) -> None:
    # While the host does not read, the patch's line is full: it drops frames, but keeps them in its ring.
    data = b"" if port.full else patch.read()
    while data:
        port.write(data)
        data = b"" if port.full else patch.read()
    port.flush()
    heard = port.read(STEP_S)
    if heard and plugged:
        patch.write(heard)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser("anyecg virtual-patch --c", __doc__.partition("\n")[0] if __doc__ else "")
    add_patient(parser)
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="estimate with a package of anyecg micro-package")
    parser.add_argument("--faults", default="", help="fault schedule, such as 'unplug@30:5'")
    parser.add_argument("--speed", type=float, default=1.0, help="factor of real time")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    return parser


def run(arguments: list[str] | None = None) -> int:
    """Run the virtual patch in C.

    Raises:
        AnyEcgError: Any failure, in one line.
    """
    options = _parser().parse_args(arguments)
    faults = FaultSchedule.parse(options.faults)
    if faults.rates or any(span.kind != "unplug" for span in faults.spans):
        raise UsageError("the patch in C supports only the fault unplug", "omit --c for the others")
    if not (0.01 <= options.speed <= 1000.0 and options.seconds > 0.0):
        raise UsageError("--speed must be 0.01 to 1000, --seconds above 0")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _frame: sys.exit(128 + caught))
    options.fs = FS_HZ
    try:
        source, _fs_hz = signal_of(options)
    except ValueError as error:
        raise UsageError(f"the virtual patch cannot be created: {error}") from None
    with tempfile.TemporaryDirectory(prefix="anyecg-c-patch-") as folder:
        samples = Path(folder) / "samples"
        samples.write_bytes(microvolts(source, options.seconds).tobytes())
        patch = CPatchProcess(build(Path(folder), options.model), samples, options.speed, options.seconds)
        serve(patch, options.link, faults, options.speed)
    return 0


def main() -> None:
    """Run the module as a program: ``python -m firmware_bridge.virtual.c_patch``."""
    try:
        sys.exit(run())
    except AnyEcgError as error:
        sys.stderr.write(f"virtual patch: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        sys.stderr.write(f"virtual patch: {error}\n")
        sys.exit(LinkError.exit_code)


if __name__ == "__main__":
    main()
