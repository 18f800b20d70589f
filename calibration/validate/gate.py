"""Whether a bundle may be shipped: checks, each with what was found. Their limits are data (``data/validate.toml``)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convert.stats.noninferiority import LEAST_EVENTS
from firmware_bridge.errors import InputError

LIMITS = Path(__file__).parents[1] / "data" / "validate.toml"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: What is checked.
        ok: It holds.
        found: What was found, in words.
    """

    name: str
    ok: bool
    found: str


def load_limits(path: Path | None = None) -> dict[str, dict[str, float]]:
    """Limits from ``data/validate.toml``, overruled by those of another such file.

    Raises:
        InputError: The file cannot be read, or names something that is no limit.
    """
    limits = _toml(LIMITS)
    for table, values in (_toml(path) if path is not None else {}).items():
        for key, value in values.items() if isinstance(values, dict) else ():
            number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
            if key not in limits.get(table, {}) or not number:
                raise InputError(f"{path}: {table}.{key} is no limit", f"the limits are those of {LIMITS.name}")
            limits[table][key] = value
    return limits


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None


def judge(report: Mapping[str, Any], limits: Mapping[str, Mapping[str, float]]) -> list[Check]:
    """Every check that the report allows.

    Args:
        report: ``heads``, ``links`` and ``comparisons`` as they stand in the JSON twin.
        limits: As :func:`load_limits` gives them.
    """
    return [
        *_links(report["links"]),
        *_claims(report["heads"], limits["claims"]["auroc_slack"]),
        *_calibration(report["heads"], limits["calibration"]),
        *_comparisons(report["comparisons"]),
    ]


def _links(links: Sequence[Mapping[str, Any]]) -> list[Check]:
    judged = [link for link in links if link["status"] in ("ok", "FAILED")]
    return [Check(link["name"], link["status"] == "ok", link["found"]) for link in judged]


def _claims(heads: Sequence[Mapping[str, Any]], slack: float) -> list[Check]:
    """The manifest's AUROCs are not contradicted by what was found here."""
    contradicted, asked = [], 0
    for head in heads:
        claimed, found = head["claimed"]["auroc"], head["auroc_ci"]
        if claimed is None or found is None or min(head["positives"], head["n"] - head["positives"]) < LEAST_EVENTS:
            continue
        asked += 1
        least = head["claimed"]["ci"][0] if head["claimed"]["ci"] else claimed
        if found[1] < least - slack:
            contradicted.append(f"{head['key']} {head['auroc']:.3f} (claimed {claimed:.3f})")
    if not asked:
        return []
    what = "; ".join(contradicted) if contradicted else f"{asked} heads are not contradicted"
    return [Check("AUROCs of the manifest", not contradicted, what)]


def _calibration(heads: Sequence[Mapping[str, Any]], limits: Mapping[str, float]) -> list[Check]:
    asked, off = 0, []
    for head in heads:
        found = head.get("calibration")
        if not found or min(head["positives"], head["n"] - head["positives"]) < limits["events_min"]:
            continue
        asked += 1
        excess = found["ece"] - found["ece_chance"]
        if excess > limits["ece_excess_max"]:
            off.append(f"{head['key']} {excess:.3f}")
    if not asked:
        return []
    what = (
        f"beyond chance by {'; '.join(off)}" if off else f"{asked} heads within {limits['ece_excess_max']:g} of chance"
    )
    return [Check("expected calibration error", not off, what)]


def _comparisons(comparisons: Sequence[Mapping[str, Any]]) -> list[Check]:
    out = []
    for measure in dict.fromkeys(c["measure"] for c in comparisons):
        rows = [c for c in comparisons if c["measure"] == measure]
        failed = [c for c in rows if c["verdict"] == "FAIL"]
        counts = {v: sum(c["verdict"] == v for c in rows) for v in ("PASS", "INCONCLUSIVE", "FAIL")}
        what = ", ".join(f"{n} {v}" for v, n in counts.items() if n)
        worst = "; ".join(f"{c['key']} {c['difference']['value']:+.3f}" for c in failed[:4])
        out.append(Check(f"{measure} not inferior to the reference", not failed, f"{what}. {worst}".rstrip(". ")))
    return out


def checks_json(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """The checks as JSON-able values."""
    return [asdict(c) for c in checks]
