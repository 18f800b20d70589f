"""``anyecg demo``: a virtual patch in a process of its own, a pseudo-terminal, and the whole chain behind it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge.cli.parser import Parser
from edge.cli.run import hop, positive
from edge.cli.summary import summary_text
from edge.records import RunSummary
from edge.session import load, make_views, run
from edge.sinks import Sink
from edge.sinks.jsonl import open_jsonl
from edge.sources import open_source
from firmware_bridge.virtual.process import VirtualProcess

DEFAULT_SECONDS = 30.0


def main(argv: Sequence[str]) -> int:
    """Runs the command; see ``anyecg demo --help``."""
    p = Parser("anyecg demo", "A virtual patch on a pseudo-terminal, a simulated patient in it, and the whole chain.")
    p.add_argument("--seconds", type=positive, default=DEFAULT_SECONDS, metavar="N", help="how long (default 30)")
    p.add_argument("--hop", type=hop, default=1.0, metavar="S", help="seconds between estimates (default 1)")
    p.add_argument("--bundle", default="demo", metavar="DIR", help="another bundle than the one in the package")
    p.add_argument("--potassium", type=float, default=6.6, metavar="K", help="of the simulated patient, mmol/L")
    p.add_argument("--hr", type=float, default=72.0, metavar="BPM", help="heart rate of the simulated patient")
    p.add_argument("--faults", default="", metavar="TEXT", help="such as 'drop=0.01;unplug@15:3;leadoff@20:4'")
    p.add_argument("--seed", type=int, default=1, help="of the simulated patient")
    p.add_argument("--out", metavar="FILE|-", help="also write the estimates as JSON Lines")
    p.add_argument("--view", choices=["auto", "live", "plain", "none"], default="auto", help="what people see")
    p.add_argument("--picture", metavar="FILE.svg", help="write the last screen as a picture")
    args = p.parse_args(argv)
    loaded = load(args.bundle)
    patient = ["--potassium", str(args.potassium), "--hr", str(args.hr), "--seed", str(args.seed)]
    with tempfile.TemporaryDirectory(prefix="anyecg-demo-") as folder:
        link = Path(folder) / "ttyPATCH"
        with VirtualProcess(link, *patient, "--faults", args.faults) as patch:
            source = open_source(f"serial:{link}")
            sinks: list[Sink] = [] if args.out is None else [open_jsonl(args.out)]
            sinks += make_views(args.view, source, loaded, args.hop, to_stderr=args.out == "-", picture=args.picture)
            summary, code = run(source, loaded, sinks, seconds=args.seconds, hop_s=args.hop)
            account = patch.stop()
    stream = sys.stderr if args.out == "-" else sys.stdout
    stream.write(summary_text(summary) + _account_text(account, summary))
    broken = [line.name for line in summary.budgets if not line.ok]
    if code == 0 and (broken or summary.estimates == 0):
        stream.write(_failure(broken, summary))
        return 1
    return code


def _account_text(account: dict[str, int], summary: RunSummary) -> str:
    if not account:
        return ""
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in account.items() if value)
    return f"virtual patch's own account: {facts}\nlost samples found by the runtime: {summary.lost_samples}\n"


def _failure(broken: list[str], summary: RunSummary) -> str:
    if broken:
        return f"anyecg demo: budget broken: {'; '.join(broken)}\n"
    return f"anyecg demo: no estimate in {summary.signal_s:.0f} s of signal (the first needs about 13 s)\n"
