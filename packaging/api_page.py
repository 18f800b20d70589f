"""Writes docs/api.md, the reference of ``import edge``, from signatures and docstrings.

python packaging/api_page.py       # a test compares the page with what this writes
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import edge  # noqa: E402  # from this checkout

PAGE = ROOT / "docs" / "api.md"

HEADER = """\
# Reference of `import edge`

Written by `python packaging/api_page.py` from the docstrings; do not edit. [Python](python.md) has recipes. The names
of this page are stable: a change that would break a program is announced in the changelog of the version before.
Everything is typed (`py.typed`).

[Hop](glossary.md#hop), [window](glossary.md#window), [bundle](glossary.md#bundle), [head](glossary.md#head),
[evidence](glossary.md#evidence), [signal time](glossary.md#signal-time), [gap](glossary.md#gap) and
[golden windows](glossary.md#golden-vectors) are in the glossary.
"""

GROUPS: dict[str, tuple[str, ...]] = {
    "Streams": ("open", "Stream", "Results", "Samples", "Gap", "Beat", "Waves"),
    "Estimates": ("Estimate", "LabEstimate", "Estimates"),
    "Arrays": ("load_bundle", "Bundle", "ArrayStream", "Output"),
    "Sessions": ("read_session", "Session"),
    "Parts of the runtime": ("open_source", "SourceUrl", "load_model", "Engine"),
    "Errors": (
        "AnyEcgError",
        "UsageError",
        "InputError",
        "BundleError",
        "LinkError",
        "MissingExtraError",
        "OutputError",
    ),
}
SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Yields")
WIDTH = 120


def text() -> str:
    """Return the page."""
    parts = [HEADER, "`edge.__version__` is the version of the installed kit.\n"]
    for group, names in GROUPS.items():
        parts.append(f"## {group}\n")
        for name in names:
            parts += list(_entry(name))
    return "\n".join(parts)


def _entry(name: str) -> Iterator[str]:
    thing = getattr(edge, name)
    yield f"### {name}\n"
    if inspect.isclass(thing) and issubclass(thing, Exception):
        yield f"{_prose(inspect.getdoc(thing) or '')}\n\nExit code {thing.exit_code}.\n"
        return
    if not (is_dataclass(thing) or issubclass(thing, tuple) if inspect.isclass(thing) else False):
        yield f"```text\n{_signature(f'edge.{name}', thing)}\n```\n"
    yield _prose(inspect.getdoc(thing) or "") + "\n"
    if inspect.isclass(thing):
        yield from _members(name, thing)


def _members(name: str, kind: type) -> Iterator[str]:
    for attribute, value in vars(kind).items():
        if attribute.startswith("_"):
            continue
        if isinstance(value, property) or type(value).__name__ == "cached_property":
            yield f"#### {name}.{attribute}\n\n{_prose('Property. ' + (inspect.getdoc(value) or ''))}\n"
        elif isinstance(value, classmethod) or inspect.isfunction(value):
            function = value.__func__ if isinstance(value, classmethod) else value
            yield f"#### {name}.{attribute}\n\n```text\n{_signature(f'{name}.{attribute}', function)}\n```\n"
            yield _prose(inspect.getdoc(function) or "") + "\n"


class _Text(str):
    """A text that a signature shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _signature(name: str, thing: object) -> str:
    found = inspect.signature(thing)  # type: ignore[arg-type]  # classes and functions
    parameters = []
    for one in found.parameters.values():
        if one.name in {"self", "cls"}:
            continue
        default = _Text(f'"{one.default}"') if isinstance(one.default, str) else one.default
        parameters.append(one.replace(annotation=_raw(one.annotation), default=default))
    returns = inspect.Signature.empty if inspect.isclass(thing) else _raw(found.return_annotation)
    line = f"{name}{found.replace(parameters=parameters, return_annotation=returns)}"
    if inspect.iscoroutinefunction(thing):
        line = f"async {line}"
    if len(line) <= WIDTH:
        return line
    shown = [str(one) for one in parameters]
    first = next((at for at, one in enumerate(parameters) if one.kind is one.KEYWORD_ONLY), None)
    if first is not None:
        shown.insert(first, "*")
    return f"{line[: line.index('(')]}(\n" + "".join(f"    {part},\n" for part in shown) + line[line.rindex(")") :]


def _raw(annotation: object) -> object:
    return _Text(annotation) if isinstance(annotation, str) else annotation


def _prose(doc: str) -> str:
    """Return a Google docstring as markdown: sections as lists, ``::`` as code."""
    out: list[str] = []
    for block in _blocks(doc):
        section, _colon, rest = block.partition(":\n")
        if section in SECTIONS and rest:
            out.append(f"{'Parameters' if section == 'Args' else section}:\n\n{_items(section, textwrap.dedent(rest))}")
        elif block.startswith("    "):
            out.append(f"```python\n{textwrap.dedent(block)}\n```")
        else:
            joined = " ".join(block.split())
            out.append(_wrap(_markup(joined.removesuffix(" ::").replace("::", ":"))))
    return "\n\n".join(part for part in out if part)


def _blocks(doc: str) -> Iterator[str]:
    """Yield paragraphs, code and sections; an empty line inside code does not end it."""
    held = ""
    for block in re.split(r"\n\n+", doc):
        if held and block.startswith("    ") and held.startswith("    "):
            held += "\n\n" + block
            continue
        if held:
            yield held
        held = block if block != "::" else ""
    if held:
        yield held


def _items(section: str, text: str) -> str:
    if section in {"Returns", "Yields"}:
        return _wrap(_markup(" ".join(text.split())))
    lines = []
    for item in re.split(r"\n(?=\S)", text.strip()):
        name, _colon, what = item.partition(":")
        lines.append(_wrap(f"- `{name}`: {_markup(' '.join(what.split()))}", "  "))
    return "\n".join(lines)


def _markup(text: str) -> str:
    """Return text with one back quote where docstrings have two."""
    return re.sub(r":(?:class|func|data):", "", text.replace("``", "`"))


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
