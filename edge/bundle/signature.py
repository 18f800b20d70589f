"""The signature of a bundle: the file ``manifest.sig``, read and written without cryptography.

The manifest covers every file of the bundle by its hash, and the signature covers the SHA-256 of the manifest. The file
stands outside the manifest, which it could not be part of. It names the public key, so that a damaged signature differs
from one by a stranger; whether the key is trusted is decided elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass

from firmware_bridge.errors import BundleError

SIGNATURE = "manifest.sig"
SCHEMA = "anyecg.signature/1"
MAX_SIGNATURE_BYTES = 1024
"""A signature file has 221 bytes."""
KEY_BYTES = 32
SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Signature:
    """An Ed25519 signature of a bundle, which nobody has verified yet.

    Attributes:
        public_key: The raw public key, 32 bytes.
        value: The raw signature of :func:`message`, 64 bytes.
    """

    public_key: bytes
    value: bytes

    @property
    def key_id(self) -> str:
        """The short name of the key."""
        return key_id(self.public_key)

    def to_bytes(self) -> bytes:
        """Return the content of ``manifest.sig``."""
        fields = {"schema": SCHEMA, "public_key": _text(self.public_key), "signature": _text(self.value)}
        return (json.dumps(fields, indent=2) + "\n").encode()


def parse_signature(raw: bytes) -> Signature:
    """Read the content of ``manifest.sig``, of which there is one spelling only.

    Raises:
        BundleError: The content is anything but what :meth:`Signature.to_bytes` returns, by a single byte.
    """
    try:
        fields = json.loads(raw)
        found = Signature(_raw(fields["public_key"], KEY_BYTES), _raw(fields["signature"], SIGNATURE_BYTES))
    except (ValueError, TypeError, KeyError, RecursionError):
        found = None
    if found is None or found.to_bytes() != raw:
        raise BundleError(f"{SIGNATURE} is damaged or of a newer version", "copy the bundle again, or sign it again")
    return found


def message(manifest_sha256: str) -> bytes:
    """Return the bytes that are signed for a manifest; the first line keeps them apart from any other use of a key."""
    return f"{SCHEMA}\n{manifest_sha256}\n".encode()


def key_id(public_key: bytes) -> str:
    """Return the short name of a public key: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _raw(text: str, size: int) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(text) from None
    if len(data) != size:
        raise ValueError(text)
    return data
