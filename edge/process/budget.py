"""What a run costs: latencies per stage and memory, measured while it runs, against the budgets of the design."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

from edge.records import BudgetLine, LatencyStats

MICRO_RSS_MIB = 60.0
FOUNDATION_RSS_MIB = 190.0
"""Peak resident memory of the whole process, by tier. The floor that they leave room over (51: Python, numpy, LiteRT, a
model, bleak with BlueZ and pyserial) was read in MiB, so these are."""

WRITTEN_P99_MS = 50.0
"""Last sample of a window arrived to estimate written, 99th percentile, on a workstation core."""

CHAIN_MS_PER_S = 5.0
"""Whole chain per second of signal, micro tier, one core."""

COLD_START_S = 1.0
"""Process start to first sample read."""

ADDED_SHARE = 0.15
"""What the runtime may add around ``invoke()``, foundation tier, as a share of it: gate, front end and estimates of a
window. Heart rate and R peaks are results of their own and made for refused windows, too. (The plan said 0.10; see the
budgets in ``docs/architecture.md``.)"""

RSS_GROWTH_MIB_24H = 1.0

_NOT_ON_A_DEVICE = {"wfdb", "edfio", "pandas", "tensorflow", "firmware_bridge.synth.ecgsyn"}
"""Readers of foreign recordings and the simulator: with them the memory of a process says nothing of the runtime."""

_PER_DECADE = 40
_LOWEST_MS = 1e-4
_BINS = 10 * _PER_DECADE


class LatencyMeter:
    """Latencies of one stage in logarithmic bins: constant memory over weeks, percentiles within 6 %."""

    def __init__(self) -> None:
        self._bins = [0] * _BINS
        self._count = 0
        self._max_ms = 0.0

    def add(self, ms: float) -> None:
        """Takes one latency in milliseconds."""
        position = int(math.log10(max(ms, _LOWEST_MS) / _LOWEST_MS) * _PER_DECADE)
        self._bins[min(position, _BINS - 1)] += 1
        self._count += 1
        self._max_ms = max(self._max_ms, ms)

    def percentile(self, percent: float) -> float:
        """Returns the upper edge of the bin that holds the percentile, in milliseconds; 0 where nothing was added."""
        rank = math.ceil(self._count * percent / 100.0)
        seen = 0
        for i, n in enumerate(self._bins):
            seen += n
            if n and seen >= rank:
                return float(min(_LOWEST_MS * 10.0 ** ((i + 1) / _PER_DECADE), self._max_ms))
        return 0.0

    def stats(self) -> LatencyStats:
        """Returns median, tail and maximum."""
        return LatencyStats(self.percentile(50), self.percentile(95), self.percentile(99), self._max_ms)


class BudgetMeter:
    """Collects the latencies of all stages of a run."""

    def __init__(self) -> None:
        self._stages: dict[str, LatencyMeter] = {}

    def add(self, latency_ms: Mapping[str, float]) -> None:
        """Takes the latencies of one hop."""
        for stage, ms in latency_ms.items():
            self._stages.setdefault(stage, LatencyMeter()).add(ms)

    def stats(self) -> dict[str, LatencyStats]:
        """Returns the statistics by stage."""
        return {stage: meter.stats() for stage, meter in self._stages.items()}

    def lines(self, tier: str, hop_s: float, *, live: bool) -> tuple[BudgetLine, ...]:
        """Returns the budgets that a run can judge.

        Args:
            tier: ``micro`` or ``foundation``.
            hop_s: Seconds between estimates: the limit of the delay on a small device.
            live: Arrival times were real, so that the delay to the written estimate means something.
        """
        limit_mib = MICRO_RSS_MIB if tier == "micro" else FOUNDATION_RSS_MIB
        rss_mib = peak_rss_mib()
        lines = []
        if not _NOT_ON_A_DEVICE & sys.modules.keys():
            lines.append(BudgetLine(f"peak memory, {tier} tier, MiB", rss_mib, limit_mib, rss_mib <= limit_mib))
        written = self._stages.get("written")
        if live and written is not None:
            p99 = written.percentile(99)
            lines.append(BudgetLine("window complete to written p99, ms", p99, hop_s * 1e3, p99 <= hop_s * 1e3))
        return tuple(lines)


def peak_rss_mib() -> float:
    """Returns the highest resident memory of this process, in MiB."""
    for line in _proc_status():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rss_mib() -> float:
    """Returns the present resident memory of this process, in MiB."""
    for line in _proc_status():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return peak_rss_mib()


def _proc_status() -> list[str]:
    try:
        return Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
