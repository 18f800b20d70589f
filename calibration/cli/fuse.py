"""``anyecg calibrate fuse``: let the outputs of a bundle also read the waves of the ECG, where this is better."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from calibration.cli.held_out import add_data_options, add_run_options, add_threshold, read_held_out
from edge.cli.parser import Parser, write_json
from firmware_bridge.errors import EXIT_OK, InputError

PROG = "anyecg calibrate fuse"


def parser() -> Parser:
    """Return the parser of ``anyecg calibrate fuse``."""
    p = Parser(PROG, "Fuse the outputs of a bundle with the waves of the ECG, on held-out patients.")
    add_data_options(p)
    p.add_argument("--out", type=Path, required=True, metavar="BUNDLE2", help="folder of the new bundle")
    add_threshold(p)
    add_run_options(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg calibrate fuse --help``."""
    args = parser().parse_args(argv)
    from calibration.fusion.page import fusion_page
    from calibration.fusion.run import Wanted, fuse_heads, table, wave_means
    from calibration.validate.recalibrate import FUSION, rewritten
    from convert.bundle.writer import write_bundle
    from convert.stats.decide import Rule
    from edge.bundle.reader import load_bundle

    wanted = Wanted(Rule.parse(args.threshold), args.seed)
    found = read_held_out(args, args.out)
    bundle = found.bundle
    means = wave_means(found.seen, bundle.manifest.aggregation_minutes * 60.0)
    made, said = fuse_heads(bundle, found.entries, found.scores, means, wanted)
    if not args.json:
        sys.stdout.write(table(said, [head.key for head in bundle.manifest.outputs]))
    if all("left" in one for one in said.values()):
        raise InputError(
            f"no output of {args.bundle} is clearly better with waves on {args.data}", "keep the bundle as it is"
        )
    contents = rewritten(found.folder, bundle, found.data, made, said, found.overlap, found.labels, how=FUSION)
    about = f"{bundle.manifest.name} {bundle.manifest.version} on {found.data.folder.name}"
    page = fusion_page(bundle.manifest.outputs, made, said, about)
    write_bundle(args.out, dataclasses.replace(contents, extra={**contents.extra, FUSION.page: page.encode()}))
    load_bundle(args.out)
    if args.json:
        write_json({"bundle": str(args.out), "heads": said})
    else:
        sys.stdout.write(
            f"{args.out}: written; AUROC and intervals are cross-fitted by patient\n"
            f"{args.out / FUSION.page}: the curves of the fused outputs\n"
        )
    return EXIT_OK
