"""Verify a bundle, run its self-test, and print which heads may raise a flag and why the others may not.

::

    python examples/inspect_bundle.py              # the demonstration bundle
    python examples/inspect_bundle.py my-bundle    # a folder or a zip
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from edge.bundle.reader import Bundle, load_bundle
from edge.model import load_model
from edge.self_test import self_test
from firmware_bridge.errors import AnyEcgError


def verdicts(bundle: Bundle) -> dict[str, str]:
    """Return whether each head may raise a flag.

    Args:
        bundle: A verified bundle.

    Returns:
        One sentence by head key, in the order of the bundle.
    """
    found: dict[str, str] = {}
    for head in bundle.manifest.outputs:
        threshold = bundle.calibration[head.key].threshold
        if threshold is None:
            found[head.key] = "no flag: the bundle has no threshold for it"
        elif head.evidence.tier == "limited":
            found[head.key] = "no flag: the evidence is limited"
        else:
            unit = "" if head.unit == "1" else f" {head.unit}"
            found[head.key] = f"flag from {threshold:.3f}{unit}, evidence {head.evidence.tier}"
    return found


def main(argv: Sequence[str]) -> int:
    """Print a description of the bundle and which heads may raise a flag."""
    parser = argparse.ArgumentParser(description="Verify a bundle and print which heads may raise a flag.")
    parser.add_argument("bundle", nargs="?", default="demo", help="folder, zip, or 'demo' (default)")
    bundle = load_bundle(parser.parse_args(argv).bundle)
    model = load_model(bundle)
    worst_lsb = self_test(bundle, model).worst
    manifest = bundle.manifest
    print(f"{manifest.name} {manifest.version}, tier {manifest.tier}, front end {manifest.front_end.name}")
    print(f"all files match the manifest; manifest SHA-256 {bundle.sha256}")
    print(f"self-test with {model.backend}: {len(bundle.golden_inputs)} golden windows, at most {worst_lsb} LSB off")
    for key, verdict in verdicts(bundle).items():
        print(f"  {key:<16} {verdict}")
    print(manifest.notice)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AnyEcgError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
