"""Compare ecgfounder/1 with the published function that it reimplements, and one second of stream/1 with both.

python benchmarks/bench_frontend.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.frontend.ecgfounder import EcgFounderFrontEnd
from edge.frontend.stream import StreamFilter


def best_ms(functions: dict[str, Callable[[], object]], rounds: int = 30, repeat: int = 20) -> dict[str, float]:
    """Return the best CPU time of each function, ms, measured in turns."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.process_time()
            for _ in range(repeat):
                function()
            best[name] = min(best[name], (time.process_time() - started) / repeat * 1e3)
    return best


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from helpers.published import published

    rng = np.random.default_rng(0)
    window, second = rng.standard_normal(5000), rng.standard_normal(250)
    front_end, stream = EcgFounderFrontEnd(), StreamFilter(250)
    ms = best_ms(
        {
            "published function, one window": lambda: published(window),
            "ecgfounder/1, one window": lambda: front_end.filter(window),
            "stream/1, one second": lambda: stream.push(second),
        }
    )
    peer = ms["published function, one window"]
    for name, value in ms.items():
        print(f"{name:<34} {value:7.3f} ms   ratio {value / peer:.2f}")
    print(f"largest difference of the outputs: {np.max(np.abs(front_end.filter(window) - published(window))):.1e}")


if __name__ == "__main__":
    main()
