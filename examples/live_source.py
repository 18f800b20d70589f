"""Read a live source and print every beat and every estimate.

A sink receives the results of the engine. The runtime does the rest: it reconnects, counts lost samples, answers each
hop, and stops cleanly on Ctrl-C.

::

    python examples/live_source.py                              # a simulated patient, 20 s
    python examples/live_source.py serial:/dev/ttyACM0 60       # a patch on a serial port, 60 s
    python examples/live_source.py "ble:polar_h10?wait=0" 60    # a strap on Bluetooth
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TextIO

from edge.records import Estimate
from edge.session import load, run
from edge.sinks import BaseSink
from edge.sources import open_source
from firmware_bridge.errors import AnyEcgError
from firmware_bridge.samples import LinkEvent

SIMULATION = "sim:?potassium=6.5&seed=1&speed=max"


class PrintSink(BaseSink):
    """Prints beats, estimates and events of the link.

    Args:
        out: Where to print.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def beat(self, t_s: float) -> None:
        """Print the signal time of an R peak."""
        print(f"{t_s:9.3f} s  beat", file=self._out)

    def estimate(self, e: Estimate) -> None:
        """Print an estimate, or the reason why there is none."""
        if e.abstained is not None:
            print(f"{e.window.end_s:9.3f} s  no estimate: {e.abstained}", file=self._out)
            return
        flagged = [f"{lab.key} {lab.value:.2f}" for lab in e.labs if lab.flag]
        rate = "unknown" if e.heart_rate_bpm is None else f"{e.heart_rate_bpm:.0f} bpm"
        print(f"{e.window.end_s:9.3f} s  heart rate {rate}, flagged: {', '.join(flagged) or 'nothing'}", file=self._out)

    def event(self, ev: LinkEvent) -> None:
        """Print what happened on the link."""
        print(f"             link {ev.kind} {ev.detail}", file=self._out)


def main(argv: Sequence[str], out: TextIO = sys.stdout) -> int:
    """Run until the given seconds of signal are over."""
    parser = argparse.ArgumentParser(description="Print beats and estimates of a live source.")
    parser.add_argument("source", nargs="?", default=SIMULATION, help="source URL; without it, a simulated patient")
    parser.add_argument("seconds", nargs="?", type=float, default=20.0, help="seconds of signal (default 20)")
    args = parser.parse_args(argv)
    source = open_source(args.source)
    summary, code = run(source, load("demo"), [PrintSink(out)], seconds=args.seconds, hop_s=1.0)
    print(f"{summary.estimates} estimates in {summary.hops} hops, {summary.lost_samples} samples lost", file=out)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AnyEcgError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
