"""``anyecg bundle diff``: what changed between two bundles, and how far their outputs differ."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TextIO, cast

from edge.agreement import HeadAgreement, Inputs, agreement, golden_inputs, recorded_inputs
from edge.bundle.diff import Change, changes_between, size_of
from edge.bundle.reader import Bundle, load_bundle
from edge.bundle.trust import signature_text
from edge.cli.extras import needs_extra
from edge.cli.parser import Parser, add_json, write_json
from edge.window import Window
from firmware_bridge.errors import EXIT_OK

SCHEMA = "anyecg.bundle-diff/1"
DIFFERENT = 1
"""Exit code of two bundles that differ."""

MAX_LINES = 40
"""Lines of one section in the text; the JSON has everything."""

MAX_SHOWN = 60
"""Characters of a value in the text."""

MAX_WINDOWS = 100_000
DESCRIBED = {"--fs": "sampling rate, Hz,", "--lsb-mv": "millivolts per count", "--lead": "name of the lead"}
"""Options that describe recordings; the host side checks their values."""
RECORDINGS = "convert.cli.bundle_windows"
"""Module that reads recordings; the device side names it as text, because it belongs to the host side."""


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg bundle diff --help``."""
    args = _parser().parse_args(argv)
    a, b = load_bundle(args.a), load_bundle(args.b)
    changes = changes_between(a, b)
    windows, inputs = _inputs(a, b, args)
    heads = () if isinstance(inputs, str) else agreement(a, b, inputs, args.backend)
    reason = inputs if isinstance(inputs, str) else ""
    equal = not changes and all(head.equal for head in heads)
    if args.json:
        count = 0 if isinstance(inputs, str) else len(inputs[0])
        write_json(_found(a, b, equal, changes, heads, windows, count, reason))
    else:
        shown = reason if isinstance(inputs, str) else f"{len(inputs[0])} {windows}"
        sys.stdout.write(_text(a, b, equal, changes, heads, shown))
    return EXIT_OK if equal else DIFFERENT


def _parser() -> Parser:
    parser = Parser(
        "anyecg bundle diff",
        "Show what changed between two bundles. The exit code is 0 if they are equal and 1 if they differ.",
    )
    parser.add_argument("a", metavar="A", help="first bundle: folder, zip, or 'demo'")
    parser.add_argument("b", metavar="B", help="second bundle")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="recordings to run both on; default: the golden windows of both"
    )
    parser.add_argument(
        "--windows", type=_count, default=64, metavar="N", help="largest number of windows of --data; default 64"
    )
    for name, what in DESCRIBED.items():
        parser.add_argument(name, metavar=name[2:].upper(), help=f"{what} of recordings that do not state it")
    parser.add_argument("--backend", default="auto", help="interpreter of both models: auto, litert, tflm ...")
    add_json(parser)
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_WINDOWS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MAX_WINDOWS}")
    return int(text)


def _inputs(a: Bundle, b: Bundle, args: argparse.Namespace) -> tuple[str, tuple[Inputs, Inputs] | str]:
    """Return what the windows are, and the inputs of both models or the reason why there are none."""
    if not {head.key for head in a.manifest.outputs} & {head.key for head in b.manifest.outputs}:
        return "", "not compared, because the bundles have no head in common"
    if args.data is not None:
        given = {name: getattr(args, name[2:].replace("-", "_")) for name in DESCRIBED}
        options = [text for name, value in given.items() if value is not None for text in (name, value)]
        return f"windows of {args.data}", recorded_inputs(a, b, _recorded(args.data, args.windows, options))
    golden = golden_inputs(a, b)
    if golden is None:
        names = f"{a.manifest.front_end.name} and {b.manifest.front_end.name}"
        return "", f"not compared, because the bundles have the front ends {names}; give recordings with --data"
    return "golden windows", golden


def _recorded(data: Path, count: int, options: Sequence[str]) -> list[Window]:
    with needs_extra("'anyecg bundle diff --data'", "convert"):
        module = importlib.import_module(RECORDINGS)
        read = cast("Callable[[Path, int, TextIO | None, Sequence[str]], list[Window]]", module.recorded_windows)
        return read(data, count, sys.stderr, options)


def _found(
    a: Bundle,
    b: Bundle,
    equal: bool,
    changes: Sequence[Change],
    heads: Sequence[HeadAgreement],
    windows: str,
    count: int,
    reason: str,
) -> dict[str, object]:
    outputs = {"windows": count, "of": windows or None, "not_compared": reason or None}
    return {
        "schema": SCHEMA,
        "equal": equal,
        "a": _identity(a),
        "b": _identity(b),
        "changes": [asdict(change) for change in changes],
        "outputs": {**outputs, "heads": [{**asdict(head), "equal": head.equal} for head in heads]},
    }


def _identity(bundle: Bundle) -> dict[str, str | int]:
    m = bundle.manifest
    name = {"path": str(bundle.path), "name": m.name, "version": m.version, "signature": signature_text(bundle)}
    return {**name, "sha256": bundle.sha256, "bytes": size_of(bundle)}


def _text(
    a: Bundle, b: Bundle, equal: bool, changes: Sequence[Change], heads: Sequence[HeadAgreement], windows: str
) -> str:
    lines = [f"{side}  {_named(bundle)}" for side, bundle in (("A", a), ("B", b))]
    for section, group in groupby(changes, key=lambda c: c.section):
        rows = _rows(list(group))
        lines += ["", section, *(f"  {row}" for row in rows[:MAX_LINES])]
        if len(rows) > MAX_LINES:
            lines.append(f"  and {len(rows) - MAX_LINES} more; --json lists all")
    lines += ["", f"outputs: {windows}", *_table(heads), "", "equal" if equal else "different"]
    return "\n".join(lines) + "\n"


def _named(bundle: Bundle) -> str:
    m = bundle.manifest
    size, digest = size_of(bundle), bundle.sha256[:16]
    return f"{m.name} {m.version}, {size} bytes, sha256 {digest}, {signature_text(bundle)}  ({bundle.path})"


def _rows(changes: Sequence[Change]) -> list[str]:
    """Return one line for each subject; a change without a subject has a line of its own."""
    out = []
    for subject, group in groupby(changes, key=lambda c: c.subject):
        found = list(group)
        if not subject:
            out += [_change(change) for change in found]
        elif found[0].section == "files":
            out.append(f"{subject}: {_file(found)}")
        else:
            out.append(f"{subject}: {'; '.join(map(_change, found))}")
    return out


def _file(changes: Sequence[Change]) -> str:
    if changes[0].field == "present":
        return _change(changes[0])
    size = next((change for change in changes if change.field == "bytes"), None)
    return "other content, same size" if size is None else f"{size.before} -> {size.after} bytes"


def _change(change: Change) -> str:
    if change.field == "present":
        return "added" if change.after else "removed"
    return f"{change.field} {_shown(change.before)} -> {_shown(change.after)}"


def _shown(value: object) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split()) or "''"
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _table(heads: Sequence[HeadAgreement]) -> list[str]:
    if not heads:
        return []
    if all(head.equal for head in heads):
        return [f"  all {len(heads)} heads equal"]
    rows = [("head", "unit", "mean", "max", "correlation", "flags that change")]
    for head in heads[: 4 * MAX_LINES]:
        unit = head.units[0] if head.units[0] == head.units[1] else " -> ".join(head.units)
        mean, largest = ("-" if v is None else f"{v:.4g}" for v in (head.mean, head.max))
        correlation = "-" if head.correlation is None else f"{head.correlation:.5f}"
        rows.append((head.key, unit, mean, largest, correlation, str(head.flags_changed)))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    out = []
    for row in rows:
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        out.append("  " + "  ".join(cells).rstrip())
    if len(heads) > 4 * MAX_LINES:
        out.append(f"  and {len(heads) - 4 * MAX_LINES} more; --json lists all")
    return out
