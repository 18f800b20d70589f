"""Ed25519 by the library ``cryptography`` of the ``sign`` extra.

Signatures are verified in a child process. The library brings its own OpenSSL, which would stay in the memory of a run
for weeks and is needed there for a moment.
"""

from __future__ import annotations

import os
import subprocess
import sys

from edge.bundle.signature import Signature, message
from firmware_bridge.child import module_environment
from firmware_bridge.errors import BundleError, MissingExtraError, UsageError

EXTRA = "sign"
TIMEOUT_S = 60.0
"""Longest time for one verification, s; starting Python takes most of it."""
MAX_KEY_BYTES = 4096
_VALID, _INVALID, _MISSING = b"valid", b"invalid", b"missing"


def generate() -> tuple[bytes, bytes]:
    """Return a new private key, PEM (PKCS #8), and its public key, 32 bytes.

    Raises:
        MissingExtraError: The library is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    except ModuleNotFoundError:
        raise MissingExtraError("signing a bundle", EXTRA) from None
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, key.public_key().public_bytes_raw()


def sign(manifest_sha256: str, private_pem: bytes, name: str) -> Signature:
    """Sign a manifest.

    Args:
        manifest_sha256: SHA-256 of the manifest, hexadecimal.
        private_pem: The private key, PEM (PKCS #8), without a password.
        name: Name of the key's file, for errors.

    Raises:
        MissingExtraError: The library is not installed.
        UsageError: The key is not an Ed25519 private key without a password.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError:
        raise MissingExtraError("signing a bundle", EXTRA) from None
    try:
        key = load_pem_private_key(private_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"{name} is not an Ed25519 private key without a password", "make one: anyecg bundle keygen FILE"
        )
    return Signature(key.public_key().public_bytes_raw(), key.sign(message(manifest_sha256)))


def is_valid(signature: Signature, manifest_sha256: str) -> bool:
    """Return whether a signature is that of its key for this manifest.

    Raises:
        MissingExtraError: The library is not installed.
        BundleError: The child process gave no answer.
    """
    # -P: a folder named 'cryptography' in the working directory is not the library.
    command = [sys.executable, "-P", "-m", "edge.bundle.ed25519"]
    command += [signature.public_key.hex(), signature.value.hex(), manifest_sha256]
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter and a module of the kit
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=module_environment(),
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        said = b""
    else:
        said = done.stdout if done.returncode == 0 else b""
    if said == _MISSING:
        raise MissingExtraError("checking the signature of a bundle", EXTRA)
    if said not in {_VALID, _INVALID}:
        raise BundleError("the signature could not be checked: the child process gave no answer", "free memory")
    return said == _VALID


def main(argv: list[str]) -> int:
    """Run in the child: verify the signature ``argv[1]`` by the key ``argv[0]`` for the manifest ``argv[2]``."""
    public_key, value, manifest_sha256 = argv
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ModuleNotFoundError:
        said = _MISSING
    else:
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
            key.verify(bytes.fromhex(value), message(manifest_sha256))
            said = _VALID
        except (InvalidSignature, ValueError):
            said = _INVALID
    os.write(1, said)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
