"""Import of hashlib without OpenSSL: a device needs only SHA-256, which Python itself contains.

``import hashlib`` loads ``_hashlib`` and with it libcrypto: 3.4 to 4.2 of the 60 MiB that a device may use
(``docs/architecture.md``, "Where the memory goes"). dbus-fast imports hashlib, so avoiding it in this package is not
enough. ``hashlib`` supports a Python without ``_hashlib``; this uses the same path, and leaves ``_hashlib`` importable
for later imports of ``ssl`` or ``hmac``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

_BUILT_IN = ("_md5", "_sha1", "_sha3", "_blake2")
"""Modules with SHA-2 that ``hashlib`` uses in place of OpenSSL: one since Python 3.12, two before."""


def load_hashlib() -> None:
    """Load hashlib without ``_hashlib``.

    Do nothing if either is loaded, as in a larger program or a test run, or if Python was built without its own
    digests, as some distributions do for FIPS.
    """
    if "hashlib" in sys.modules or "_hashlib" in sys.modules or not _has_own_digests():
        return
    sys.modules["_hashlib"] = None  # type: ignore[assignment]  # marks a module as not importable
    try:
        importlib.import_module("hashlib")
    finally:
        del sys.modules["_hashlib"]


def _has_own_digests() -> bool:
    sha2 = ("_sha2",) if sys.version_info >= (3, 12) else ("_sha256", "_sha512")
    return all(importlib.util.find_spec(name) is not None for name in (*_BUILT_IN, *sha2))
