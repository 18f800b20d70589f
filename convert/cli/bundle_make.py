"""``anyecg bundle make``: a bundle from any LiteRT model that takes ten seconds of one lead."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from convert.cli.defaults import OWN_MODEL, VERSION
from convert.cli.parity_output import write_parity
from convert.cli.recording_options import add_recording_options, recording_options
from edge.cli.parser import Parser, add_json
from firmware_bridge.errors import EXIT_OK

MAX_WINDOWS = 10_000


def build_parser() -> Parser:
    """Return the parser of the command."""
    p = Parser(
        "anyecg bundle make",
        "Make a bundle from a LiteRT model (float32, float16, dynamic-range or int8) that takes ten seconds of one "
        "lead at 125 or 500 Hz and gives one logit or value for each head.",
    )
    p.add_argument("model", type=Path, metavar="MODEL.tflite", help="the model")
    p.add_argument("--outputs", type=Path, required=True, metavar="FILE", help="description of its heads, TOML or JSON")
    p.add_argument(
        "--front-end", required=True, choices=OWN_MODEL.front_ends, help="filter that the model's windows need"
    )
    p.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="output folder of the bundle")
    p.add_argument(
        "--data", type=Path, metavar="DIR", help="recordings for golden vectors and report; default: simulated patients"
    )
    p.add_argument("--output", metavar="NAME", help="output of the model; default: the only one that fits")
    p.add_argument("--name", help="name of the bundle; default: that of the file")
    p.add_argument("--version", default=VERSION, help="version of the bundle; default %(default)s")
    p.add_argument("--licence", default=OWN_MODEL.licence, help="licence of the model; default: '%(default)s'")
    p.add_argument(
        "--windows", type=_count, default=OWN_MODEL.windows, metavar="N", help="windows of --data; default %(default)s"
    )
    add_recording_options(p)
    add_json(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg bundle make --help``."""
    a = build_parser().parse_args(argv)
    from convert.own_model.run import OwnModelConfig, make_bundle

    config = OwnModelConfig(
        a.model, a.outputs, a.front_end, a.out, a.data, a.output, a.name, a.version, a.licence, a.windows,
        recording_options(a),
    )  # fmt: skip
    report = make_bundle(config, sys.stderr)
    facts = report.facts
    done = f"{a.out}: {facts['form']}, {facts['model bytes']} bytes, verified\n"
    write_parity(report, done, as_json=a.json)
    return EXIT_OK


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 2 <= int(text) <= MAX_WINDOWS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 2 to {MAX_WINDOWS}")
    return int(text)
