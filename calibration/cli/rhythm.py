"""``anyecg calibrate rhythm``: state in which rhythms the evidence of outputs holds; in others they abstain."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from calibration.cli.held_out import opened
from convert.bundle.reopen import reopened
from convert.bundle.writer import check_place, write_bundle
from edge.bundle.reader import load_bundle
from edge.cli.parser import Parser
from edge.rhythm.gate import STATED
from edge.rhythm.record import RhythmName
from firmware_bridge.errors import EXIT_OK, UsageError

PROG = "anyecg calibrate rhythm"
ANY = "any"
"""Takes the limit from the outputs."""


def parser() -> Parser:
    """Return the parser of ``anyecg calibrate rhythm``."""
    p = Parser(PROG, "State in which rhythms the evidence of outputs holds. In others they abstain.")
    p.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or 'demo'")
    p.add_argument(
        "--rhythms", required=True, metavar="NAMES", help=f"separated by commas: {', '.join(STATED)}; or {ANY}"
    )
    p.add_argument("--heads", metavar="KEYS", help="outputs, separated by commas; default: all")
    p.add_argument("--out", type=Path, required=True, metavar="BUNDLE2", help="folder of the new bundle")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg calibrate rhythm --help``."""
    args = parser().parse_args(argv)
    rhythms = _rhythms(args.rhythms)
    folder, bundle = opened(args.bundle)
    check_place(args.out)
    keys = _keys(args.heads, [head.key for head in bundle.manifest.outputs])
    contents = reopened(folder, bundle)
    outputs = [
        _limited(output, rhythms) if output["key"] in keys else output for output in contents.manifest["outputs"]
    ]
    manifest = {**contents.manifest, "outputs": outputs}
    write_bundle(args.out, dataclasses.replace(contents, manifest=manifest))
    load_bundle(args.out)
    limit = "in any rhythm" if rhythms is None else f"only in {', '.join(rhythms)}"
    sys.stdout.write(f"{args.out}: written; {len(keys)} of {len(outputs)} outputs answer {limit}\n")
    return EXIT_OK


def _limited(output: dict[str, object], rhythms: list[RhythmName] | None) -> dict[str, object]:
    kept = {key: value for key, value in output.items() if key != "rhythms"}
    return kept if rhythms is None else {**kept, "rhythms": rhythms}


def _rhythms(text: str) -> list[RhythmName] | None:
    names = _split(text)
    if names == [ANY]:
        return None
    strange = [name for name in names if name not in STATED]
    if strange or not names or len(set(names)) < len(names):
        raise UsageError(
            f"--rhythms {text[:60]!r} names an unknown rhythm, one twice, or none",
            f"use {', '.join(STATED)}, separated by commas, or {ANY}",
        )
    return cast("list[RhythmName]", names)


def _keys(text: str | None, known: Sequence[str]) -> list[str]:
    if text is None:
        return list(known)
    wanted = _split(text)
    strange = [key for key in wanted if key not in known]
    if strange or not wanted:
        raise UsageError(f"the bundle has no output {strange[0] if strange else ''!r}", f"it has: {', '.join(known)}")
    return [key for key in known if key in wanted]


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
