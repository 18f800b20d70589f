"""How many heads are strong, moderate and limited, as the paper counts; now and ahead side by side, by direction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from calibration.validate.judge import rounded

PAPER = {"source": "arXiv 2510.22301", "heads": 108, "strong": 33, "moderate": 59, "limited": 16}
"""AnyECG-Lab: AUROC above 0.65, 0.55 to 0.65, and below, on MC-MED; its table by head is not published."""

TIERS = ("strong", "moderate", "limited")
DIRECTIONS = ("low", "high", "abnormal")

Head = dict[str, Any]


def tiers(heads: Sequence[Head]) -> dict[str, Any]:
    """The paper's summary, over all heads, now and by horizon, by direction, and over labs.

    Args:
        heads: As :func:`calibration.evaluate.heads.judge_heads` gives them.
    """
    found = [h for h in heads if h["kind"] == "probability"]
    now = [h for h in found if h["horizon_min"] is None]
    groups = [count("all heads", found), count("estimation (now)", now)]
    groups += [count(f"now, {d}", [h for h in now if h["direction"] == d]) for d in DIRECTIONS]
    groups += [count(f"monitoring, {m} min", [h for h in found if h["horizon_min"] == m]) for m in horizons(found)]
    groups.append(count("labs, best direction, now", best_directions(now)))
    return {"groups": [g for g in groups if g["heads"]], "paper": PAPER}


def count(name: str, heads: Sequence[Head]) -> dict[str, Any]:
    """How many of some heads are in each tier."""
    judged = [h for h in heads if h["auroc"] is not None]
    areas = [h["auroc"] for h in judged]
    return {
        "group": name,
        "heads": len(heads),
        "judged": len(judged),
        **{tier: sum(h["tier"] == tier for h in judged) for tier in TIERS},
        "inconclusive": sum(h["conclusion"] == "INCONCLUSIVE" for h in judged),
        "auroc_mean": rounded(float(np.mean(areas))) if areas else None,
        "auroc_median": rounded(float(np.median(areas))) if areas else None,
    }


def best_directions(heads: Iterable[Head]) -> list[Head]:
    """Of each lab the head with the highest AUROC; the best of several looks better than it is."""
    best: dict[str, Head] = {}
    for h in heads:
        kept = best.get(h["lab"])
        if kept is None or (h["auroc"] or 0.0) > (kept["auroc"] or 0.0):
            best[h["lab"]] = h
    return list(best.values())


def horizons(heads: Iterable[Head]) -> list[int]:
    """The minutes ahead that occur."""
    return sorted({h["horizon_min"] for h in heads if h["horizon_min"] is not None})


def side_by_side(heads: Sequence[Head]) -> dict[str, Any]:
    """Estimation and monitoring as in CardioLab (arXiv 2411.14886): a row a lab and direction, a column a horizon.

    A cell holds AUROC, interval, rows and positives; ``None`` where there is no such head.
    """
    found = [h for h in heads if h["kind"] == "probability"]
    ahead = horizons(found)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for h in found:
        row = rows.setdefault((h["lab"], h["direction"]), dict.fromkeys(_columns(ahead)))
        row["now" if h["horizon_min"] is None else str(h["horizon_min"])] = {
            name: h[name] for name in ("auroc", "auroc_ci", "n", "positives", "tier", "conclusion")
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


def summary_lines(report: dict[str, Any]) -> list[str]:
    """What the evaluation comes to, in sentences."""
    groups = {g["group"]: g for g in report["tiers"]["groups"]}
    lines = []
    for name in ("all heads", "labs, best direction, now"):
        g = groups.get(name)
        if g:
            lines.append(
                f"{name}: strong {g['strong']}, moderate {g['moderate']}, limited {g['limited']} of {g['judged']} "
                f"judged ({g['inconclusive']} INCONCLUSIVE, {g['heads'] - g['judged']} not judged)"
            )
    p = PAPER
    lines.append(f"the paper: strong {p['strong']}, moderate {p['moderate']}, limited {p['limited']} of {p['heads']}")
    return lines
