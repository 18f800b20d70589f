"""What every HTML page of the kit must have, checked by one parser."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "input", "br"}
RAW_KEY = re.compile(r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)*_(?:low|high|abnormal|value|\d+min)\b")
"""The key of an output, such as ``potassium_high``, for which there are words."""


class Page(HTMLParser):
    """Collects the parts of a page that matter here.

    Attributes:
        open: Elements that are not closed.
        loads: What the page loads.
        ids: Anchors.
        targets: Links within the page.
        contents: Links within the contents list.
        headings: Anchors of the headings of the second level.
        metas: Content of each named ``meta``.
        text: Text outside of scripts, styles and code.
        bare_tables: Number of tables without a head of column headings.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.contents: list[str] = []
        self.headings: list[str | None] = []
        self.metas: dict[str, str] = {}
        self.text: list[str] = []
        self.bare_tables = 0
        self._columns = 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = {name: value or "" for name, value in attrs}
        self.loads += [f"{tag} {name}" for name in facts if name in {"src", "srcset", "data", "action"}]
        self.text += [facts[name] for name in ("aria-label", "alt", "title") if name in facts]
        href = facts.get("href", "")
        if href.startswith("#"):
            self.targets.append(href[1:])
            self.contents += [href[1:]] if "nav" in self.open else []
        elif href:
            self.loads.append(href)
        if "id" in facts:
            self.ids.append(facts["id"])
        if tag == "h2":
            self.headings.append(facts.get("id"))
        if tag == "meta" and "name" in facts:
            self.metas[facts["name"]] = facts.get("content", "")
        if tag == "table":
            self._columns = 0
        if tag == "th" and "thead" in self.open and facts.get("scope") == "col":
            self._columns += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag
        if tag == "table":
            self.bare_tables += not self._columns

    def handle_data(self, data: str) -> None:
        if not {"script", "style", "code"} & set(self.open):
            self.text.append(data)


def faults(page: str) -> list[str]:
    """Return what a page lacks, in words; an empty list for a good page."""
    found = Page(page)
    style = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    checks = {
        "no doctype or language": page.startswith("<!doctype html>") and '<html lang="en">' in page,
        "no viewport": "width=device-width" in found.metas.get("viewport", ""),
        "no dark scheme": "prefers-color-scheme:dark" in style and "dark" in found.metas.get("color-scheme", ""),
        "no print style": "@media print" in style,
        "a table without a head": not found.bare_tables,
        "the contents list is not that of the chapters": bool(found.contents) and found.contents == found.headings,
        "a link to nowhere": set(found.targets) <= set(found.ids),
        "an anchor twice": len(found.ids) == len(set(found.ids)),
        "an element is not closed": not found.open,
        "it loads something": not found.loads and not re.search(r"@import|url\(", style),
        "a plot without a name": all("aria-label=" in tag for tag in re.findall(r"<svg[^>]*>", page)),
    }
    keys = sorted(set(RAW_KEY.findall(" ".join(found.text))))
    return [name for name, good in checks.items() if not good] + [f"a raw key: {key}" for key in keys]
