"""``anyecg bundle pack``: write a bundle as one zip file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge.bundle.pack import pack_bundle
from edge.cli.parser import Parser
from firmware_bridge.errors import EXIT_OK


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg bundle pack --help``."""
    parser = Parser("anyecg bundle pack", "Verify a bundle and write it as one zip file, which every command reads.")
    parser.add_argument("bundle", metavar="DIR", help="folder, zip, or 'demo'")
    parser.add_argument("out", type=Path, metavar="FILE.zip", help="the zip file to write; an older bundle is replaced")
    args = parser.parse_args(argv)
    size = pack_bundle(args.bundle, args.out)
    sys.stdout.write(f"{args.out}: {size} bytes, the same bundle when read back\n")
    return EXIT_OK
