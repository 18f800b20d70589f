"""Reading ``.npz`` files of unknown origin: arrays only, of bounded size, with one kind of error."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.files import MAX_RATIO, SPARE_BYTES
from edge.bundle.golden import UNPACK_FAULTS
from firmware_bridge.reading import open_regular


def read_npz(path: Path, limit: int) -> dict[str, NDArray[Any]]:
    """Return all arrays of a file.

    Args:
        path: The file.
        limit: Most bytes that the arrays may unpack to; less for a small file, as for a bundle.

    Raises:
        OSError: The file cannot be opened or is not a regular one.
        ValueError: It is damaged, not an ``.npz`` file, unpacks to more, or holds anything but plain arrays.
    """
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(info.file_size for info in archive.infolist())
            if unpacked > min(limit, SPARE_BYTES + MAX_RATIO * path.stat().st_size):
                raise ValueError(f"it would unpack to {unpacked} bytes")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
        except (*UNPACK_FAULTS, MemoryError, LookupError, TypeError, ArithmeticError) as error:
            raise ValueError(str(error).splitlines()[0][:200] if str(error) else type(error).__name__) from None
    wrong = next((name for name, array in found.items() if not isinstance(array, np.ndarray)), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r} is not an array")
    return found
