"""``anyecg bundle keygen`` and ``sign``: make a pair of keys, and sign a bundle."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.bundle import ed25519
from edge.bundle.pack import pack_bundle
from edge.bundle.reader import DEMO, load_bundle
from edge.bundle.signature import SIGNATURE, key_id
from edge.bundle.trust import public_line
from edge.cli.parser import Parser
from edge.process.files import write_atomically, written_beside
from firmware_bridge.errors import EXIT_OK, OutputError, UsageError
from firmware_bridge.posix import CLOSE_ON_EXEC, NO_WAIT
from firmware_bridge.reading import resolved

MAX_NAME = 64


def keygen(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg bundle keygen --help``."""
    parser = Parser("anyecg bundle keygen", "Make a private key (FILE) and its public key (FILE.pub) to sign bundles.")
    parser.add_argument("file", type=Path, metavar="FILE", help="private key to write; keep it secret")
    parser.add_argument("--name", default="", metavar="TEXT", help="whose key it is, written into FILE.pub")
    args = parser.parse_args(argv)
    if len(args.name) > MAX_NAME:
        raise UsageError(f"the name has more than {MAX_NAME} characters", "give a shorter --name")
    public = args.file.with_name(args.file.name + ".pub")
    for path in (args.file, public):
        if os.path.lexists(path):
            raise OutputError(f"{path} exists; a key is never replaced", "name another file")
    pem, public_key = ed25519.generate()
    write_atomically(args.file, pem, private=True)
    write_atomically(public, public_line(public_key, args.name))
    sys.stdout.write(f"{args.file}: private key, readable by you alone\n{public}: public key {key_id(public_key)}\n")
    return EXIT_OK


def sign(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg bundle sign --help``."""
    parser = Parser("anyecg bundle sign", f"Verify a bundle and sign its manifest; the signature is its {SIGNATURE}.")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder or zip; an older signature is replaced")
    parser.add_argument(
        "--key", type=Path, required=True, metavar="KEY", help="private key, see 'anyecg bundle keygen'"
    )
    args = parser.parse_args(argv)
    if str(args.bundle) == DEMO:
        raise UsageError("the bundle in the package is not signed in place", "pack it, and sign the zip")
    bundle = load_bundle(args.bundle)
    signature = ed25519.sign(bundle.sha256, _private_key(args.key), str(args.key))
    if bundle.path.is_dir():
        # The folder may hold no other file, not even for a moment.
        beside = resolved(bundle.path).parent
        with written_beside(bundle.path / SIGNATURE, unique=True, folder=beside) as partial:
            partial.write_bytes(signature.to_bytes())
    else:
        pack_bundle(bundle.path, bundle.path, signature)
    if load_bundle(bundle.path).signature != signature:
        raise OutputError(f"{bundle.path} reads back differently from what was written", "check the disk")
    sys.stdout.write(f"{bundle.path}: signed by key {signature.key_id}, sha256 {bundle.sha256}\n")
    return EXIT_OK


def _private_key(path: Path) -> bytes:
    try:
        # Without waiting for the writer of a pipe.
        with os.fdopen(os.open(path, os.O_RDONLY | NO_WAIT | CLOSE_ON_EXEC), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size > ed25519.MAX_KEY_BYTES:
                raise UsageError(f"{path} is not a private key", "make one: anyecg bundle keygen FILE")
            if about.st_mode & 0o077:
                raise UsageError(f"others may read the private key {path}", f"chmod 600 {path}")
            return file.read(ed25519.MAX_KEY_BYTES)
    except OSError as e:
        raise UsageError(f"cannot read the private key {path}: {e.strerror}", "check the path") from None
