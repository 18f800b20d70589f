"""The demonstration: a virtual patch in a separate process, a pseudo-terminal, and the whole chain."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.summary import answer_text, lab_text, summary_text
from edge.records import RunSummary
from edge.session import load, make_views, run
from edge.sinks import Sink
from edge.sinks.answer import AnswerSink
from edge.sinks.jsonl import open_jsonl
from edge.sources import open_source
from edge.store.storage import Storage
from firmware_bridge.virtual.process import VirtualProcess

if TYPE_CHECKING:
    from edge.http.server import PageServer

_NEXT = "\nnext        anyecg run --source URL --http 127.0.0.1:8080 shows your patch on the same page\n"

_INJECTED = (
    "frames_dropped", "frames_corrupted", "frames_doubled", "frames_late", "frames_resent", "leadoff_samples",
    "restarts", "unplugs",
)  # fmt: skip
"""What the virtual patch counts of the faults that it was told to make."""


def demonstrate(args: argparse.Namespace) -> int:
    """Run the demonstration with the options of ``anyecg demo``, and return the exit code.

    Raises:
        AnyEcgError: The run could not start or failed.
    """
    with _page(args.http) as page:
        return _demonstrate(args, page)


def _page(address: str) -> AbstractContextManager[PageServer | None]:
    """Return the page as a context; entering it listens and says where."""
    if address == "off":
        return nullcontext()
    from edge.http.open import open_page

    return open_page(address, None, sys.stderr)


def _demonstrate(args: argparse.Namespace, page: PageServer | None) -> int:
    loaded = load(args.bundle)
    patient = ["--potassium", str(args.potassium), "--hr", str(args.hr), "--seed", str(args.seed)]
    with tempfile.TemporaryDirectory(prefix="anyecg-demo-") as folder:
        link = Path(folder) / "ttyPATCH"
        with VirtualProcess(link, *patient, "--faults", args.faults) as patch:
            source = open_source(f"serial:{link}")
            sinks: list[Sink] = [] if args.out is None else [open_jsonl(args.out, Storage())]
            if page is not None:
                sinks.append(page.patch("demonstration", source.info, loaded.bundle, args.hop))
            sinks += make_views(
                args.view, source, loaded, args.hop, to_stderr=args.out == "-", picture=args.picture, force=args.force,
                page="" if page is None else page.invitation,
            )  # fmt: skip
            answer = AnswerSink()
            sinks.append(answer)
            summary, code = run(source, loaded, sinks, seconds=args.seconds, hop_s=args.hop)
            account = patch.stop()
    stream = sys.stderr if args.out == "-" else sys.stdout
    found = answer_text(answer, loaded.bundle.manifest.outputs) + _compared(args, answer, account, summary) + _NEXT
    stream.write(summary_text(summary, answer=found))
    exceeded = [line.name for line in summary.budgets if not line.ok]
    if code == 0 and (exceeded or summary.estimates == 0):
        stream.write(_failure(exceeded, summary))
        return 1
    return code


def _compared(args: argparse.Namespace, answer: AnswerSink, account: dict[str, int], summary: RunSummary) -> str:
    """Return what was simulated beside what was found, as a table."""
    e = answer.estimate_with_labs
    labs = {} if e is None else {lab.key: lab for lab in e.labs}
    rate = "-" if e is None or e.heart_rate_bpm is None else f"{e.heart_rate_bpm:.0f} bpm"
    rows = [("", "simulated", "found"), ("heart rate", f"{args.hr:g} bpm", rate)]
    potassium = labs.get("potassium")
    rows.append(("potassium", f"{args.potassium:g} mmol/L", "-" if potassium is None else lab_text(potassium)))
    rows.append(("lost samples", str(account.get("lost_samples", "-")), str(summary.lost_samples)))
    lines = ["", *(f"{name:<14}{left:<16}{right}".rstrip() for name, left, right in rows)]
    injected = {name: value for name, value in account.items() if name in _INJECTED and value}
    if injected:
        facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in injected.items())
        lines.append(f"{'faults':<14}{facts}")
    return "\n".join([*lines, ""])


def _failure(exceeded: list[str], summary: RunSummary) -> str:
    if exceeded:
        return f"anyecg demo: budget exceeded: {'; '.join(exceeded)}\n"
    needed = "the first needs about 13 s; use a larger --seconds"
    return f"anyecg demo: no estimate in {summary.signal_s:.0f} s of signal ({needed})\n"
