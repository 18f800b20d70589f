"""A bundle that predicts: the verified files, and on first use the model, tested on this machine."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.api.array import array_engine, predict
from edge.api.options import check_hop
from edge.api.tables import Estimates
from edge.bundle import reader
from edge.bundle.tensors import Steps
from edge.first_load import prove
from edge.model import BackendName, Model, load_model
from edge.self_test import self_test
from firmware_bridge.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Bundle(reader.Bundle):
    """A verified bundle; see ``edge.bundle.Bundle`` for its attributes, of which the first are listed here.

    Attributes:
        path: Path of the folder or zip.
        sha256: SHA-256 of ``manifest.json``, which covers all files of the bundle.
        manifest: The manifest: name, version, tier, front end, outputs with their evidence.
        calibration: Calibration and threshold by head key.
        model: The bytes of the model.
    """

    def load(self, backend: BackendName = "auto") -> Model:
        """Load the model, test it with the golden windows of the bundle, and keep it.

        Args:
            backend: The interpreter.

        Raises:
            BundleError: The self-test fails on this machine.
            MissingExtraError: The interpreter is not installed.
        """
        found: dict[str, Model] = self.__dict__.setdefault("_loaded", {})
        if backend not in found:
            prove(self, backend)
            model = load_model(self, backend)
            self_test(self, model)
            found[backend] = _Shared(model)
        return found[backend]

    def predict(
        self, ecg_mv: ArrayLike, fs_hz: float, *, hop_s: float = 1.0, backend: BackendName = "auto"
    ) -> Estimates:
        """Estimate laboratory values from a recording in memory.

        Args:
            ecg_mv: One lead in mV, shape ``(n,)``, at least 9.5 s; NaN marks missing samples.
            fs_hz: Sampling rate, 60 to 4000 Hz.
            hop_s: Seconds between estimates.
            backend: The interpreter.

        Returns:
            One estimate or abstention for each hop, each with value, interval and flag of every head. ``answer`` is
            the one for the recording as a whole.

        Raises:
            InputError: The array is not one lead of real numbers, or the sampling rate is out of range.
            UsageError: The hop is outside the supported range.
            BundleError: The self-test of the bundle fails on this machine.
        """
        engine = array_engine(self, self.load(backend), check_hop(hop_s), time.time_ns())
        return Estimates(predict(engine, ecg_mv, fs_hz))


def load_bundle(name: str | Path = "demo", *, trusted: str | Path | None = None) -> Bundle:
    """Read and verify a bundle.

    Args:
        name: Folder, zip file, or ``demo``.
        trusted: File of the public keys by which the bundle must be signed; by default any bundle is accepted.

    Raises:
        BundleError: The path is not a bundle; or the bundle is altered, incomplete, too large, too new or not trusted.
        UsageError: The file of trusted keys is not usable.
        MissingExtraError: Signatures cannot be verified, because the ``sign`` extra is not installed.
    """
    found = of(reader.load_bundle(name))
    if trusted is not None:
        from edge.bundle.trust import require_trusted

        require_trusted(found, Path(trusted))
    return found


def of(bundle: reader.Bundle) -> Bundle:
    """Return a bundle with the methods of this module."""
    return Bundle(**{f.name: getattr(bundle, f.name) for f in dataclasses.fields(reader.Bundle)})


def as_bundle(bundle: reader.Bundle | str | Path) -> Bundle:
    """Return the bundle that a caller gave or named.

    Raises:
        BundleError: The path is not a bundle, or the bundle is damaged.
        UsageError: It is something else.
    """
    if isinstance(bundle, Bundle):
        return bundle
    if isinstance(bundle, reader.Bundle):
        return of(bundle)
    if isinstance(bundle, str | Path):
        return load_bundle(bundle)
    raise UsageError(f"{type(bundle).__name__} is no bundle", "give its folder, its zip file, or edge.load_bundle(...)")


class _Shared:
    """A model that several threads may use: an interpreter runs one window at a time."""

    def __init__(self, model: Model) -> None:
        self._model, self._lock = model, threading.Lock()
        self.backend = model.backend

    def run(self, window: Steps) -> Steps:
        with self._lock:
            return self._model.run(window)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)
