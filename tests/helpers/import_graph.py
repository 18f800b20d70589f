"""The import graph of the four packages, file by file, read from the sources without importing anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("calibration", "convert", "edge", "firmware_bridge")
"""Layers, top first. A file may import from its own layer and from those below."""

Graph = Mapping[str, frozenset[str]]


def sources(root: Path = ROOT) -> dict[str, Path]:
    """Dotted module name -> file, for every module of the four packages."""
    found = {}
    for layer in LAYERS:
        for path in sorted((root / layer).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def import_graph(root: Path = ROOT) -> dict[str, frozenset[str]]:
    """Every import counts: at module level, inside functions, and for type checking only."""
    modules = sources(root)
    return {name: frozenset(_imported(path, modules)) for name, path in modules.items()}


def _imported(path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in modules:
                    yield full
                elif node.module in modules:
                    yield node.module


def upward(graph: Graph) -> list[str]:
    """Imports from a lower layer into a higher one."""

    def layer(name: str) -> int:
        return LAYERS.index(name.partition(".")[0])

    return [f"{a} -> {b}" for a, targets in graph.items() for b in sorted(targets) if layer(b) < layer(a)]


def circles(graph: Graph) -> list[tuple[str, ...]]:
    """Strongly connected components of more than one file, and files that import themselves (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[tuple[str, ...]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            part = tuple(sorted(stack[at:]))
            del stack[at:]
            if len(part) > 1 or name in graph[name]:
                found.append(part)

    for name in graph:
        if name not in index:
            visit(name)
    return found
