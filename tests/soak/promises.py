"""The promises of a soak run, each with the figure that was seen; as a table and as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from link_run import Links
from planted import WINDOWS

from firmware_bridge.errors import InputError
from firmware_bridge.rawlog import RawLogReader
from helpers.session_files import estimate_lines, raw_recordings

GROWTH_MIB = 1.0
"""Largest growth of resident memory, MiB; that of `edge.process.budget.RSS_GROWTH_MIB_24H`, whatever the days."""
EVENT_BYTES_A_DAY = 1_000_000
DAY_S = 86_400.0
WARM_S = 3600.0
"""Time after which memory counts, s: what a run needs at most is then loaded and filled."""
MAX_UNSAID_S = 1.01
"""Longest time that no line is about, s: the hop in which a gap begins, with room for the clock's rate."""
MIN_ESTIMATES = 0.3
"""Smallest share of hops with an estimate."""


@dataclass(frozen=True)
class Promise:
    """One line of the table.

    Attributes:
        what: The promise.
        seen: The figure that was seen.
        limit: The figure that is allowed.
        kept: Whether it was kept.
    """

    what: str
    seen: str
    limit: str
    kept: bool


def of_signal(folder: Path, seconds: float, keep: str, keep_bytes: int) -> list[Promise]:
    """Judge the run in virtual time by its own account, the patch's account and its files."""
    account, session = json.loads((folder / "account.json").read_text()), folder / "session"
    seen, truth = account["seen"], account["planted"]
    if account["code"] != 0:
        return [Promise("the run ends with exit code 0", str(account["code"]), "0", kept=False)]
    summary = json.loads((session / "summary.json").read_text())
    days = max(seconds / DAY_S, 1.0)
    lowest_mib = [mib for mib in seen["lowest_mib"] if mib < float("inf")]
    growth_mib = lowest_mib[-1] - lowest_mib[min(math.ceil(WARM_S / seconds * WINDOWS), len(lowest_mib) - 1)]
    events = sum(size for name, size in seen["grown"].items() if name.startswith("events"))
    lines, raw_records = estimate_lines(session), _read_raw(session)
    last_s, unsaid_s = _said(lines)
    delivered = (truth["delivered_samples"], truth["delivered_crc32"])
    return [
        Promise("growth of memory", f"{growth_mib:.2f} MiB", f"< {GROWTH_MIB:g} MiB", growth_mib < GROWTH_MIB),
        Promise(
            "growth of events.jsonl",
            f"{events / days / 1e3:.0f} kB a day",
            f"{EVENT_BYTES_A_DAY / 1e3:.0f} kB a day",
            events <= EVENT_BYTES_A_DAY * days,
        ),
        Promise(
            f"session folder, --keep {keep}",
            f"{seen['folder_bytes'] / 1e6:.1f} MB at most",
            f"{keep_bytes / 1e6:.1f} MB",
            seen["folder_bytes"] <= keep_bytes,
        ),
        # Virtual time waits for the run, which therefore may not drop anything.
        _equal("samples lost = samples that the patch lost", summary["lost_samples"], truth["lost_samples"]),
        Promise(
            "every delivered sample arrives unchanged",
            f"{seen['samples']:,}",
            f"{delivered[0]:,}, same CRC-32",
            (seen["samples"], seen["crc32"]) == delivered,
        ),
        _equal("reconnections = links cut", summary["reconnects"], truth["unplugs"]),
        Promise(
            "longest time without a line, gaps included",
            f"{unsaid_s:.2f} s",
            f"<= {MAX_UNSAID_S:g} s",
            unsaid_s <= MAX_UNSAID_S,
        ),
        Promise(
            "lines with an estimate",
            f"{summary['estimates'] / max(summary['hops'], 1):.0%}",
            f"> {MIN_ESTIMATES:.0%}",
            summary["estimates"] > MIN_ESTIMATES * summary["hops"],
        ),
        Promise(
            "the kit reads its files back up to the end",
            f"{len(lines):,} lines, the last at {last_s:.0f} s; {raw_records:,} raw records",
            f"the last at {summary['signal_s']:.0f} s",
            bool(lines) and abs(last_s - summary["signal_s"]) < 2.0 and raw_records > 0,
        ),
    ]


def of_links(folder: Path, links: Links) -> list[Promise]:
    """Judge the run in real time."""
    if links.trouble or links.code != 143:
        what = links.trouble or f"exit code {links.code}"
        return [Promise("the run on TCP goes on until SIGTERM", what, "exit code 143", kept=False)]
    summary = json.loads((folder / "tcp" / "session" / "summary.json").read_text())
    # By a quarter of the connections, every kind of flood was there.
    quarter = max(len(links.rss_mib) // 4, 1)
    growth_mib = min(links.rss_mib[-quarter:]) - min(links.rss_mib[quarter : 2 * quarter] or links.rss_mib)
    files = max(links.files[-quarter:]) - min(links.files[:quarter])
    return [
        _equal("TCP: reconnections = connections ended", summary["reconnects"], links.wanted),
        _lost(summary, links.account),
        Promise("TCP: growth of memory", f"{growth_mib:.2f} MiB", f"< {GROWTH_MIB:g} MiB", growth_mib < GROWTH_MIB),
        Promise("TCP: growth of open files", str(files), "<= 1", files <= 1),
    ]


def _equal(what: str, seen: int, wanted: int) -> Promise:
    return Promise(what, f"{seen:,}", f"{wanted:,}", seen == wanted)


def _said(lines: list[str]) -> tuple[float, float]:
    """The end of the last line, and the longest time since the first one that no line is about, both s."""
    last_s, longest_s = 0.0, 0.0
    for line in lines:
        window = json.loads(line)["window"]
        longest_s = max(longest_s, window["start_s"] - last_s if last_s else 0.0)
        last_s = max(last_s, window["end_s"])
    return last_s, longest_s


def _lost(summary: dict[str, Any], truth: dict[str, int]) -> Promise:
    """Compare the losses; what the program itself dropped, because it was too slow, is counted among them."""
    dropped = summary.get("thrown_away", {}).get("queue_samples", 0)
    seen = f"{summary['lost_samples']:,}" + (f", {dropped:,} of them by the program" if dropped else "")
    kept = summary["lost_samples"] - dropped == truth["lost_samples"]
    return Promise("TCP: samples lost = samples that the patch lost", seen, f"{truth['lost_samples']:,}", kept)


def _read_raw(session: Path) -> int:
    """Read the raw recording from its oldest part on; 0 if that is not possible without damage."""
    found = raw_recordings(session)
    try:
        reader = RawLogReader(found[0])
        count = sum(1 for _item in reader.items())
    except (IndexError, InputError):
        return 0
    return 0 if reader.damage else count


def table(promises: list[Promise]) -> str:
    """The promises as aligned text."""
    rows = [
        ("promise", "seen", "limit", ""),
        *((p.what, p.seen, p.limit, "" if p.kept else "BROKEN") for p in promises),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "".join(
        "  ".join(text.ljust(width) for text, width in zip(row, [*widths, 0], strict=True)).rstrip() + "\n"
        for row in rows
    )
