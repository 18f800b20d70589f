"""``anyecg lint``: check which targets can run a model, and why others cannot."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.parser import Parser, add_json, write_json
from firmware_bridge.errors import EXIT_OK, InputError
from firmware_bridge.reading import read_limited

if TYPE_CHECKING:
    from convert.micro.rules import LintReport

EXIT_FAILED = 1


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg lint --help``.

    Args:
        argv: Arguments after the command's name.

    Returns:
        0 if the model passes, else 1.

    Raises:
        AnyEcgError: The command failed; the message says what to do.
    """
    from convert.micro.rules import TARGETS, lint

    parser = Parser(
        "anyecg lint", "Check which targets can run a model, and why others cannot. The exit code is 1 if it fails."
    )
    parser.add_argument("model", metavar="MODEL", help=".tflite file, or a bundle (folder, zip, 'demo')")
    parser.add_argument(
        "--target",
        action="append",
        choices=TARGETS,
        default=[],
        help="check this target; may be repeated; default: every kernel library and at least one preset",
    )
    add_json(parser)
    args = parser.parse_args(argv)
    report = lint(read_model(args.model), args.model)
    passed = report.passed(args.target)
    if args.json:
        write_json({**report.to_json(), "judged": args.target, "passed": passed})
    else:
        sys.stdout.write(table(report, args.target))
    return EXIT_OK if passed else EXIT_FAILED


def read_model(name: str) -> bytes:
    """Return the model of a .tflite file or bundle.

    Raises:
        InputError: The file cannot be read or is too large.
        BundleError: The bundle is damaged.
    """
    from convert.micro.graph import MAX_MODEL_BYTES
    from edge.bundle.reader import load_bundle

    path = Path(name)
    if not path.is_file() or path.suffix == ".zip":
        return load_bundle(name).model
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise InputError(f"{path} is larger than {MAX_MODEL_BYTES} bytes", "give a .tflite file or a bundle")
        return read_limited(path, MAX_MODEL_BYTES)
    except OSError as e:
        raise InputError(f"{path} cannot be read: {e.strerror}", "check its permissions") from None


def table(report: LintReport, asked: Sequence[str]) -> str:
    """Return the report as a table, with one row for each target and reason."""
    from convert.micro.rules import TARGETS

    arena = report.arena
    counts = ", ".join(f"{n} {op}" for op, n in report.operations.items())
    needs = "not measured" if arena is None else f"{arena.measured} bytes measured in TFLite Micro"
    reserve = (
        ""
        if arena is None
        else f" (reserve {arena.cortex_m} on a Cortex-M, {arena.helium} with Helium, {arena.esp_nn} with ESP-NN)"
    )
    lines = [
        f"{report.name}: {report.model_bytes} bytes; {counts}",
        f"arena: {needs}{reserve}",
        "",
        *_runtimes(report),
        f"{'target':<9} {'verdict':<8} why",
    ]
    for target in asked or TARGETS:
        rows = [f"{'' if f.level == 'fail' else 'note: '}{f.where}: {f.why}" for f in report.of(target)] or [""]
        first, *rest = rows
        lines.append(f"{target:<9} {'ok' if report.fits(target) else 'FAIL':<8} {first}".rstrip())
        lines += [f"{'':<18} {row}" for row in rest]
    return "\n".join(lines) + "\n"


def _runtimes(report: LintReport) -> list[str]:
    """Return what the whole runtime costs, one row for each processor or set of kernels."""
    if not report.runtimes:
        return []
    names = {"c99": "plain C99", "tflm": "TFLite Micro"}
    rows = [
        f"{names[r.runtime]:<13} {r.title:<35} {r.flash_bytes:>8} {r.ram_bytes:>8} {r.stack_bytes:>6} "
        f"{r.instructions / 1e6:>8.2f} M"
        for r in report.runtimes
    ]
    return [f"{'runtime':<13} {'':<35} {'flash':>8} {'RAM':>8} {'stack':>6} {'instructions':>12}".rstrip(), *rows, ""]
