"""The glossary is complete, every link of the documentation resolves, and pages link to the terms that they use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
LINKED_PAGES = [*PAGES, *sorted(ROOT.glob("*.md"))]

REQUIRED = """
hop, window, front end, bundle, tier, evidence, gate, segment, context, LSB, arena, teacher, student, head, estimate,
abstention, session, source, sink, transport, decoder, device profile, golden vectors, parity, calibration,
quality score, flag, block, timeline, grid, horizon, label plan, prepared data, shard, logit, temperature scaling,
Platt scaling, threshold, interval, non-inferiority margin, QAT, PTQ, dynamic range, representative data, TFLM, LiteRT,
XNNPACK, reference kernels, CMSIS-NN, self-test, AUROC, ring, sans-IO, signal time, held-out patients, quality gate,
test tier, stream/1, ecgfounder/1, dirt, negative control
"""

STRICT = {
    "arena": r"arenas?",
    "dirt": r"dirt",
    "evidence": r"evidence",
    "golden-vectors": r"golden (?:vectors?|windows?)",
    "held-out-patients": r"held-out patients?",
    "hop": r"hops?",
    "horizon": r"horizons?",
    "label-plan": r"label plans?",
    "lsb": r"LSBs?",
    "negative-control": r"negative controls?",
    "non-inferiority-margin": r"non-inferiority margins?",
    "sans-io": r"sans-IO",
    "shard": r"shards?",
}
"""Terms of this project. A page that uses one of them links to its entry."""

BROAD = r"bundles?|front ends?|gates?|heads?|logits?|parity|segments?|students?|teachers?|tiers?|windows?"
"""Terms that are also ordinary words. A page that uses one of them links to the glossary."""


def blanked(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def without_code(text: str) -> str:
    """Return the page with blanks in place of fenced and indented code, so that the offsets are kept."""
    text = re.sub(r"^```.*?^```", blanked, text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^    .*$", blanked, text, flags=re.MULTILINE)


def links(text: str) -> list[tuple[str, str]]:
    return re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", without_code(text))


def prose(text: str) -> str:
    """Return the running text, without code, headings, and links to pages other than the glossary."""
    text = without_code(text)
    text = re.sub(r"^#.*$|`[^`\n]*`", blanked, text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]*)\]\([^)\s]*glossary\.md[^)]*\)", r"\1", text)
    return re.sub(r"!?\[[^\]]*\]\([^)]*\)", blanked, text)


def slug(heading: str) -> str:
    """Return the anchor that hosting platforms make from a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.replace("`", ""))
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def anchors(path: Path) -> list[str]:
    return [slug(h) for h in re.findall(r"^#{1,6} (.+)$", without_code(path.read_text(encoding="utf-8")), re.MULTILINE)]


def broken(page: Path) -> list[str]:
    """Return the broken relative links of a page."""
    found = []
    for _, target in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            found.append(target)
    return found


def missing(text: str) -> list[str]:
    """Return the terms that a page uses without a link."""
    targets = {target.partition("glossary.md#")[2] for _, target in links(text) if "glossary.md" in target}
    read = prose(text)
    found = [
        term
        for term, pattern in STRICT.items()
        if re.search(rf"\b(?:{pattern})\b", read, 0 if term == "lsb" else re.IGNORECASE) and term not in targets
    ]
    if not targets and re.search(rf"\b(?:{BROAD})\b", read, re.IGNORECASE):
        found.append("the glossary at all")
    return found


def entries() -> dict[str, str]:
    text = GLOSSARY.read_text(encoding="utf-8")
    return dict(re.findall(r"^### ([^\n]+)\n\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))


def test_every_required_term_is_defined() -> None:
    defined = {term.lower() for term in entries()}
    wanted = {term.strip().lower() for term in REQUIRED.replace("\n", " ").split(",")}
    assert wanted - defined == set()
    assert {slug(term) for term in entries()} >= set(STRICT)


def test_entries_are_short_sorted_and_have_unique_anchors() -> None:
    headings = anchors(GLOSSARY)
    assert len(headings) == len(set(headings))
    keys = [re.sub(r"[^a-z0-9 ]", "", term.lower()) for term in entries()]
    assert keys == sorted(keys)
    for term, text in entries().items():
        assert 30 < len(text) < 800, term
        assert text.rstrip().endswith((".", ".)")), term


def test_letters_of_the_index_are_those_of_the_entries() -> None:
    text = GLOSSARY.read_text(encoding="utf-8")
    index = re.findall(r"\[([A-Z])\]\(#[a-z]\)", text)
    assert index == re.findall(r"^## (.)$", text, re.MULTILINE)
    assert index == sorted({re.sub(r"[^a-z0-9]", "", term.lower())[0].upper() for term in entries()})


@pytest.mark.parametrize("page", LINKED_PAGES, ids=lambda p: p.name)
def test_every_link_resolves(page: Path) -> None:
    assert broken(page) == []


@pytest.mark.parametrize("page", [p for p in PAGES if p != GLOSSARY], ids=lambda p: p.name)
def test_pages_link_to_the_terms_that_they_use(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8")) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b/1` c\n[x](#a-b1-c) [y](#b) [z](none.md) [w](page.md#a-b1-c)\n```\n[v](none2.md)\n```\n")
    assert broken(page) == ["#b", "none.md"]


def test_a_term_without_a_link_is_found() -> None:
    assert missing("# Hop\n`hop`\n```\nhop\n```\n[a hop](page.md)\n") == []
    assert missing("Each hop.\n") == ["hop"]
    assert missing("Each [hop](glossary.md#hop) and 1 LSB.\n") == ["lsb"]
    assert missing("A [window](glossary.md#window), [hop](glossary.md#hop), and a hop.\n") == []
    assert missing("A window.\n") == ["the glossary at all"]
