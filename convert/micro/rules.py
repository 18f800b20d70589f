"""Says which target a model fails, and why, before anybody tries it on a board.

Targets are the kernel libraries (``tflm``: TFLite Micro's reference kernels; ``cmsis-nn``; ``esp-nn``) and the student
presets, which add their limits of flash and arena. The rules come from what was measured of these kernels: see
``docs/micro.md``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from convert.compute.students import ALLOWED_OPS, PRESETS
from convert.micro.arena import Arena, measure
from convert.micro.graph import Graph, Operation, Tensor, read_graph
from convert.micro.ops import CMSIS_NN_OPS, ESP_NN_OPS, adder
from firmware_bridge.errors import CheckFailedError

KERNELS = ("tflm", "cmsis-nn", "esp-nn")
TARGETS = (*KERNELS, *PRESETS)
SCHEMA = "anyecg.lint/1"

_NAMED = 3
"""Places that a finding names; the others are counted."""

_INTEGERS = frozenset({"int8", "int16", "int32", "int64", "bool"})

Level = Literal["fail", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        rule: Short name of the rule.
        level: ``fail``, or ``note`` for what is worth knowing.
        where: Operations or tensors.
        why: What is wrong with it on these targets.
        targets: Whom it concerns.
    """

    rule: str
    level: Level
    where: str
    why: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LintReport:
    """What was found in a model.

    Attributes:
        name: Of the model.
        model_bytes: Its size in flash.
        operations: Operation -> how often.
        arena: What the interpreter needs; ``None`` where it cannot run the model.
        findings: In the order of the rules.
    """

    name: str
    model_bytes: int
    operations: dict[str, int]
    arena: Arena | None
    findings: tuple[Finding, ...]

    def of(self, target: str) -> tuple[Finding, ...]:
        """Returns what concerns a target."""
        return tuple(f for f in self.findings if target in f.targets)

    def fits(self, target: str) -> bool:
        """Returns whether a target runs the model as it should."""
        return all(f.level != "fail" for f in self.of(target))

    def passed(self, asked: Sequence[str] = ()) -> bool:
        """Returns whether the model passes.

        Args:
            asked: Targets that must all fit; none asks for every kernel library and at least one preset.
        """
        if asked:
            return all(self.fits(t) for t in asked)
        return all(self.fits(t) for t in KERNELS) and any(self.fits(p) for p in PRESETS)

    def to_json(self) -> dict[str, object]:
        """Returns the report as plain data."""
        arena = self.arena
        return {
            "schema": SCHEMA,
            "model": self.name,
            "model_bytes": self.model_bytes,
            "operations": self.operations,
            "arena_bytes": None
            if arena is None
            else {"measured": arena.measured, "cmsis-nn": arena.cmsis_nn, "esp-nn": arena.esp_nn},
            "targets": {
                target: {
                    "fits": self.fits(target),
                    "findings": [
                        {"rule": f.rule, "level": f.level, "where": f.where, "why": f.why} for f in self.of(target)
                    ],
                }
                for target in TARGETS
            },
        }


def lint(model: bytes, name: str = "the model") -> LintReport:
    """Reads a model, tries it in TFLite Micro, and says what each target thinks of it.

    Args:
        model: The TFLite flatbuffer; nothing in it is trusted.
        name: For the report and complaints.

    Raises:
        InputError: It is no TFLite model.
        MissingExtraError: TFLite Micro is not installed.
    """
    graph = read_graph(model, name)
    found = [f for rule in _RULES for f in rule(graph)]
    arena = None
    if all(f.rule not in {"operation", "shape"} for f in found):
        try:
            arena = measure(model, graph)
        except CheckFailedError as e:
            found.append(Finding("interpreter", "fail", "model", e.what, TARGETS))
    found += _budgets(len(model), arena)
    counts = dict(sorted(Counter(op.name for op in graph.operations).items()))
    return LintReport(name, len(model), counts, arena, tuple(found))


def check_targets(report: LintReport, targets: Sequence[str]) -> None:
    """Makes sure that a model fits.

    Raises:
        CheckFailedError: It does not; says the first reason.
    """
    for target in targets:
        bad = [f for f in report.of(target) if f.level == "fail"]
        if bad:
            raise CheckFailedError(f"{report.name} fails {target}: {bad[0].where}: {bad[0].why}", "see anyecg lint")


def _places(names: Iterable[str]) -> str:
    unique = list(dict.fromkeys(names))
    rest = len(unique) - _NAMED
    return ", ".join(unique[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _at(operations: Iterable[Operation]) -> str:
    return _places(f"{op.name} #{op.index}" for op in operations)


def _tensors(graph: Graph) -> list[Tensor]:
    used = [*graph.inputs, *graph.outputs]
    for op in graph.operations:
        used += op.tensors()
    return list(dict.fromkeys(used))


def _named(tensors: Iterable[Tensor]) -> str:
    return _places(f"tensor '{t.name[:60]}' {list(t.shape)}" for t in tensors)


def _operation_rules(graph: Graph) -> Iterator[Finding]:
    lacking = [op for op in graph.operations if adder(op.name) is None]
    if lacking:
        yield Finding("operation", "fail", _at(lacking), "TFLite Micro has no such operation", TARGETS)
    known = [op for op in graph.operations if adder(op.name) is not None]
    for target, fast in (("cmsis-nn", CMSIS_NN_OPS), ("esp-nn", ESP_NN_OPS)):
        slow = [op for op in known if op.name not in fast]
        if slow:
            yield Finding("slow-operation", "fail", _at(slow), "no kernel of its own: the slow one runs", (target,))
    foreign = [op for op in known if op.name not in ALLOWED_OPS]
    if foreign:
        allowed = ", ".join(sorted(ALLOWED_OPS))
        yield Finding("student-operation", "fail", _at(foreign), f"students have only {allowed}", tuple(PRESETS))


def _convolution_rules(graph: Graph) -> Iterator[Finding]:
    convolutions = [op for op in graph.operations if op.name in {"CONV_2D", "DEPTHWISE_CONV_2D"}]
    grouped = [op for op in convolutions if op.name == "CONV_2D" and _is_grouped(op)]
    if grouped:
        at = _at(grouped)
        wrong = "a grouped convolution, which ESP-NN's wrapper computes wrongly"
        yield Finding("grouped-convolution", "fail", at, wrong, ("esp-nn", *PRESETS))
        late = "a grouped convolution: only recent CMSIS-NN releases have them, so check yours"
        yield Finding("grouped-convolution", "note", at, late, ("cmsis-nn",))
    dilated = [op for op in convolutions if op.dilation > 1]
    if dilated:
        yield Finding("dilation", "fail", _at(dilated), "dilated, so the slow reference kernel runs", ("esp-nn",))


def _is_grouped(op: Operation) -> bool:
    source, kernel = (*op.inputs, None, None)[:2]
    if source is None or kernel is None or not source.shape or not kernel.shape:
        return False
    return source.shape[-1] != kernel.shape[-1]


def _dense_rules(graph: Graph) -> Iterator[Finding]:
    dense = [op for op in graph.operations if op.name == "FULLY_CONNECTED"]
    per_channel = [op for op in dense if len(op.inputs) > 1 and op.inputs[1] is not None and op.inputs[1].scales > 1]
    if per_channel:
        why = "quantized per channel: TFLite Micro is 1 LSB off LiteRT; a 1x1 CONV_2D is exact"
        yield Finding("per-channel-dense", "fail", _at(per_channel), why, TARGETS)


def _shape_rules(graph: Graph) -> Iterator[Finding]:
    dynamic = [t for t in _tensors(graph) if t.dynamic]
    if dynamic:
        yield Finding("shape", "fail", _named(dynamic), "a shape that is not fixed: export with batch 1", TARGETS)
    ends = [t for t in (*graph.inputs, *graph.outputs) if t.shape and t.shape[0] not in {1, -1}]
    if ends:
        yield Finding("batch", "fail", _named(ends), "the batch is not 1", TARGETS)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        where = f"{len(graph.inputs)} inputs, {len(graph.outputs)} outputs"
        yield Finding("inputs", "fail", where, "the kit feeds one window and reads one row of heads", TARGETS)


def _type_rules(graph: Graph) -> Iterator[Finding]:
    tensors = _tensors(graph)
    real = [t for t in tensors if t.type not in _INTEGERS]
    if real:
        kinds = "/".join(sorted({t.type for t in real}))
        yield Finding("type", "fail", _named(real), f"{kinds}: the micro tier is int8 throughout", TARGETS)
    ends = [t for t in (*graph.inputs, *graph.outputs) if t.type != "int8" and t.type in _INTEGERS]
    if ends:
        yield Finding("type", "fail", _named(ends), "input and output must be int8", TARGETS)
    wide = [t for t in tensors if t.type == "int16"]
    if wide:
        why = "int16 activations: ESP-NN has no kernels for them, students are int8"
        yield Finding("int16", "fail", _named(wide), why, ("esp-nn", *PRESETS))
    bare = [t for t in tensors if t.type == "int8" and t.scales == 0]
    if bare:
        yield Finding("scale", "fail", _named(bare), "int8 without a quantization scale", TARGETS)


_RULES: tuple[Callable[[Graph], Iterator[Finding]], ...] = (
    _operation_rules,
    _convolution_rules,
    _dense_rules,
    _shape_rules,
    _type_rules,
)


def _budgets(flash_bytes: int, arena: Arena | None) -> Iterator[Finding]:
    for name, spec in PRESETS.items():
        limit = spec.flash_limit_bytes
        if flash_bytes > limit:
            yield Finding("flash", "fail", f"{flash_bytes} bytes of flash", f"the limit is {limit}", (name,))
        limit = spec.arena_limit_bytes
        if arena is None:
            yield Finding("arena", "fail", "arena", "not measured: TFLite Micro does not run the model", (name,))
        elif arena.measured > limit:
            yield Finding("arena", "fail", f"an arena of {arena.measured} bytes", f"the limit is {limit}", (name,))
