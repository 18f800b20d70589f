"""The options of ``anyecg run``."""

from __future__ import annotations

import argparse
import math

from edge.cli.parser import Parser


def parser() -> Parser:
    """Return the parser of ``anyecg run``."""
    p = Parser(
        "anyecg run", "Read one ECG lead from a patch or a recording and emit laboratory estimates, one per hop."
    )
    p.add_argument(
        "--source",
        metavar="URL",
        nargs="+",
        action="extend",
        help="replay:FILE, serial:/dev/ttyACM0, sim:, record:FILE,URL ...; several patches, each URL or NAME=URL, run "
        "at the same time; a folder, a pattern or several recordings give one estimate each",
    )
    p.set_defaults(patches=())
    p.add_argument("--bundle", metavar="DIR", default="demo", help="bundle folder or zip; 'demo' is in the package")
    p.add_argument(
        "--trusted", metavar="KEYS", help="file of public keys; refuse a bundle that none of them has signed"
    )
    _add_sink_options(p)
    p.add_argument("--seconds", metavar="N", type=positive, help="stop after N seconds of signal")
    p.add_argument("--speed", metavar="X|max", help="replay at X times real time, or as fast as possible")
    p.add_argument("--hop", metavar="S", type=hop, default=1.0, help="seconds between estimates (default 1)")
    p.add_argument("--reasons", action="store_true", help="say in each estimate what it rests on; see docs/explain.md")
    _add_session_options(p)
    _add_wearer_options(p)
    add_view(p)
    p.add_argument(
        "--backend",
        choices=["auto", "litert", "litert-reference", "tflite-runtime", "tflm"],
        default="auto",
        help="interpreter of the model",
    )
    p.add_argument("--wait", action="store_true", help="wait even for a device that may not be opened, as a service")
    p.add_argument("--config", metavar="FILE", help="TOML file that sets these options by name")
    return p


def _add_sink_options(p: Parser) -> None:
    p.add_argument(
        "--out", metavar="FILE|-", help="append estimates as JSON Lines to FILE, or write them to standard output"
    )
    p.add_argument("--mqtt", metavar="URL", help="publish to this broker: mqtts://USER@HOST/PREFIX; see docs/mqtt.md")
    p.add_argument(
        "--http", metavar="ADDRESS", help="show a page in the browser at this address: 127.0.0.1:8080; see docs/page.md"
    )
    p.add_argument("--http-token-file", metavar="FILE", help="file with the token that opens the page")
    p.add_argument(
        "--lsl",
        metavar="NAME",
        nargs="?",
        const="anyecg",
        help="offer the ECG and the estimates as LSL streams 'NAME ECG' and 'NAME estimates' (default: anyecg)",
    )
    p.add_argument("--sink", metavar="NAME:...", action="append", help="also send results to a sink of another package")


def _add_session_options(p: Parser) -> None:
    p.add_argument("--session-dir", metavar="DIR", help="write estimates, beats, events and summary to DIR")
    p.add_argument(
        "--keep",
        metavar="LIMIT",
        help="size or age of what stays in session folders (2GB, 30d, 2GB,30d, all; default 2GB of this session); "
        "when given, it counts and removes the oldest finished sessions beside DIR, too",
    )
    p.add_argument(
        "--record",
        metavar="FILE",
        nargs="?",
        const="",
        help="also record the raw frames with their arrival times, in FILE.aer or in the session folder",
    )


def _add_wearer_options(p: Parser) -> None:
    p.add_argument(
        "--device-profile", metavar="FILE", help="scale, polarity and rate of the board; see docs/calibrate.md"
    )
    p.add_argument(
        "--person", metavar="FILE", help="TOML file with this person's own laboratory results, which anchor the values"
    )
    p.add_argument(
        "--baseline", metavar="FILE", help="quiet hour of this person, from 'anyecg baseline'; shows changes against it"
    )
    p.add_argument(
        "--trust-patch", action="store_true", help="take the estimates that a patch makes itself, and check them"
    )


def add_view(p: Parser) -> None:
    """Add the options of the live view."""
    p.add_argument(
        "--view",
        choices=["auto", "live", "plain", "none"],
        default="auto",
        help="display: live screen, plain lines, or none",
    )
    p.add_argument("--picture", metavar="FILE.svg", help="write the last screen as a picture")
    p.add_argument("--force", action="store_true", help="replace an existing picture")


def positive(text: str) -> float:
    """Parse a positive finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0.0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number")
    return value


def hop(text: str) -> float:
    """Parse the time between estimates, s, within bounds."""
    # Imported on use, because it loads numpy, which the help does not need.
    from edge.window import MAX_HOP_S, MIN_HOP_S

    value = positive(text)
    if not MIN_HOP_S <= value <= MAX_HOP_S:
        raise argparse.ArgumentTypeError(f"a hop of {text} s is outside {MIN_HOP_S:g} to {MAX_HOP_S:g} s")
    return value


def several_patches(args: argparse.Namespace) -> bool:
    """Return whether the options name patches to run at the same time, rather than recordings one after another."""
    if args.patches:
        return True
    named = any("=" in text.partition(":")[0] for text in args.source)
    return named or (len(args.source) > 1 and not all(text.lower().startswith("replay:") for text in args.source))
