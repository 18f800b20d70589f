"""The JSON object of a run's summary, as in ``summary.json`` of a session folder."""

from __future__ import annotations

from edge.records import NOTICE, RunSummary
from edge.rounding import fixed, significant


def summary_dict(s: RunSummary) -> dict[str, object]:
    """Return the summary of a run as a JSON object, with numbers rounded as in :func:`edge.records.to_dict`."""
    return {
        "schema": "anyecg.summary/1",
        "hops": s.hops,
        "estimates": s.estimates,
        "abstentions": dict(sorted(s.abstentions.items())),
        "latency_ms": {
            stage: {name: fixed(getattr(stats, name), 3) for name in ("p50", "p95", "p99", "max")}
            for stage, stats in s.latency_ms.items()
        },
        "peak_rss_mib": fixed(s.peak_rss_mib, 1),
        "lost_samples": s.lost_samples,
        "frames_corrupt": s.frames_corrupt,
        "reconnects": s.reconnects,
        "thrown_away": dict(s.thrown_away),
        "signal_s": fixed(s.signal_s, 3),
        "wall_s": fixed(s.wall_s, 3),
        "budgets": [
            {"name": b.name, "value": significant(b.value), "limit": significant(b.limit), "ok": bool(b.ok)}
            for b in s.budgets
        ],
        "ended_by": s.ended_by,
        "notice": NOTICE,
    }
