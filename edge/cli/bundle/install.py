"""``anyecg bundle install`` and ``pack``: make a bundle the current one of a folder, or one zip file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge.bundle.install import Installed, go_back, install_bundle
from edge.bundle.pack import pack_bundle
from edge.bundle.reader import Bundle, load_bundle
from edge.bundle.trust import check_signature
from edge.cli.parser import Parser
from edge.first_load import prove
from edge.model import load_model
from edge.self_test import self_test
from edge.trial import try_chain
from firmware_bridge.errors import EXIT_OK, UsageError


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg bundle install --help``."""
    parser = Parser(
        "anyecg bundle install",
        "Test a bundle and make it DIR/current. The one before is kept and stays current if the test fails.",
    )
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help="folder, zip, or 'demo'")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder of installed bundles")
    parser.add_argument("--trusted", type=Path, metavar="KEYS", help="file of public keys; refuse all other bundles")
    parser.add_argument("--back", action="store_true", help="go back to the bundle before the current one")
    parser.add_argument("--backend", default="auto", help="interpreter for the self-test: auto, litert, tflm ...")
    args = parser.parse_args(argv)
    if (args.bundle is None) != args.back:
        raise UsageError("one of a bundle and --back is needed", "anyecg bundle install BUNDLE --to DIR")
    said = ""

    def check(bundle: Bundle) -> None:
        nonlocal said
        said = check_signature(bundle, args.trusted)
        prove(bundle, args.backend)
        model = load_model(bundle, args.backend)
        self_test(bundle, model)
        try_chain(bundle, model)

    if args.back:
        done = go_back(args.to, check)
    else:
        source = load_bundle(args.bundle)
        said = check_signature(source, args.trusted)  # before anything is written
        done = install_bundle(source, args.to, check)
    sys.stdout.write(_text(done, said))
    return EXIT_OK


def _text(done: Installed, said: str) -> str:
    m = done.bundle.manifest
    state = "" if done.changed else "already "
    kept = "no earlier bundle" if done.kept is None else f"'--back' returns to {done.kept}"
    return f"{done.current}: {state}{m.name} {m.version}, {said}, sha256 {done.bundle.sha256}\nkept: {kept}\n"


def pack(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg bundle pack --help``."""
    parser = Parser("anyecg bundle pack", "Verify a bundle and write it as one zip file, which every command reads.")
    parser.add_argument("bundle", metavar="DIR", help="folder, zip, or 'demo'")
    parser.add_argument("out", type=Path, metavar="FILE.zip", help="the zip file to write; an older bundle is replaced")
    args = parser.parse_args(argv)
    size = pack_bundle(args.bundle, args.out)
    sys.stdout.write(f"{args.out}: {size} bytes, the same bundle when read back\n")
    return EXIT_OK
