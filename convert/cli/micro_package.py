"""``anyecg micro-package``: write a bundle as C sources, plain C99 or for TFLite Micro."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convert.bundle.writer import write_folder
from edge.cli.parser import Parser
from firmware_bridge.errors import EXIT_OK, OutputError
from firmware_bridge.reading import resolved

if TYPE_CHECKING:
    from convert.micro.package import MicroSource

RUNTIMES = ("c99", "tflm")
MARK = "anyecg_config.h"
"""A folder with this file is an older package and may be replaced."""


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg micro-package --help``.

    Args:
        argv: Arguments after the command's name.

    Returns:
        The exit code.

    Raises:
        AnyEcgError: The command failed; the message says what to do.
    """
    parser = Parser("anyecg micro-package", "Write a bundle of the tier micro as C sources.")
    parser.add_argument("bundle", metavar="BUNDLE", help="folder, zip, or 'demo'")
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default=RUNTIMES[0],
        help="c99: the network as plain C, without a library; tflm: the model for TFLite Micro; default: c99",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder, or an older package")
    args = parser.parse_args(argv)
    from convert.micro.host_only import fused_keys, rhythm_keys
    from convert.micro.package import from_bundle
    from edge.bundle.reader import load_bundle

    out = resolved(args.out)
    if out.exists() and not (out.is_dir() and ((out / MARK).is_file() or not any(out.iterdir()))):
        raise OutputError(f"{out} exists and is not a package of micro-package", "name a new folder")
    write = _write_c99 if args.runtime == "c99" else _write_tflm
    source = from_bundle(load_bundle(args.bundle))
    sys.stdout.write(write(source, out))
    if keys := fused_keys(source.manifest, source.calibration):
        sys.stdout.write(f"not fused   {', '.join(keys)}: the C code shows the network's own answer, without waves\n")
    if keys := rhythm_keys(source.manifest):
        sys.stdout.write(f"any rhythm  {', '.join(keys)}: the C code does not abstain by rhythm\n")
    return EXIT_OK


def _write_c99(source: MicroSource, out: Path) -> str:
    from convert.micro.c99.cost import PROCESSORS, cost
    from convert.micro.c99.package import build

    package = build(source)
    write_folder(out, package.files, "the package")
    c = cost(package.network, PROCESSORS["cortex-m4-dsp"])
    return (
        f"{out}: {len(package.files)} files\n"
        f"cortex-m4   {c.flash_bytes} bytes of flash, {c.ram_bytes} of RAM, {c.stack_bytes} of stack, "
        f"{c.instructions / 1e6:.1f} million instructions a window\n"
        f"self-test   {package.windows} golden windows equal in TFLite Micro\n"
    )


def _write_tflm(source: MicroSource, out: Path) -> str:
    from convert.micro.package import build

    package = build(source)
    write_folder(out, package.files, "the package")
    arena = package.arena
    return (
        f"{out}: {len(package.files)} files\n"
        f"operations  {', '.join(package.ops)}\n"
        f"arena       {arena.measured} bytes measured in TFLite Micro; reserve {arena.cortex_m} on a Cortex-M, "
        f"{arena.helium} with Helium, {arena.esp_nn} with ESP-NN\n"
        f"self-test   {package.windows} golden windows equal in TFLite Micro\n"
    )
