"""Builds the documentation site and checks it: strict, every link, and nothing is loaded from another host.

python packaging/build_site.py build/site          # or: make site
"""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
"""Elements that load something, and the attribute that names it; of ``link``, only some relations load."""
LOADING = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload"}
FOREIGN = ("url(http", "url(//", 'url("http', '@import "http')
"""What begins a reference to another host in a style."""


class Page(HTMLParser):
    """Collects the links, the anchors and what a page loads."""

    def __init__(self, path: Path) -> None:
        """Read a page."""
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what one element refers to."""
        facts = {name: value or "" for name, value in attrs}
        self.anchors |= {facts[name] for name in ("id", "name") if name in facts}
        if tag == "a" and "href" in facts:
            self.links.append(facts["href"])
        if tag in LOADED and LOADED[tag] in facts:
            self.loads.append(facts[LOADED[tag]])
        if tag == "link" and LOADING & set(facts.get("rel", "").split()):
            self.loads.append(facts["href"])


def faults(site: Path) -> list[str]:
    """Return every broken link and everything that a page or a style loads from another host."""
    # 404.html is shown for any address, so its links begin at the root of a server.
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        found += [f"{name} loads {target}" for target in page.loads if urlsplit(target).netloc]
        inside = [target for target in (*page.links, *page.loads) if not urlsplit(target).netloc]
        found += [f"{name} links to {target}" for target in inside if not _leads(path, target, pages)]
    for style in sorted(site.rglob("*.css")):
        text = style.read_text(encoding="utf-8")
        if any(mark in text for mark in FOREIGN):
            found.append(f"{style.relative_to(site)} loads from another host")
    return found


def _leads(page: Path, target: str, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(target)
    if parts.scheme:
        return parts.scheme in {"mailto", "data"}
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    path = path / "index.html" if path.is_dir() else path
    if not path.exists():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or path not in pages or anchor.startswith("__") or anchor in pages[path].anchors


def main(argv: list[str]) -> int:
    """Build the site in the named folder and check it."""
    site = (Path(argv[0]) if argv else ROOT / "build" / "site").resolve()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--quiet", "--site-dir", str(site)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        return done.returncode
    found = faults(site)
    for fault in found:
        print(fault)
    print(f"{site}/index.html: {len(list(site.rglob('*.html')))} pages, {len(found)} faults")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
