"""Check whether targets can run a model, and give the reasons, before it is tried on a board.

Targets are plain C99 (``c99``), the kernel libraries of TFLite Micro (``tflm``: its reference kernels; ``cmsis-nn``;
``esp-nn``) and the student presets, which add limits for flash and arena. The rules come from measurements of these
kernels: see ``docs/micro.md``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from convert.compute.students import ALLOWED_OPS, PRESETS
from convert.micro.arena import Arena, measure
from convert.micro.c99.network import Network
from convert.micro.c99.reading import NotCoveredError, read_network
from convert.micro.graph import Graph, Operation, Tensor, read_graph
from convert.micro.ops import CMSIS_NN_OPS, ESP_NN_OPS, adder
from convert.micro.runtimes import RuntimeCost, runtime_costs
from convert.parity.layers import short_name
from firmware_bridge.errors import CheckFailedError

KERNELS = ("tflm", "cmsis-nn", "esp-nn")
TARGETS = ("c99", *KERNELS, *PRESETS)
TFLM_TARGETS = (*KERNELS, *PRESETS)
"""Targets on which TFLite Micro runs the model."""
SCHEMA = "anyecg.lint/1"

_NAMED = 3
"""Number of places that a finding names; the others are counted."""

_INTEGERS = frozenset({"int8", "int16", "int32", "int64", "bool"})

Level = Literal["fail", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation of a rule, or a note.

    Attributes:
        rule: Short name of the rule.
        level: ``fail``, or ``note`` for information.
        where: Names of the operations or tensors.
        why: The reason on these targets.
        targets: Names of the affected targets.
    """

    rule: str
    level: Level
    where: str
    why: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LintReport:
    """The findings for a model.

    Attributes:
        name: Name of the model.
        model_bytes: Size in flash, bytes.
        operations: Number of uses of each operation.
        arena: Arena sizes; ``None`` where TFLite Micro cannot run the model.
        runtimes: What the whole runtime costs, both ways.
        findings: Findings in the order of the rules.
    """

    name: str
    model_bytes: int
    operations: dict[str, int]
    arena: Arena | None
    runtimes: tuple[RuntimeCost, ...]
    findings: tuple[Finding, ...]

    def of(self, target: str) -> tuple[Finding, ...]:
        """Returns the findings for a target."""
        return tuple(f for f in self.findings if target in f.targets)

    def fits(self, target: str) -> bool:
        """Returns whether a target has no finding of level ``fail``."""
        return all(f.level != "fail" for f in self.of(target))

    def passed(self, asked: Sequence[str] = ()) -> bool:
        """Returns whether the model passes.

        Args:
            asked: Targets that must all fit; by default every kernel library and at least one preset.
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
            else {
                "measured": arena.measured,
                "cmsis-nn": arena.cortex_m,
                "helium": arena.helium,
                "esp-nn": arena.esp_nn,
            },
            "runtimes": [asdict(cost) for cost in self.runtimes],
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
    """Read a model, run it in TFLite Micro, and apply the rules of each target.

    Args:
        model: The TFLite flatbuffer, which may be damaged or hostile.
        name: Name of the model, for the report and error messages.

    Raises:
        InputError: The file is not a TFLite model.
        MissingExtraError: TFLite Micro is not installed.
    """
    graph = read_graph(model, name)
    found = [f for rule in _RULES for f in rule(graph)]
    arena = None
    if all(f.rule not in {"operation", "shape"} for f in found):
        try:
            arena = measure(model, graph)
        except CheckFailedError as e:
            found.append(Finding("interpreter", "fail", "model", e.what, TFLM_TARGETS))
    found += _budgets(len(model), arena)
    network: Network | None = None
    try:
        network = read_network(graph)
    except NotCoveredError as e:
        found.append(Finding("not-covered", "fail", e.where, e.why, ("c99",)))
    costs = runtime_costs(graph, len(model), network, arena)
    counts = dict(sorted(Counter(op.name for op in graph.operations).items()))
    return LintReport(name, len(model), counts, arena, costs, tuple(found))


def check_targets(report: LintReport, targets: Sequence[str]) -> None:
    """Check that a model fits all targets.

    Raises:
        CheckFailedError: A target does not fit; the message gives the first reason.
    """
    for target in targets:
        bad = [f for f in report.of(target) if f.level == "fail"]
        if bad:
            raise CheckFailedError(
                f"{report.name} fails {target}: {bad[0].where}: {bad[0].why}", "run anyecg lint for details"
            )


def _places(names: Iterable[str]) -> str:
    unique = list(dict.fromkeys(names))
    rest = len(unique) - _NAMED
    return ", ".join(unique[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _at(operations: Iterable[Operation]) -> str:
    return _places(f"{op.name} {_layer(op)}" for op in operations)


def _layer(op: Operation) -> str:
    """Return the layer of an operation in printable characters, or its position where the model has no names."""
    name = short_name(op.outputs[0].name) if op.outputs else ""
    shown = "".join(c if c.isprintable() else "?" for c in name)[:60]
    return f"of {shown}" if shown else f"#{op.index}"


def _tensors(graph: Graph) -> list[Tensor]:
    used = [*graph.inputs, *graph.outputs]
    for op in graph.operations:
        used += op.tensors()
    return list(dict.fromkeys(used))


def _named(tensors: Iterable[Tensor]) -> str:
    return _places(f"tensor '{t.name[:60]}' {list(t.shape)}" for t in tensors)


def _operation_rules(graph: Graph) -> Iterator[Finding]:
    missing = [op for op in graph.operations if adder(op.name) is None]
    if missing:
        yield Finding("operation", "fail", _at(missing), "TFLite Micro has no such operation", TFLM_TARGETS)
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
    per_channel = [
        op for op in dense if len(op.inputs) > 1 and op.inputs[1] is not None and len(op.inputs[1].scale) > 1
    ]
    if per_channel:
        why = "quantized per channel: TFLite Micro is 1 LSB off LiteRT; a 1x1 CONV_2D is exact"
        yield Finding("per-channel-dense", "fail", _at(per_channel), why, TFLM_TARGETS)


def _shape_rules(graph: Graph) -> Iterator[Finding]:
    dynamic = [t for t in _tensors(graph) if t.dynamic]
    if dynamic:
        yield Finding("shape", "fail", _named(dynamic), "a shape that is not fixed: export with batch 1", TFLM_TARGETS)
    ends = [t for t in (*graph.inputs, *graph.outputs) if t.shape and t.shape[0] not in {1, -1}]
    if ends:
        yield Finding("batch", "fail", _named(ends), "the batch is not 1", TFLM_TARGETS)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        where = f"{len(graph.inputs)} inputs, {len(graph.outputs)} outputs"
        yield Finding("inputs", "fail", where, "the kit feeds one window and reads one row of heads", TFLM_TARGETS)


def _type_rules(graph: Graph) -> Iterator[Finding]:
    tensors = _tensors(graph)
    real = [t for t in tensors if t.type not in _INTEGERS]
    if real:
        kinds = "/".join(sorted({t.type for t in real}))
        yield Finding("type", "fail", _named(real), f"{kinds}: the micro tier is int8 throughout", TFLM_TARGETS)
    ends = [t for t in (*graph.inputs, *graph.outputs) if t.type != "int8" and t.type in _INTEGERS]
    if ends:
        yield Finding("type", "fail", _named(ends), "input and output must be int8", TFLM_TARGETS)
    wide = [t for t in tensors if t.type == "int16"]
    if wide:
        why = "int16 activations: ESP-NN has no kernels for them, students are int8"
        yield Finding("int16", "fail", _named(wide), why, ("esp-nn", *PRESETS))
    bare = [t for t in tensors if t.type == "int8" and not t.scale]
    if bare:
        yield Finding("scale", "fail", _named(bare), "int8 without a quantization scale", TFLM_TARGETS)


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
