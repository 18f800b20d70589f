"""The gate: checks that decide whether a bundle may be shipped. Their limits are in ``data/validate.toml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from calibration.validate.records import CheckRecord, ComparisonRecord, HeadRecord, LinkRecord
from convert.stats.evidence import LeastPatients
from convert.stats.multiplicity import ALPHA, holm
from firmware_bridge.errors import InputError
from firmware_bridge.reading import parse_toml, read_limited

MAX_BYTES = 1 << 20
"""Largest file of limits, bytes."""
TINY = 1e-12
"""Smallest standard deviation of an error: that of probabilities of 0 and 1 does not vary."""
LIMITS = Path(__file__).parents[1] / "data" / "validate.toml"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: Name of the check.
        ok: Whether the check holds.
        found: Result in words.
    """

    name: str
    ok: bool
    found: str


def load_limits(path: Path | None = None) -> dict[str, dict[str, float]]:
    """Read the limits from ``data/validate.toml`` and override them with those of another file.

    Raises:
        InputError: The file cannot be read, or it contains an unknown or invalid limit.
    """
    limits = _toml(LIMITS)
    for table, values in (_toml(path) if path is not None else {}).items():
        for key, value in values.items() if isinstance(values, dict) else ():
            number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
            if key not in limits.get(table, {}) or not number:
                raise InputError(
                    f"{path}: {table}.{key} is not a valid limit", f"use the names in {LIMITS.name} and numbers from 0"
                )
            limits[table][key] = value
    return limits


def _toml(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_limited(path, MAX_BYTES))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None


def judge(
    heads: Sequence[HeadRecord],
    links: Sequence[LinkRecord],
    comparisons: Sequence[ComparisonRecord],
    limits: Mapping[str, Mapping[str, float]],
) -> list[Check]:
    """Evaluate every check for which the report has data.

    Args:
        heads: Judged heads.
        links: Links of the chain.
        comparisons: Comparisons with the reference.
        limits: Limits from :func:`load_limits`.
    """
    return [
        *_links(links),
        *_claims(heads, limits["claims"]["auroc_slack"]),
        *_errors(heads, limits["claims"]["mae_slack"]),
        *_calibration(heads, limits["calibration"]),
        *_comparisons(comparisons),
    ]


def _links(links: Sequence[LinkRecord]) -> list[Check]:
    judged = [link for link in links if link["status"] in ("ok", "FAILED")]
    return [Check(link["name"], link["status"] == "ok", link["found"]) for link in judged]


def least_patients(limits: Mapping[str, Mapping[str, float]]) -> LeastPatients:
    """Return the minimum number of patients of each class from the limits."""
    return LeastPatients(int(limits["patients"]["positives_min"]), int(limits["patients"]["negatives_min"]))


def _rarer(head: HeadRecord) -> int:
    positives = head["positives"] or 0
    return min(positives, head["n"] - positives)


def _claims(heads: Sequence[HeadRecord], slack: float) -> list[Check]:
    """Check that the results do not contradict the AUROCs claimed in the manifest."""
    contradicted, checked = [], 0
    for head in heads:
        claimed, found = head["claimed"]["auroc"], head["auroc_ci"]
        if claimed is None or found is None or not head["enough_patients"]:
            continue
        checked += 1
        low = head["claimed"]["ci"][0] if head["claimed"]["ci"] else claimed
        if found[1] is not None and found[1] < low - slack:
            contradicted.append(f"{head['key']} {head['auroc']:.3f} (claimed {claimed:.3f})")
    if not checked:
        return []
    what = "; ".join(contradicted) if contradicted else f"the claims of {checked} heads are not contradicted"
    return [Check("AUROCs of the manifest", not contradicted, what)]


def _errors(heads: Sequence[HeadRecord], slack: float) -> list[Check]:
    """Check that the errors of values do not contradict the mean absolute errors claimed in the manifest.

    An error that is much larger than the claim needs few patients to show, so there is no minimum but the interval.
    """
    contradicted, checked = [], 0
    for head in heads:
        claimed, values = head["claimed"]["mae"], head.get("values")
        found = values["mae"]["ci"] if values else None
        if claimed is None or values is None or found is None or found[0] is None:
            continue
        checked += 1
        high = head["claimed"]["ci"][1] if head["claimed"]["ci"] else claimed
        if found[0] > high * (1.0 + slack):
            contradicted.append(f"{head['key']} {values['mae']['value']:.3g} (claimed {claimed:.3g} {head['unit']})")
    if not checked:
        return []
    what = "; ".join(contradicted) if contradicted else f"the claims of {checked} values are not contradicted"
    return [Check("MAEs of the manifest", not contradicted, what)]


def _calibration(heads: Sequence[HeadRecord], limits: Mapping[str, float]) -> list[Check]:
    """A calibration error fails if it is clearly above the limit, after Holm's correction for all heads judged."""
    allowed, judged = limits["ece_excess_max"], list[tuple[str, float, float]]()
    for head in heads:
        found = head.get("calibration")
        if not found or found["ece"] is None or _rarer(head) < limits["events_min"]:
            continue
        perfect = found["ece_perfect"]
        excess = found["ece"] - perfect["mean"]
        z = (excess - allowed) / max(perfect["sd"], TINY)
        judged.append((head["key"], excess, 1.0 - NormalDist().cdf(z)))
    if not judged:
        return []
    adjusted = holm([p for _, _, p in judged])
    off = [f"{key} {excess:.3f}" for (key, excess, _), p in zip(judged, adjusted, strict=True) if p <= ALPHA]
    what = (
        f"{'; '.join(off)} above perfect probabilities, more than {allowed:g}"
        if off
        else f"{len(judged)} heads not clearly more than {allowed:g} above perfect probabilities"
    )
    return [Check("expected calibration error", not off, what)]


def _comparisons(comparisons: Sequence[ComparisonRecord]) -> list[Check]:
    out = []
    for measure in dict.fromkeys(c["measure"] for c in comparisons):
        rows = [c for c in comparisons if c["measure"] == measure]
        failed = [c for c in rows if c["verdict"] == "FAIL"]
        counts = {v: sum(c["verdict"] == v for c in rows) for v in ("PASS", "INCONCLUSIVE", "FAIL")}
        what = ", ".join(f"{n} {v}" for v, n in counts.items() if n)
        worst = "; ".join(f"{c['key']} {c['difference']['value']:+.3f}" for c in failed[:4])
        out.append(Check(f"{measure} non-inferior to the reference", not failed, f"{what}. {worst}".rstrip(". ")))
    return out


def checks_json(checks: Sequence[Check]) -> list[CheckRecord]:
    """Return the checks as JSON-able values."""
    return [{"name": c.name, "ok": c.ok, "found": c.found} for c in checks]
