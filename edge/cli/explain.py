"""``anyecg explain``: what the estimates of a recording or session rest on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge.bundle.reader import Bundle, load_bundle
from edge.bundle.words import head_words, sentence
from edge.chain import SignalChain
from edge.cli.parser import Parser, add_json, write_json
from edge.cli.run.inputs import source_url
from edge.explain.parts import Parts
from edge.explain.picture import picture
from edge.explain.reasons import Explainer, Reasons, looks, sentence_of, strongest
from edge.explain.record import MAX_WINDOWS
from edge.first_load import prove
from edge.grid.timeline import Gap, Timeline, TimelineItem
from edge.model import load_model
from edge.process.files import write_atomically
from edge.records import NOTICE
from edge.sinks.live.layout import with_unit
from edge.sources import Source, SourceUrl, open_source
from edge.tensecond import ShortRecording, WholeWindow
from edge.window import NoWindow, Window
from firmware_bridge.errors import EXIT_OK, InputError, UsageError

HOP_S = 1.0
"""Seconds between windows, the default of ``anyecg run``, so that both explain the same windows."""


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg explain --help``."""
    args = _parser().parse_args(argv)
    bundle = load_bundle(args.bundle)
    keys = [head.key for head in bundle.manifest.outputs]
    if args.head is not None and args.head not in keys:
        raise UsageError(f"the bundle has no output '{args.head}'", f"it has: {', '.join(keys)}")
    if args.picture is not None and args.picture.suffix != ".svg":
        raise UsageError(f"{args.picture} must end in .svg")
    source = open_source(source_of(args.recording))
    if source.info.live:
        raise UsageError(
            f"{args.recording} is a device, and only recordings are explained",
            f"record it with 'anyecg run --source {args.recording} --session-dir DIR --record', then explain DIR",
        )
    prove(bundle)
    explainer = Explainer(bundle, load_model(bundle))
    asyncio.run(_read(source, bundle, explainer))
    person = explainer.person
    if person is None:
        raise InputError(
            f"{args.recording} has no window whose P, QRS and T can be measured", "choose a longer or cleaner recording"
        )
    found = [one for one in explainer.reasons() if args.head in (None, one.key)]
    words = {head.key: head_words(head) for head in bundle.manifest.outputs}
    if args.picture is not None:
        shown = found[0] if args.head else strongest(found) or found[0]
        svg = picture(shown, sentence(words[shown.key]), person, explainer.reference, NOTICE)
        write_atomically(args.picture, svg, private=True)
    if args.json:
        write_json({"schema": "anyecg.reasons/1", "windows": explainer.windows, "outputs": _facts(found, explainer)})
    else:
        sys.stdout.write(_told(found, words, bundle, explainer, person))
    return EXIT_OK


def _parser() -> Parser:
    p = Parser(
        "anyecg explain",
        "Show what the estimates of a recording rest on: parts of its average beat are replaced by those of a "
        "reference beat, and the model runs again.",
    )
    p.add_argument("bundle", metavar="BUNDLE", help="folder, zip, or 'demo'")
    p.add_argument("recording", metavar="RECORDING", help="file, session folder with a raw recording, or source URL")
    p.add_argument("--head", metavar="KEY", help="only this output, such as potassium_high")
    p.add_argument(
        "--picture", metavar="FILE.svg", type=Path, help="draw the beat, coloured by the reasons of an output"
    )
    add_json(p)
    return p


def source_of(recording: str) -> SourceUrl:
    """Return the source URL of a file, a session folder or a URL; it is read as fast as possible.

    Raises:
        InputError: There is no such file.
    """
    path = Path(recording)
    if path.is_dir() and (path / "session.json").exists():
        path /= "raw.aer"
    if ":" in recording and not path.exists():
        url = SourceUrl.parse(recording)
        played = url.scheme in {"replay", "sim"} and "speed" not in url.params
        return source_url(recording, "max" if played else None, None)
    if not path.exists():
        raise InputError(
            f"there is no recording {path}", "name a file, a session with a raw recording, or a source URL"
        )
    return SourceUrl.of_file(str(path), speed="max")


async def _read(source: Source, bundle: Bundle, explainer: Explainer) -> None:
    """Explain accepted windows of a source, at most twelve."""
    grid_hz = bundle.manifest.front_end.grid_hz
    timeline, chain, short = Timeline(grid_hz), SignalChain(grid_hz, HOP_S), ShortRecording(grid_hz)
    try:
        async for item in source.items():
            for part in timeline.push(item):
                short.push(part)
                for window in _windows(chain, part):
                    short.formed()
                    if not explainer.due(window.end_s) or explainer.windows >= MAX_WINDOWS:
                        continue
                    if chain.assess(window).reason is None:
                        explainer.add(window)
            if explainer.windows >= MAX_WINDOWS:
                return
        if short.needed and isinstance(whole := short.finish(), WholeWindow):
            explainer.add(whole.window)
    finally:
        await source.close()


def _windows(chain: SignalChain, part: TimelineItem) -> Iterator[Window]:
    if isinstance(part, Gap):
        chain.gap(part)
    else:
        yield from (answer for answer in chain.push(part) if not isinstance(answer, NoWindow))


def _facts(found: list[Reasons], explainer: Explainer) -> list[dict[str, object]]:
    person = explainer.person
    return [
        {
            "key": one.key,
            "value": one.value,
            "reference": one.reference,
            "flagged": one.flagged,
            "effect": one.effect,
            "parts": dict(one.parts),
            "shares": one.shares,
            "looks": {} if person is None else {k: looks(k, person, explainer.reference) for k in one.shares},
        }
        for one in found
    ]


def _told(found: list[Reasons], words: dict[str, str], bundle: Bundle, explainer: Explainer, person: Parts) -> str:
    units = {head.key: head.unit for head in bundle.manifest.outputs}
    lines = [f"average beat of {explainer.windows} windows against a reference beat"]
    for one in sorted(found, key=lambda r: (r.flagged is not True, not r.told)):
        mark = "FLAG " if one.flagged else "     "
        value = f"{with_unit(one.value, units[one.key])}, reference {with_unit(one.reference, units[one.key])}"
        lines.append(f"{mark}{sentence_of(one, sentence(words[one.key]), person, explainer.reference)}  [{value}]")
    return "\n".join([*lines, "", NOTICE, ""])
