"""Pages of the host from templates: one frame and one look, self-contained, everything from files escaped."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware_bridge.errors import MissingExtraError
from firmware_bridge.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
LOOK = Path(__file__).parents[2] / "edge" / "sessions" / "look.css"
"""The styles that these pages share with the page of a session."""


@dataclass(slots=True)
class Contents:
    """The chapters of one page, for its contents list.

    Attributes:
        entries: Anchor and name of each chapter, in order.
    """

    entries: list[tuple[str, str]] = field(default_factory=list)

    def chapter(self, name: str, finding: str = "") -> str:
        """Return the heading of a chapter and remember it.

        Args:
            name: Name in the contents list.
            finding: What the chapter shows, in words; empty for a chapter without a finding.
        """
        from markupsafe import Markup, escape

        key = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        self.entries.append((key, name))
        topic = Markup('<span class="topic">{}</span> ').format(name) if finding else ""
        return Markup('<h2 id="{}">{}{}</h2>').format(key, topic, escape(printable(finding or name)))


def render(template: Path, *, title: str, about: str, notice: str, **facts: Any) -> str:
    """Return a page, self-contained: it loads nothing.

    Args:
        template: Template that extends ``page.html.j2``.
        title: What the page found, in one line.
        about: What the page is about, above the title; empty for none.
        notice: The notice of the report.
        facts: Further names of the template.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    contents = Contents()
    page = _environment(template.parent).get_template(template.name)
    return page.render(
        title=title, about=about, notice=notice, style=_style(), contents=contents, chapter=contents.chapter, **facts
    )


def picture(svg: str) -> str:
    """Return a picture that a template does not escape. Its texts are escaped already."""
    from markupsafe import Markup

    return Markup(svg)  # noqa: S704 - made by convert.pages.svg, which escapes every text


@cache
def _style() -> str:
    return picture("".join(path.read_text(encoding="utf-8") for path in (LOOK, HERE / "host.css")))


@cache
def _environment(folder: Path) -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise MissingExtraError("an HTML report", "convert") from None
    return Environment(
        loader=FileSystemLoader([folder, HERE / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )


def _shown(value: object) -> object:
    """Return a value without characters that control a terminal or turn the reading direction."""
    return printable(value) if type(value) is str else value
