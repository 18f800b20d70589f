"""Latencies by stage and memory of a run, measured while it runs, and the budgets of the design."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path

from edge.records import BudgetLine, LatencyStats

MICRO_RSS_MIB = 60.0
FOUNDATION_RSS_MIB = 190.0
"""Largest resident memory of the whole process by tier, MiB. Python, numpy, LiteRT, a model, bleak with BlueZ and
pyserial alone take 51 MiB."""

STATION_RSS_MIB = 95.3
"""Largest resident memory of a process with many patches, tier micro, MiB: 100 MB with fifty of them."""

MANY = "micro, several patches"
"""Tier of the budget for a process with several patches."""

_RSS_MIB = {"micro": MICRO_RSS_MIB, MANY: STATION_RSS_MIB}

WRITTEN_P99_MS = 50.0
"""Largest time from the last sample of a window to the written estimate, 99th percentile, ms, on a workstation core."""

CHAIN_MS_PER_S = 5.0
"""Largest processor time of the whole chain per second of signal, ms, tier micro, one core."""

COLD_START_S = 1.0
"""Largest time from process start to the first sample read, s."""

ADDED_SHARE = 0.15
"""Largest cost of the runtime relative to ``invoke()``, tier foundation: gate, front end and estimates of a window.
Heart rate and R peaks do not count, because refused windows have them, too. (The plan said 0.10; see the budgets in
``docs/architecture.md``.)"""

RSS_GROWTH_MIB_24H = 1.0

_NOT_ON_A_DEVICE = {"soundfile", "wfdb", "pandas", "tensorflow", "firmware_bridge.synth.ecgsyn"}
"""Readers of other formats and the simulator; with them, the memory of a process is not that of the runtime."""

_PER_DECADE = 40
_LOWEST_MS = 1e-4
_BINS = 10 * _PER_DECADE


class LatencyMeter:
    """Counts the latencies of one stage in logarithmic bins: constant memory over weeks, percentiles within 6 %."""

    def __init__(self) -> None:
        self._bins = [0] * _BINS
        self._count = 0
        self._max_ms = 0.0

    def add(self, ms: float) -> None:
        """Take one latency in milliseconds."""
        position = int(math.log10(max(ms, _LOWEST_MS) / _LOWEST_MS) * _PER_DECADE)
        self._bins[min(position, _BINS - 1)] += 1
        self._count += 1
        self._max_ms = max(self._max_ms, ms)

    def percentile(self, percent: float) -> float:
        """Return the upper edge of the bin that holds the percentile, ms; 0 without latencies."""
        rank = math.ceil(self._count * percent / 100.0)
        seen = 0
        for i, n in enumerate(self._bins):
            seen += n
            if n and seen >= rank:
                return float(min(_LOWEST_MS * 10.0 ** ((i + 1) / _PER_DECADE), self._max_ms))
        return 0.0

    def stats(self) -> LatencyStats:
        """Return median, tail and maximum."""
        return LatencyStats(self.percentile(50), self.percentile(95), self.percentile(99), self._max_ms)


class BudgetMeter:
    """Collects the latencies of all stages of a run."""

    def __init__(self) -> None:
        self._stages: dict[str, LatencyMeter] = {}

    def add(self, latency_ms: Mapping[str, float]) -> None:
        """Take the latencies of one hop."""
        for stage, ms in latency_ms.items():
            self._stages.setdefault(stage, LatencyMeter()).add(ms)

    def stats(self) -> dict[str, LatencyStats]:
        """Return the statistics by stage."""
        return {stage: meter.stats() for stage, meter in self._stages.items()}

    def lines(self, tier: str, hop_s: float, *, live: bool) -> tuple[BudgetLine, ...]:
        """Return the budgets that a run can check.

        Args:
            tier: ``micro``, ``foundation`` or `MANY`.
            hop_s: Seconds between estimates, which is the limit of the delay on a small device.
            live: Whether arrival times are real, so that the delay to the written estimate can be measured.
        """
        limit_mib = _RSS_MIB.get(tier, FOUNDATION_RSS_MIB)
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
    """Return the highest resident memory of this process, in MiB."""
    for line in _proc_status():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    import resource

    # macOS counts bytes, other systems KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)


def rss_mib() -> float:
    """Return the present resident memory of this process, in MiB."""
    for line in _proc_status():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return peak_rss_mib()


def _proc_status() -> list[str]:
    try:
        return Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
