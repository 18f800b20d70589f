"""``anyecg run``: estimates from a source and a bundle until the source ends."""

from __future__ import annotations

from collections.abc import Sequence

from edge.cli.config import parse_with_config
from edge.cli.run.options import parser, several_patches
from firmware_bridge.errors import UsageError


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg run --help``."""
    p = parser()
    if not {"-h", "--help"}.isdisjoint(argv):
        from edge.cli.run.further import with_plugins

        with_plugins(p)
    args = parse_with_config(p, argv)
    if not args.source and not args.patches:
        raise UsageError("no source given", "--source replay:FILE, serial:/dev/ttyACM0, sim: ...")
    if args.trust_patch and (several_patches(args) or len(args.source) > 1):
        raise UsageError("--trust-patch takes one patch", "run one process for each patch")
    # Imported on use, because the help needs neither numpy nor the engine.
    if several_patches(args):
        from edge.cli.run.station import run_station

        return run_station(args)
    from edge.cli.run.one import run_sources

    return run_sources(args)
