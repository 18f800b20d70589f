"""Compare the whole chain for one hop, from decoding to the estimate, with NeuroKit2's cleaning and beat detection.

pip install -e '.[bench]'; python benchmarks/bench_chain.py
"""

from __future__ import annotations

import time
import warnings

import numpy as np

from edge.bench import run as bench
from edge.engine import Engine
from edge.session import load


def main() -> None:
    import neurokit2 as nk

    warnings.simplefilter("ignore")
    loaded = load("demo")
    engine = Engine(loaded.bundle, loaded.model, bench.plain_session())
    ecg = bench.ecg_minute()
    items = list(bench.blocks(ecg, 60.0))
    for item in items:
        engine.push(item)
    window = ecg[:2500].astype(np.float64) / 1000.0

    def chain() -> None:
        for item in items[:600]:
            engine.push(item)

    def neurokit() -> None:
        nk.ecg_peaks(nk.ecg_clean(window, sampling_rate=250), sampling_rate=250)

    best = {"chain": float("inf"), "neurokit": float("inf")}
    for _ in range(5):
        started = time.process_time()
        chain()
        best["chain"] = min(best["chain"], (time.process_time() - started) / 60.0)
        started = time.process_time()
        for _ in range(20):
            neurokit()
        best["neurokit"] = min(best["neurokit"], (time.process_time() - started) / 20.0)
    print(f"anyecg, everything for one second of signal, one estimate   {best['chain'] * 1e3:7.2f} ms")
    print(f"NeuroKit2, ecg_clean + ecg_peaks of one 10 s window         {best['neurokit'] * 1e3:7.2f} ms")
    print(f"ratio                                                       {best['chain'] / best['neurokit']:7.2f}")


if __name__ == "__main__":
    main()
