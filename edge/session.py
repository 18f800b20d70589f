"""One run, from options to exit code, for every command that runs the chain."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.bundle.reader import Bundle, load_bundle
from edge.engine import Engine, Explains, SessionInfo
from edge.first_load import prove
from edge.grid.wallclock import ClockSync, live_wall_ns, recorded_wall_ns
from edge.model import BackendName, Model, load_model
from edge.pipeline import Pipeline
from edge.process.allocator import keep_small, keep_start_objects
from edge.process.pages import release_start_pages
from edge.process.signals import EXIT_CODES, Stopper
from edge.process.systemd import Notifier
from edge.records import RunSummary
from edge.self_test import self_test
from edge.sinks import Interactive, Sink
from edge.sources import Source, session_name
from edge.waves.measure import st_reason
from firmware_bridge.errors import EXIT_OK

if TYPE_CHECKING:
    from edge.sinks.live.state import LiveState


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A bundle whose model has passed its self-test."""

    bundle: Bundle
    model: Model


def load(name: str, backend: BackendName = "auto", trusted: str | None = None) -> Loaded:
    """Read a bundle, load its model and run its self-test.

    Args:
        name: Folder, zip file, or ``demo``.
        backend: The interpreter.
        trusted: File of the public keys by which a bundle must be signed; by default any bundle is accepted.

    Raises:
        BundleError: The bundle is damaged or not trusted, or its self-test fails on this machine.
        UsageError: The file of trusted keys is not usable.
        MissingExtraError: The interpreter is not installed.
    """
    keep_small()
    bundle = load_bundle(name)
    if trusted is not None:
        from edge.bundle.trust import require_trusted

        require_trusted(bundle, Path(trusted))
    prove(bundle, backend)
    release_start_pages()  # of numpy, before the interpreter adds more
    model = load_model(bundle, backend)
    self_test(bundle, model)
    keep_start_objects()
    release_start_pages()
    return Loaded(bundle, model)


def session_info(source: Source) -> SessionInfo:
    """Return what the estimates of a source carry: session name, device, and the map to wall time."""
    info = source.info
    wall: Callable[[int], int]
    if info.live or (info.host_clock and info.start_unix_ns is None):
        wall = live_wall_ns
    elif info.start_unix_ns is not None:
        wall = recorded_wall_ns(info.start_unix_ns, info.start_host_ns)
    else:
        wall = recorded_wall_ns(time.time_ns(), info.start_host_ns)
    return SessionInfo(
        session=session_name(info),
        device=info.device,
        wall_ns=wall,
        clock_synced=ClockSync(),
        stalls=info.live or info.arrival_timed,
        st_reason=st_reason(info.band_hz, is_device=info.of_device),
    )


def live_reasons(bundle: Bundle, model: Model, hop_s: float) -> Explains:
    """Return what adds reasons to the estimates of one engine; a run without them does not load its code."""
    from edge.explain.live import LiveReasons

    return LiveReasons(bundle, model, hop_s)


def run(
    source: Source,
    loaded: Loaded,
    sinks: Sequence[Sink],
    *,
    seconds: float | None,
    hop_s: float,
    session: SessionInfo | None = None,
    trust_patch: bool = False,
    with_reasons: bool = False,
) -> tuple[RunSummary, int]:
    """Run until the source ends; Ctrl-C and SIGTERM end it in an orderly way.

    Args:
        source: The source of samples.
        loaded: The bundle and its model.
        sinks: Destinations of the results.
        seconds: Signal to process, s; ``None`` for no limit.
        hop_s: Seconds between estimates.
        session: Values that every estimate carries; by default those of the source.
        trust_patch: Whether to take the estimates that a patch makes itself.
        with_reasons: Whether estimates say what they rest on.

    Returns:
        The summary and the exit code.

    Raises:
        AnyEcgError: A source or sink failed; everything received before is written.
    """
    carried = session or session_info(source)
    reasons = live_reasons(loaded.bundle, loaded.model, hop_s) if with_reasons else None
    if not trust_patch:
        plain = Engine(loaded.bundle, loaded.model, carried, hop_s, reasons=reasons)
        return asyncio.run(_run(source, loaded, sinks, plain, seconds, hop_s))
    from edge.onpatch.engine import TrustingEngine

    engine = TrustingEngine(loaded.bundle, loaded.model, carried, hop_s, reasons=reasons)
    result = asyncio.run(_run(source, loaded, sinks, engine, seconds, hop_s))
    sys.stderr.write(f"note: {engine.closing()}\n")
    return result


async def _run(
    source: Source,
    loaded: Loaded,
    sinks: Sequence[Sink],
    engine: Engine,
    seconds: float | None,
    hop_s: float,
) -> tuple[RunSummary, int]:
    tier, notifier = loaded.bundle.manifest.tier, Notifier()
    if notifier.listening:
        from edge.sinks.link import StatusSink

        sinks = [*sinks, StatusSink(notifier.status, source.info.device)]
    pipeline = Pipeline(source, engine, sinks, seconds=seconds, tier=tier, hop_s=hop_s, alive=notifier.alive)
    stop = asyncio.Event()
    code = EXIT_OK
    loop = asyncio.get_running_loop()

    def interrupted(number: signal.Signals) -> None:
        nonlocal code
        code = EXIT_CODES[number]
        pipeline.ended_by = number.name
        notifier.stopping()
        stop.set()

    def quit_by_key() -> None:
        pipeline.ended_by = "q"
        stop.set()

    for sink in sinks:
        if isinstance(sink, Interactive):
            sink.on_quit(lambda: loop.call_soon_threadsafe(quit_by_key))
    stopper = Stopper(lambda number: loop.call_soon_threadsafe(interrupted, number))
    stopper.install()
    try:
        summary = await pipeline.run(stop)
    finally:
        stopper.remove()
    return summary, code


def make_views(
    choice: str,
    source: Source,
    loaded: Loaded,
    hop_s: float,
    *,
    to_stderr: bool,
    picture: str | None = None,
    force: bool = False,
    page: str = "",
) -> list[Sink]:
    """Return the sinks for the display.

    Args:
        choice: ``auto`` (live on a terminal that can draw, else plain lines), ``live``, ``plain`` or ``none``.
        source: The source; the screen shows its name.
        loaded: The bundle and its model; the screen shows the name.
        hop_s: Seconds between estimates, which is also the latency budget on the screen.
        to_stderr: Whether to write to standard error, because standard output carries JSON Lines.
        picture: SVG file for the last screen; ``None`` for none.
        force: Whether to replace an existing picture.
        page: Address of the page in the browser, for the live screen; empty without one.

    Raises:
        UsageError: The picture exists, or its name is not that of an SVG file.
    """
    manifest = loaded.bundle.manifest

    def state(page: str = "") -> LiveState:
        from edge.sinks.live.state import LiveState

        return LiveState(source.info.url, f"{manifest.name} {manifest.version}", hop_s * 1e3, page=page)

    sinks: list[Sink] = []
    on_screen = False
    if choice != "none":
        from edge.sinks.live.view import LiveSink, open_view

        stream = sys.stderr if to_stderr else sys.stdout
        live = {"live": True, "plain": False}.get(choice)
        view = open_view(state(page), stream, live=live, link=not source.info.live)
        on_screen = isinstance(view, LiveSink) and sys.stderr.isatty()
        sinks.append(view)
    if source.info.live and not on_screen:
        # The live view shows the same; lines between its frames would damage it.
        from edge.sinks.link import LinkSink

        sinks.append(LinkSink(sys.stderr))
    if picture is not None:
        from edge.sinks.live.svg import SvgSink, check_picture

        check_picture(Path(picture), overwrite=force)
        sinks.append(SvgSink(picture, state()))
    return sinks
