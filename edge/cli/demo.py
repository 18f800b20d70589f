"""``anyecg demo``: the whole chain on a virtual patch."""

from __future__ import annotations

from collections.abc import Sequence

from edge.cli.parser import Parser
from edge.cli.run import add_view, hop, positive

DEFAULT_SECONDS = 30.0


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg demo --help``."""
    args = _parser().parse_args(argv)
    # Imported on use, because the help needs neither numpy nor the engine.
    from edge.cli.demonstration import demonstrate

    return demonstrate(args)


def _parser() -> Parser:
    p = Parser(
        "anyecg demo", "Run the whole chain on a virtual patch with a simulated patient, over a pseudo-terminal."
    )
    p.add_argument(
        "--seconds", type=positive, default=DEFAULT_SECONDS, metavar="N", help="duration in seconds (default 30)"
    )
    p.add_argument("--hop", type=hop, default=1.0, metavar="S", help="seconds between estimates (default 1)")
    p.add_argument(
        "--bundle", default="demo", metavar="DIR", help="bundle folder or zip (default: the one in the package)"
    )
    p.add_argument(
        "--potassium", type=float, default=6.6, metavar="K", help="potassium of the simulated patient, mmol/L"
    )
    p.add_argument("--hr", type=float, default=72.0, metavar="BPM", help="heart rate of the simulated patient")
    p.add_argument("--faults", default="", metavar="TEXT", help="faults to inject, such as 'unplug@15:3;leadoff@20:4'")
    p.add_argument("--seed", type=int, default=1, help="random seed of the simulated patient")
    p.add_argument(
        "--http",
        metavar="ADDRESS|off",
        default="127.0.0.1:0",
        help="address of the page in the browser, while the demonstration runs (default: a free port of this computer)",
    )
    p.add_argument("--out", metavar="FILE|-", help="also write the estimates as JSON Lines")
    add_view(p)
    return p
