"""The first load of a bundle that this machine has not met: in a child process, which it may end but not take along.

An interpreter is native code. A model made to harm it, or damaged in a way that no hash shows because the hash was made
afterwards, can abort the process, hang it or fill the memory, and a service would restart endlessly. So a bundle is
loaded and tested in a child process first. What has passed is remembered by its hash, the interpreter and its version.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from edge.bundle.reader import Bundle, demo_bundle_path, load_bundle
from edge.model import BackendName, load_model
from edge.self_test import self_test
from firmware_bridge.child import module_environment
from firmware_bridge.errors import EXIT_OK, AnyEcgError, BundleError
from firmware_bridge.posix import need_posix

SILENCE_S = 20.0
"""Longest time for starting, loading the model, or one golden window, s; a Pi Zero 2 W needs 2 for the teacher."""
MEMORY_BYTES = 1 << 30
"""Memory that the child may use beside the model itself."""
_SIGN = b".\n"
_FIX = "do not use this bundle; convert it again, or ask the one who made it"


def prove(bundle: Bundle, backend: BackendName = "auto") -> None:
    """Load and test a bundle in a child process, unless it is known; the bundle in the package is.

    Args:
        bundle: The bundle, whose files have been verified.
        backend: The interpreter.

    Raises:
        BundleError: The model ended the child process, hung, used too much memory, or failed its self-test.
        AnyEcgError: The child met any other error, such as a missing interpreter.
    """
    if bundle.path == demo_bundle_path():
        return
    mark = _mark(bundle, backend)
    if mark is not None and mark.exists():
        return
    _try(bundle, backend)
    if mark is not None:
        with suppress(OSError):
            mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark.touch()


def _try(bundle: Bundle, backend: BackendName) -> None:
    need_posix("trying the model of a bundle")
    command = [sys.executable, "-P", "-m", "edge.first_load", str(bundle.path.resolve()), backend, bundle.sha256]
    try:
        child = subprocess.Popen(  # noqa: S603  # this interpreter and a module of the kit
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=module_environment(),
        )
    except OSError as error:
        raise BundleError(
            f"no process could be started to try {bundle.path}: {error.strerror}", "free memory"
        ) from None
    try:
        said = _listen(child, bundle)
    finally:
        child.kill()
        code = child.wait()
    _judge(said, code, bundle)


def _listen(child: subprocess.Popen[bytes], bundle: Bundle) -> bytes:
    """Return what the child says, without its signs of life."""
    pipe = child.stdout
    assert pipe is not None  # it was asked for
    said, last = b"", time.monotonic()
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, last + SILENCE_S - time.monotonic()))
        if not ready:
            raise BundleError(f"the model of {bundle.path} did not answer within {SILENCE_S:.0f} s", _FIX)
        piece = os.read(pipe.fileno(), 4096)
        if not piece:
            child.wait()
            return said.replace(_SIGN, b"")
        said = (said + piece)[-65536:]
        last = time.monotonic()


def _judge(said: bytes, code: int, bundle: Bundle) -> None:
    if code == EXIT_OK:
        return
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        raise BundleError(f"the model of {bundle.path} made the interpreter end with {name}", _FIX)
    try:
        error = json.loads(said)
        what, fix, exit_code = str(error["what"]), str(error["fix"]), int(error["code"])
    except (ValueError, KeyError, TypeError):
        raise BundleError(f"the model of {bundle.path} made the interpreter fail", _FIX) from None
    found = BundleError if exit_code == BundleError.exit_code else _other(exit_code)
    raise found(what, fix)


def _other(exit_code: int) -> type[AnyEcgError]:
    """Return the class of the error tree with an exit code."""
    kinds = AnyEcgError.__subclasses__()
    return next((kind for kind in kinds if kind.exit_code == exit_code), AnyEcgError)


def _mark(bundle: Bundle, backend: BackendName) -> Path | None:
    """Return the file that exists if the bundle has passed here; ``None`` if there is no place for it."""
    # systemd gives a service a folder of its own; its home may not be writable.
    given = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    root = Path(given or os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache")  # noqa: PTH111
    if not root.is_absolute():
        return None
    about = [bundle.sha256, backend, platform.machine(), *(_version(name) for name in ("ai-edge-litert", "numpy"))]
    return root / "anyecg" / "proven" / hashlib.sha256("\n".join(about).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "-"


def main(argv: list[str]) -> int:
    """Run in the child: load the bundle ``argv[0]`` on the interpreter ``argv[1]`` and test it."""
    path, backend, sha256 = argv
    out = os.dup(1)
    os.dup2(2, 1)  # what an interpreter prints is not an answer

    def alive() -> None:
        os.write(out, _SIGN)

    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        bundle = load_bundle(path)
        if bundle.sha256 != sha256:
            raise BundleError(f"{path} changed while it was read", "start again")
        limit = MEMORY_BYTES + 4 * len(bundle.model)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        alive()
        model = load_model(bundle, backend)  # type: ignore[arg-type]  # checked by load_model
        alive()
        self_test(bundle, model, alive)
    except AnyEcgError as error:
        os.write(out, json.dumps({"what": error.what, "fix": error.fix, "code": error.exit_code}).encode())
        return 1
    except MemoryError:
        what = f"the model of {path} needs more than {MEMORY_BYTES >> 20} MiB"
        os.write(out, json.dumps({"what": what, "fix": _FIX, "code": BundleError.exit_code}).encode())
        return 1
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
