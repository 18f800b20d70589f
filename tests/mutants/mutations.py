"""Every mutant of a module, made by the operators of mutmut.

mutmut itself mutates function bodies only. Here a mutant is the whole module with one changed node, so that constants,
properties and class bodies are mutated as well. Nodes without behaviour are skipped: annotations, type aliases and
``__all__``, the arguments of ``raise`` and ``cast``, enumerations, abstract methods, the case of strings.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.mutators import mutation_operators, operator_string
from mutmut.mutation.pragma_handling import IgnoredCode

_WITHOUT_BEHAVIOUR = (cst.Raise, cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom)
_TYPE_CALLS = {"cast", "TypeVar", "NewType", "ParamSpec"}
_TYPE_CLASSES = {"Protocol", "TypedDict", "NamedTuple", "Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"}
_BODILESS = {"abstractmethod", "overload"}


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change of one module.

    Attributes:
        key: Identifier that depends only on the function, the text of the line and the change.
        line: First line of the changed node, counted from 1.
        first_line: First line of its statement.
        last_line: Last line of the node.
        what: Description of the change.
    """

    key: str
    line: int
    first_line: int
    last_line: int
    what: str
    _module: cst.Module
    _old: cst.CSTNode
    _new: cst.CSTNode

    def source(self) -> str:
        """Return the module with the change."""
        changed = self._module.deep_replace(self._old, self._new)
        assert isinstance(changed, cst.Module)
        return changed.code


class _Visitor(MutationVisitor):
    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, _WITHOUT_BEHAVIOUR) or _is_declaration(node):
            return True
        if isinstance(node, cst.Call) and _name(node.func) in _TYPE_CALLS:
            return True
        if isinstance(node, cst.ClassDef):
            return any(_name(base.value) in _TYPE_CLASSES for base in node.bases)
        if isinstance(node, cst.If) and _name(node.test) == "TYPE_CHECKING":
            return True
        if isinstance(node, cst.FunctionDef):
            # mutmut skips decorated functions, because its trampolines cannot replace them. Here they work.
            return any(_name(d.decorator) in _BODILESS for d in node.decorators)
        return super()._skip_node_and_children(node)


def mutants_of(path: Path) -> list[Mutant]:
    """Return the mutants of a module, in the order of their position."""
    code = path.read_text(encoding="utf-8")
    wrapper = MetadataWrapper(cst.parse_module(code))
    operators = [(t, _without_case if op is operator_string else op) for t, op in mutation_operators]
    visitor = _Visitor(operators, IgnoredCode(set(), set(), set()))
    wrapper.visit(visitor)
    places, parents = wrapper.resolve(PositionProvider), wrapper.resolve(ParentNodeProvider)
    lines, seen, out = code.splitlines(), set[str](), list[Mutant]()
    for change in visitor.mutations:
        if _is_default_type(change.original_node, change.mutated_node):
            continue
        place = places[change.original_node]
        old, new = (wrapper.module.code_for_node(n).strip() for n in (change.original_node, change.mutated_node))
        outer = change.contained_by_top_level_function
        where = outer.name.value if isinstance(outer, cst.FunctionDef) else ""
        text = f"{where}|{lines[place.start.line - 1].strip()}|{place.start.column}|{old}|{new}"
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        while key in seen:
            key = hashlib.sha256((key + text).encode()).hexdigest()[:12]
        seen.add(key)
        what = f"{where or 'module'}: {_short(old)} -> {_short(new)}"
        statement = change.original_node
        while not isinstance(statement, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
            statement = parents[statement]
        lines_of = (place.start.line, places[statement].start.line, place.end.line)
        out.append(Mutant(key, *lines_of, what, wrapper.module, change.original_node, change.mutated_node))
    return sorted(out, key=lambda m: (m.line, m.last_line))


def _without_case(node: cst.BaseString) -> list[cst.BaseString]:
    """Return the string with marks at both ends, without mutmut's changes of case, which the same tests would kill."""
    return list(operator_string(node))[:1]


def _is_declaration(node: cst.CSTNode) -> bool:
    """Return whether a statement is ``__all__`` or a type alias: ``F64 = NDArray[...]``, ``Item = A | B``."""
    if not isinstance(node, cst.Assign) or len(node.targets) != 1:
        return False
    name = _name(node.targets[0].target)
    if name == "__all__":
        return True
    return name[:1].isupper() and (
        isinstance(node.value, cst.Subscript)
        or (isinstance(node.value, cst.BinaryOperation) and isinstance(node.value.operator, cst.BitOr))
    )


def _is_default_type(old: cst.CSTNode, new: cst.CSTNode) -> bool:
    """Return whether a change only removes ``dtype=np.float64`` or the type of ``astype``: the default of an array."""
    if not isinstance(old, cst.Call) or not isinstance(new, cst.Call):
        return False
    if _name(old.func) == "astype" and [_name(a.value) for a in (*old.args, *new.args)] == ["float64", "None"]:
        return True
    given = [a for a in old.args if a.keyword and a.keyword.value == "dtype" and _name(a.value) == "float64"]
    return bool(given) and given[0] not in new.args


def _name(node: cst.BaseExpression) -> str:
    """Return the last part of a dotted name; for a subscript, that of its value."""
    if isinstance(node, cst.Subscript):
        return _name(node.value)
    if isinstance(node, cst.Attribute):
        return node.attr.value
    return node.value if isinstance(node, cst.Name) else ""


def _short(code: str) -> str:
    one_line = " ".join(code.split())
    return one_line if len(one_line) <= 90 else one_line[:87] + "..."
