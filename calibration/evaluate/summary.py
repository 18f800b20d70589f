"""Summaries of the evaluation: counts of heads by evidence level, and estimation next to monitoring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from calibration.evaluate.records import CountsRecord, HeadRecord, LevelsRecord, MonitoringRecord
from calibration.validate.judge import rounded
from convert.stats.evidence import evidence_level

PAPER = {"source": "arXiv 2510.22301", "heads": 108, "strong": 33, "moderate": 59, "limited": 16}
"""Counts of AnyECG-Lab on MC-MED: AUROC above 0.65, 0.55 to 0.65, and below. Its table by head is not published."""

DIRECTIONS = ("low", "high", "abnormal")


def tiers(heads: Sequence[HeadRecord]) -> LevelsRecord:
    """Count evidence levels as in the paper: over all heads, by horizon, by direction and over labs.

    Args:
        heads: Heads from :func:`calibration.evaluate.heads.judge_heads`.
    """
    found = [h for h in heads if h["kind"] == "probability"]
    now = [h for h in found if h["horizon_min"] is None]
    groups = [count("all heads", found), count("estimation (now)", now)]
    groups += [count(f"now, {d}", [h for h in now if h["direction"] == d]) for d in DIRECTIONS]
    groups += [count(f"monitoring, {m} min", [h for h in found if h["horizon_min"] == m]) for m in horizons(found)]
    groups.append(count("labs, best direction, now", best_directions(now)))
    groups.append(count("all heads, by the estimate, as the paper counts", found, by_estimate=True))
    return {"groups": [g for g in groups if g["heads"]], "paper": PAPER}


def count(name: str, heads: Sequence[HeadRecord], *, by_estimate: bool = False) -> CountsRecord:
    """Count the heads of a group at each evidence level.

    Args:
        name: Name of the group.
        heads: Its heads.
        by_estimate: Count by the AUROC itself, as the paper does, and not by the level that the interval shows.
    """
    judged = [h for h in heads if h["auroc"] is not None]
    areas = [h["auroc"] for h in judged if h["auroc"] is not None]
    levels = [evidence_level(h["auroc"]) if by_estimate else h["tier"] for h in judged]
    return {
        "group": name,
        "heads": len(heads),
        "judged": len(judged),
        "strong": levels.count("strong"),
        "moderate": levels.count("moderate"),
        "limited": levels.count("limited"),
        "inconclusive": 0 if by_estimate else sum(h["conclusion"] == "INCONCLUSIVE" for h in judged),
        "auroc_mean": rounded(float(np.mean(areas))) if areas else None,
        "auroc_median": rounded(float(np.median(areas))) if areas else None,
    }


def best_directions(heads: Iterable[HeadRecord]) -> list[HeadRecord]:
    """Return the head with the highest AUROC of each lab; choosing the best of several is optimistic."""
    best: dict[str, HeadRecord] = {}
    for h in heads:
        kept = best.get(h["lab"])
        if kept is None or (h["auroc"] or 0.0) > (kept["auroc"] or 0.0):
            best[h["lab"]] = h
    return list(best.values())


def horizons(heads: Iterable[HeadRecord]) -> list[int]:
    """Return the horizons that occur, minutes."""
    return sorted({h["horizon_min"] for h in heads if h["horizon_min"] is not None})


def side_by_side(heads: Sequence[HeadRecord]) -> MonitoringRecord:
    """Tabulate estimation and monitoring as in CardioLab (arXiv 2411.14886): a row per lab and direction.

    There is one column per horizon. A cell holds AUROC, interval, rows and positives; ``None`` if the head is missing.
    """
    found = [h for h in heads if h["kind"] == "probability"]
    ahead = horizons(found)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for h in found:
        row = rows.setdefault((h["lab"], h["direction"] or ""), dict.fromkeys(_columns(ahead)))
        row["now" if h["horizon_min"] is None else str(h["horizon_min"])] = {
            "auroc": h["auroc"],
            "auroc_ci": h["auroc_ci"],
            "n": h["n"],
            "positives": h["positives"],
            "tier": h["tier"],
            "conclusion": h["conclusion"],
        }
    order = sorted(rows, key=lambda k: (-_best(rows[k]), k))
    return {
        "columns": _columns(ahead),
        "rows": [{"lab": lab, "direction": direction, **rows[lab, direction]} for lab, direction in order],
    }


def _columns(ahead: Sequence[int]) -> list[str]:
    return ["now", *map(str, ahead)]


def _best(row: dict[str, Any]) -> float:
    now = row["now"]
    return float((now and now["auroc"]) or 0.0)


def summary_lines(levels: LevelsRecord) -> list[str]:
    """Return the summary of the evaluation, one sentence per line."""
    groups = {g["group"]: g for g in levels["groups"]}
    lines = []
    for name in ("all heads", "labs, best direction, now", "all heads, by the estimate, as the paper counts"):
        g = groups.get(name)
        if g:
            lines.append(
                f"{name}: strong {g['strong']}, moderate {g['moderate']}, limited {g['limited']} of {g['judged']} "
                f"judged ({g['inconclusive']} INCONCLUSIVE, {g['heads'] - g['judged']} not judged)"
            )
    p = PAPER
    lines.append(f"the paper: strong {p['strong']}, moderate {p['moderate']}, limited {p['limited']} of {p['heads']}")
    return lines
