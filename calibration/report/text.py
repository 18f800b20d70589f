"""The report as a table on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def number(value: float | None, digits: int = 3) -> str:
    """A number for people; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference for people, without a minus before nothing."""
    return "-" if value is None else f"{round(value, digits) + 0.0:+.{digits}f}"


def span(ends: Sequence[float] | None, digits: int = 3) -> str:
    """An interval for people; empty where there is none."""
    return "" if ends is None else f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def title(report: Mapping[str, Any]) -> str:
    """What was judged on what."""
    h = report["header"]
    return f"{h['bundle']['name']} {h['bundle']['version']} on {h['data']['name']}, part '{h['data']['split']}'"


HEADINGS = ("head", "result", "95 % interval", "n", "pos", "tier", "verdict", "ECE", "slope", "sens", "spec")


def head_cells(head: Mapping[str, Any]) -> list[str]:
    """One head as cells under :data:`HEADINGS`."""
    verdict = head["conclusion"] if head["conclusion"] in ("INCONCLUSIVE", "NOT JUDGED") else ""
    if head["kind"] == "value":
        mae = (head.get("values") or {}).get("mae") or {"value": None, "ci": None}
        return [head["key"], f"MAE {number(mae['value'])}", span(mae["ci"]), str(head["n"]), "-", head["tier"] or "-",
                verdict, "", "", "", ""]  # fmt: skip
    c, d = head["calibration"] or {}, head["decision"] or {}
    return [
        head["key"], number(head["auroc"]), span(head["auroc_ci"]), str(head["n"]), str(head["positives"]),
        head["tier"] or "-", verdict, number(c.get("ece")), number(c.get("slope"), 2),
        number((d.get("sensitivity") or {}).get("value"), 2), number((d.get("specificity") or {}).get("value"), 2),
    ]  # fmt: skip


def text_report(report: Mapping[str, Any]) -> str:
    """The table, what the hops came to, the links and the gate."""
    h, a = report["header"], report["abstention"]
    c = h["counts"]
    lines = [
        title(report),
        f"{c['patients']} patients, {c['estimates']} estimates, {c['windows']} windows, {c['events']} events",
        f"hops answered: {a['accepted']} of {a['hops']}" + "".join(f", {name} {n}" for name, n in a["reasons"].items()),
        f"labels: {h['labels']['rule']} (plan: {h['labels']['said_by']})",
        "",
        *aligned([HEADINGS, *[head_cells(head) for head in report["heads"]]]),
        "",
        report["summary"],
    ]
    lines += [f"{head['key']}: {head['note']}" for head in report["heads"] if head["note"]]
    lines += [f"note: {remark}" for remark in h["data"]["remarks"]]
    lines += [f"{link['name']}: not run, {link['found']}" for link in report["links"] if link["status"] == "not run"]
    lines += ["", *aligned([("gate", "", ""), *[_check(check) for check in report["gate"]["checks"]]])]
    lines.append("the gate holds" if report["gate"]["ok"] else "THE GATE FAILS")
    return "\n".join(lines) + "\n"


def _check(check: Mapping[str, Any]) -> tuple[str, str, str]:
    return ("  " + check["name"], "ok" if check["ok"] else "FAILED", check["found"])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with columns of one width."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
