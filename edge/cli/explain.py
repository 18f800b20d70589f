"""``anyecg explain``: what the estimates of a recording or session rest on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
from edge.rhythm.watch import RhythmWatch
from edge.sinks.live.layout import with_unit
from edge.sinks.live.state import OUTPUT_REASON_TEXT
from edge.sources import Source, SourceUrl, open_source
from edge.tensecond import ShortRecording, WholeWindow
from edge.window import NoWindow, Window
from firmware_bridge.errors import EXIT_OK, InputError, UsageError

HOP_S = 1.0
"""Seconds between windows, the default of ``anyecg run``, so that both explain the same windows."""

_BY_RHYTHM = {"reason": "rhythm"}
"""Why an output abstains, as in an estimate."""


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
    silent = asyncio.run(_read(source, bundle, explainer))
    person = explainer.person
    if person is None:
        raise InputError(
            f"{args.recording} has no window whose P, QRS and T can be measured", "choose a longer or cleaner recording"
        )
    found = [one for one in explainer.reasons() if args.head in (None, one.key)]
    words = {head.key: head_words(head) for head in bundle.manifest.outputs}
    if args.picture is not None:
        answering = [one for one in found if one.key not in silent]
        shown = strongest(answering) or (answering or found)[0]
        why = OUTPUT_REASON_TEXT["rhythm"] if shown.key in silent else "no reasons"
        shown = replace(shown, told=False) if shown.key in silent else shown
        svg = picture(shown, sentence(words[shown.key]), person, explainer.reference, NOTICE, why)
        write_atomically(args.picture, svg, private=True)
    if args.json:
        write_json(
            {"schema": "anyecg.reasons/1", "windows": explainer.windows, "outputs": _facts(found, explainer, silent)}
        )
    else:
        sys.stdout.write(_told(found, words, bundle, explainer, person, silent))
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


async def _read(source: Source, bundle: Bundle, explainer: Explainer) -> frozenset[str]:
    """Explain accepted windows of a source, at most twelve; return the keys of the outputs that abstain by rhythm."""
    manifest = bundle.manifest
    grid_hz = manifest.front_end.grid_hz
    rhythms = [head.rhythms for head in manifest.outputs]
    watch = RhythmWatch(rhythms, manifest.aggregation_minutes * 60.0, grid_hz)
    timeline, chain, short = Timeline(grid_hz), SignalChain(grid_hz, HOP_S), ShortRecording(grid_hz)
    try:
        async for item in source.items():
            for part in timeline.push(item):
                short.push(part)
                for window in _windows(chain, part):
                    short.formed()
                    if explainer.windows >= MAX_WINDOWS:
                        return _silent(bundle, watch)
                    if chain.assess(window).reason is None:
                        watch.take(window)
                        if explainer.due(window.end_s):
                            explainer.add(window)
        if short.needed and isinstance(whole := short.finish(), WholeWindow):
            watch.take(whole.window)
            explainer.add(whole.window)
        return _silent(bundle, watch)
    finally:
        await source.close()


def _silent(bundle: Bundle, watch: RhythmWatch) -> frozenset[str]:
    quiet = zip(bundle.manifest.outputs, watch.abstaining(), strict=True)
    return frozenset(head.key for head, abstains in quiet if abstains)


def _windows(chain: SignalChain, part: TimelineItem) -> Iterator[Window]:
    if isinstance(part, Gap):
        chain.gap(part)
    else:
        yield from (answer for answer in chain.push(part) if not isinstance(answer, NoWindow))


def _facts(found: list[Reasons], explainer: Explainer, silent: frozenset[str]) -> list[dict[str, object]]:
    person = explainer.person
    facts: list[dict[str, object]] = []
    for one in found:
        if one.key in silent:
            nothing: dict[str, object] = {"value": None, "reference": one.reference, "flagged": None, "effect": None}
            facts.append({"key": one.key, **nothing, "parts": {}, "shares": {}, "looks": {}, "abstained": _BY_RHYTHM})
            continue
        facts.append(
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
        )
    return facts


def _told(
    found: list[Reasons],
    words: dict[str, str],
    bundle: Bundle,
    explainer: Explainer,
    person: Parts,
    silent: frozenset[str],
) -> str:
    units = {head.key: head.unit for head in bundle.manifest.outputs}
    lines = [f"average beat of {explainer.windows} windows against a reference beat"]
    for one in sorted(found, key=lambda r: (r.key in silent, r.flagged is not True, not r.told)):
        if one.key in silent:
            lines.append(f"     {sentence(words[one.key])}: abstains, {OUTPUT_REASON_TEXT['rhythm']}")
            continue
        mark = "FLAG " if one.flagged else "     "
        value = f"{with_unit(one.value, units[one.key])}, reference {with_unit(one.reference, units[one.key])}"
        lines.append(f"{mark}{sentence_of(one, sentence(words[one.key]), person, explainer.reference)}  [{value}]")
    return "\n".join([*lines, "", NOTICE, ""])
