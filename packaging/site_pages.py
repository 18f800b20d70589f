"""Hooks of mkdocs: adds the project's own pages to those of docs/ and adapts the links of all of them.

The site has no copy of any text: README.md becomes its first page, and the changelog and others become pages, too. A
link to a file that is not part of the site, such as a script in ``examples``, becomes its text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DEMO = "edge/bundles/demo"
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    f"{DEMO}/MODEL_CARD.md": "demo/model-card.md",
    f"{DEMO}/micro/README.md": "demo/micro.md",
    f"{DEMO}/validation/report.md": "demo/report.md",
    f"{DEMO}/validation/parity.html": "demo/parity.html",
}
"""Files outside of docs/ that are part of the site, and their paths on it."""
UNLISTED = ("demo/",)
"""Pages that other pages link to and that the navigation does not list."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```|^    .*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """Make the anchors of headings those that code hosting platforms make, which the pages use."""
    from pymdownx.slugs import slugify

    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages outside of docs/."""
    from mkdocs.structure.files import File, InclusionLevel

    for source, target in PAGES.items():
        level = InclusionLevel.NOT_IN_NAV if target.startswith(UNLISTED) else InclusionLevel.UNDEFINED
        content = (ROOT / source).read_bytes()
        files.append(File.generated(config, target, content=content, inclusion=level))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Adapt the links of a page."""
    path = page.file.src_uri
    source = next((name for name, target in PAGES.items() if target == path), f"docs/{path}")
    return adapted(markdown, source)


def adapted(text: str, source: str) -> str:
    """Return a page whose links lead to pages of the site.

    Args:
        text: Markdown.
        source: Path of the page in the project.
    """
    here = posixpath.dirname(_on_site(source) or "")

    def link(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        name, _, anchor = target.partition("#")
        if not name or re.match(r"[a-z]+:", name):
            return match[0]
        found = _on_site(posixpath.normpath(posixpath.join(posixpath.dirname(source), name)))
        if found is None:
            return words
        path = posixpath.relpath(found, here or ".")
        return f"{mark}[{words}]({path}{'#' + anchor if anchor else ''})"

    # A link may contain code in its text, so only links that begin within code are left alone.
    codes = [match.span() for match in _CODE.finditer(text)]
    return _LINK.sub(lambda m: m[0] if any(a <= m.start() < b for a, b in codes) else link(m), text)


def _on_site(path: str) -> str | None:
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else None
