"""Libraries of extras: what is missing becomes one line that names the extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from firmware_bridge.errors import MissingExtraError

OWN_PACKAGES = frozenset({"edge", "convert", "calibration", "firmware_bridge"})


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Turn a missing library into an error that names its extra.

    A missing module of the kit itself is a fault and stays one, unless the whole package is absent.

    Args:
        what: What needs the library, such as ``'anyecg bundle make'``.
        extra: Name of the extra; empty if nothing outside the device install is needed.

    Raises:
        MissingExtraError: A library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as e:
        name = e.name or ""
        if not extra or (name not in OWN_PACKAGES and name.split(".")[0] in OWN_PACKAGES):
            raise
        raise MissingExtraError(what, extra) from None
