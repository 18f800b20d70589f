"""Whose bundles are trusted: the file of public keys, and what the signature of a bundle is worth."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from edge.bundle.ed25519 import is_valid
from edge.bundle.reader import Bundle
from edge.bundle.signature import KEY_BYTES, key_id
from firmware_bridge.errors import BundleError, MissingExtraError, UsageError
from firmware_bridge.reading import open_regular
from firmware_bridge.text import printable

KEY_TYPE = "anyecg-ed25519"
MAX_TRUSTED_BYTES = 64 << 10
"""Largest file of trusted keys, bytes; that is some 500 keys with names."""
BAD = "bad signature"


def public_line(public_key: bytes, name: str) -> str:
    """Return the line of a public key, as in a file of trusted keys."""
    return f"{KEY_TYPE} {base64.b64encode(public_key).decode('ascii')} {printable(name)}".rstrip() + "\n"


def read_trusted(path: Path) -> Mapping[bytes, str]:
    """Read a file of trusted keys: a key a line, with a name after it; ``#`` begins a comment line.

    Returns:
        Name by raw public key; an empty name for none.

    Raises:
        UsageError: The file cannot be read, is too large, holds no key, or a line is not a public key.
    """
    try:
        with open_regular(path) as file:
            raw = file.read(MAX_TRUSTED_BYTES + 1)
    except OSError as e:
        raise UsageError(f"cannot read the trusted keys {path}: {e.strerror}", "check the path") from None
    if len(raw) > MAX_TRUSTED_BYTES:
        raise UsageError(f"{path} is larger than {MAX_TRUSTED_BYTES} bytes", "name a file of public keys")
    found: dict[bytes, str] = {}
    for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            key, name = _parsed(text, f"{path}, line {number}")
            found[key] = name
    if not found:
        raise UsageError(f"{path} holds no public key", "add a line that 'anyecg bundle keygen' has written")
    return found


def _parsed(text: str, where: str) -> tuple[bytes, str]:
    kind, _, rest = text.partition(" ")
    encoded, _, name = rest.strip().partition(" ")
    if text.startswith("-----BEGIN"):
        raise UsageError(f"{where}: PEM is not read here", "name the file of the public key, which ends in .pub")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if kind != KEY_TYPE or len(key) != KEY_BYTES:
        raise UsageError(f"{where}: not a public key", f"a line is: {KEY_TYPE} KEY NAME")
    return key, printable(name.strip())


def require_trusted(bundle: Bundle, trusted: Path) -> str:
    """Check that a bundle is signed by a trusted key.

    Args:
        bundle: The bundle, whose files have been verified.
        trusted: The file of trusted keys.

    Returns:
        One line about the signature.

    Raises:
        BundleError: The bundle is unsigned, signed by another key, or its signature is wrong.
        UsageError: The file of trusted keys is not usable.
        MissingExtraError: The library is not installed.
    """
    keys = read_trusted(trusted)
    signature = bundle.signature
    if signature is None:
        raise BundleError(f"{bundle.path} is unsigned", f"only bundles signed by a key in {trusted} are trusted")
    if signature.public_key not in keys:
        raise BundleError(
            f"{bundle.path} is signed by key {signature.key_id}, which is not trusted",
            f"add the key to {trusted} if it belongs to someone you trust",
        )
    if not is_valid(signature, bundle.sha256):
        raise _bad(bundle)
    return f"signed by trusted key {_named(signature.public_key, keys)}"


def check_signature(bundle: Bundle, trusted: Path | None) -> str:
    """Return one line about the signature of a bundle; a wrong one, or one that is not trusted, is an error.

    Raises:
        BundleError: The signature is wrong, or ``trusted`` is given and :func:`require_trusted` fails.
        UsageError: As for :func:`require_trusted`.
        MissingExtraError: ``trusted`` is given and the library is not installed.
    """
    if trusted is not None:
        return require_trusted(bundle, trusted)
    text = signature_text(bundle)
    if text.startswith(BAD):
        raise _bad(bundle)
    return text


def signature_text(bundle: Bundle) -> str:
    """Return one line: unsigned, signed by which key, or a bad signature."""
    signature = bundle.signature
    if signature is None:
        return "unsigned"
    try:
        valid = is_valid(signature, bundle.sha256)
    except MissingExtraError as e:
        return f"signature by key {signature.key_id} not checked: {e.fix}"
    if not valid:
        return f"{BAD}: key {signature.key_id} did not sign this manifest"
    return f"signed by key {signature.key_id}"


def _bad(bundle: Bundle) -> BundleError:
    who = "its key" if bundle.signature is None else f"key {bundle.signature.key_id}"
    return BundleError(
        f"{bundle.path} has a {BAD}: {who} did not sign this manifest",
        "do not use this bundle; copy it again from the one who signed it",
    )


def _named(public_key: bytes, keys: Mapping[bytes, str]) -> str:
    name = keys[public_key]
    return f"{key_id(public_key)} ({name})" if name else key_id(public_key)
