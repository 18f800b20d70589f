"""Parity: the same windows through every form of a model, link by link, in one table.

original -> Keras -> float LiteRT -> the form of the bundle in LiteRT (XNNPACK) -> reference kernels -> TFLite Micro;
for a distilled student: teacher -> float student -> fake-quantized student -> the same three interpreters. A NaN or an
infinity anywhere is a failure of its link and of the report. It is never replaced by a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from convert.parity.layers import LayerRow
from convert.parity.limits import default_limits
from convert.parity.steps import StepLimit, exactly, judge_steps
from edge.stats import correlation, sigmoid
from firmware_bridge.errors import CheckFailedError

SCHEMA = "anyecg.parity/1"

StageKind = Literal[
    "original", "keras", "float", "teacher", "student", "quantized", "int8", "dynamic", "float16", "float32",
    "reference", "tflm",
]  # fmt: skip

TITLES: Mapping[StageKind, str] = {
    "original": "original",
    "keras": "Keras",
    "float": "float LiteRT",
    "teacher": "teacher",
    "student": "float student",
    "quantized": "fake-quantized student",
    "int8": "int8 LiteRT (XNNPACK)",
    "dynamic": "dynamic-range LiteRT (XNNPACK)",
    "float16": "float16 LiteRT (XNNPACK)",
    "float32": "float32 LiteRT (XNNPACK)",
    "reference": "reference kernels",
    "tflm": "TFLite Micro",
}

_FLOAT: frozenset[StageKind] = frozenset({"original", "keras", "float"})
_INTERPRETERS: frozenset[StageKind] = frozenset({"int8", "dynamic", "float16", "float32", "reference", "tflm"})


@dataclass(frozen=True, slots=True)
class HeadName:
    """Name and scale of a head.

    Attributes:
        key: Key of the head.
        kind: ``probability`` if the output is a logit, else ``value``.
        unit: Unit of its differences in the report; ``None`` for logits.
        scale: Size of 1 on the scale of the model, in ``unit`` or logits.
        centre: Value of 0 on the scale of the model, in ``unit`` or logits.
        flat_below: Standard deviation, on the scale of the model, below which the head counts as flat; ``None`` for the
            limit of logits.
    """

    key: str
    kind: Literal["probability", "value"] = "probability"
    unit: str | None = None
    scale: float = 1.0
    centre: float = 0.0
    flat_below: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """The outputs of one form of the model.

    Attributes:
        kind: The form.
        outputs: Logits or values, ``(windows, heads)``. Slower forms may have run on the first windows only.
        step: Value of one step of the output, for quantized forms.
    """

    kind: StageKind
    outputs: NDArray[np.float64]
    step: float | None = None


@dataclass(frozen=True, slots=True)
class HeadDifference:
    """Differences of one head over one link; ``None`` where a number is not defined (no variation, or not finite).

    ``max`` and ``mean`` are in ``unit`` if the head has one, else in logits.
    """

    key: str
    max: float | None
    mean: float | None
    lsb: float | None
    correlation: float | None
    probability_max: float | None
    probability_mean: float | None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """The comparison of two forms.

    Attributes:
        before: The form before the link.
        after: The form after it.
        windows: Number of windows that both forms ran on.
        finite: Whether all outputs of both are finite.
        max: Largest difference, on the scale of the model.
        mean: Mean difference, on the scale of the model.
        lsb: Largest difference in steps of the quantized output.
        correlation_median: Median correlation over the heads that vary.
        correlation_min: Lowest correlation of these heads.
        limit: The limit in words; empty where there is none.
        ok: Whether the link is within the limit.
        heads: Differences of each head.
    """

    before: StageKind
    after: StageKind
    windows: int
    finite: bool
    max: float | None
    mean: float | None
    lsb: float | None
    correlation_median: float | None
    correlation_min: float | None
    limit: str
    ok: bool
    heads: tuple[HeadDifference, ...]


class ParityFile(TypedDict):
    """``parity.json``.

    Attributes:
        schema: Name and version of the format.
        title: Title of the report.
        ok: Whether every link is within its limit and every layer is finite.
        facts: Further entries of the report.
        links: The fields of each :class:`Link`; a head without a unit has no ``unit``.
        not_run: Reason why a form is missing, by form.
        layers: The fields of each ``LayerRow``.
    """

    schema: str
    title: str
    ok: bool
    facts: Mapping[str, Any]
    links: list[dict[str, Any]]
    not_run: dict[str, str]
    layers: list[dict[str, Any]]


@dataclass(slots=True)
class ParityReport:
    """All links of one model.

    Attributes:
        title: Title of the report.
        links: Links in the order of the chain.
        layers: Comparison of each layer, where float and quantized model were available.
        not_run: Reason why a form is missing, by form.
        facts: Further entries of the report, in order.
        outputs: The stages, for the plots.
    """

    title: str
    links: list[Link] = field(default_factory=list)
    layers: list[LayerRow] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    outputs: list[Stage] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every link is within its limit and every layer is finite."""
        return all(link.ok for link in self.links) and all(layer.finite for layer in self.layers)

    def check(self) -> None:
        """Raise an error if a link is not within its limit.

        Raises:
            CheckFailedError: A link is out of its limit; the message names the first one.
        """
        for link in self.links:
            if not link.finite:
                raise CheckFailedError(f"{TITLES[link.before]} to {TITLES[link.after]}: NaN or infinity in the outputs")
            if not link.ok:
                found = f"{link.lsb:g} LSB" if link.lsb is not None and "LSB" in link.limit else f"{link.max:.2e}"
                raise CheckFailedError(
                    f"{TITLES[link.before]} and {TITLES[link.after]} differ by {found}, the limit is {link.limit}"
                )
        for layer in self.layers:
            if not layer.finite:
                raise CheckFailedError(f"NaN or infinity in the layer {layer.name}")

    def check_floats(self) -> None:
        """Raise an error if a float form is out of its limit or an output is not finite, whatever the rest is.

        Raises:
            CheckFailedError: As :meth:`check`.
        """
        kept = [link for link in self.links if not link.finite or link.after in _FLOAT]
        ParityReport(self.title, kept, self.layers).check()

    def as_json(self) -> ParityFile:
        """Return the report as values that JSON can hold."""
        return {
            "schema": SCHEMA,
            "title": self.title,
            "ok": self.ok,
            "facts": self.facts,
            "links": [_link_json(link) for link in self.links],
            "not_run": self.not_run,
            "layers": [asdict(layer) for layer in self.layers],
        }


def _link_json(link: Link) -> dict[str, Any]:
    out = asdict(link)
    for row in out["heads"]:
        if row["unit"] is None:
            del row["unit"]
    return out


def compare(
    title: str,
    stages: Sequence[Stage],
    heads: Sequence[HeadName],
    limits: Mapping[str, Any] | None = None,
    *,
    micro: bool = True,
) -> ParityReport:
    """Compare each form of a model with the next one.

    Args:
        title: Title of the report.
        stages: Outputs of the forms, in the order of the chain.
        heads: Heads, one for each column of the outputs.
        limits: Limits as :func:`convert.parity.limits.load_limits` returns them.
        micro: Whether the model is for TFLite Micro; ``False`` for a teacher, which is too large for a microcontroller
            and makes more of the rounding of an interpreter.
    """
    report = ParityReport(title, outputs=list(stages))
    known = limits or default_limits()
    table = {**known["parity"], "flat_logit_sd": known["gate"]["flat_logit_sd"]}
    for before, after in pairwise(stages):
        report.links.append(_link(before, after, heads, table, micro=micro))
    return report


def _link(before: Stage, after: Stage, heads: Sequence[HeadName], limits: Mapping[str, Any], *, micro: bool) -> Link:
    n = min(len(before.outputs), len(after.outputs))
    a, b = before.outputs[:n], after.outputs[:n]
    finite = bool(n and np.all(np.isfinite(a)) and np.all(np.isfinite(b)))
    step = after.step if after.step is not None else before.step
    rows = tuple(head_difference(h, a[:, i], b[:, i], step) for i, h in enumerate(heads))
    known = [row.correlation for row in rows if row.correlation is not None]
    largest = float(np.max(np.abs(a - b))) if finite else None
    lsb = None if largest is None or step is None else largest / step
    if before.kind in _FLOAT and after.kind in _FLOAT:
        limit, ok = _judge_floats(heads, a, b, limits["float_max"])
    elif not micro and {before.kind, after.kind} <= _INTERPRETERS:
        limit, ok = interpreters_agree(heads, a, b, limits)
    else:
        limit, ok = _judge_steps(before.kind, after.kind, (a - b) / step if finite and step else None, limits)
    return Link(
        before=before.kind,
        after=after.kind,
        windows=n,
        finite=finite,
        max=largest,
        mean=float(np.mean(np.abs(a - b))) if finite else None,
        lsb=None if lsb is None else round(lsb, 6),
        correlation_median=float(np.median(known)) if known else None,
        correlation_min=min(known) if known else None,
        limit=limit,
        ok=finite and ok,
        heads=rows,
    )


def _judge_floats(
    heads: Sequence[HeadName], a: NDArray[np.float64], b: NDArray[np.float64], allowed: float
) -> tuple[str, bool]:
    """Compare two float forms, relative to the largest output of each head (at least one) on the teacher's scale."""
    scale, centre = (np.array([getattr(h, name) for h in heads]) for name in ("scale", "centre"))
    largest = np.maximum(np.max(np.abs(centre + a * scale), axis=0, initial=0.0), 1.0)
    limit = f"{allowed:.1e} of a head's largest output"
    if not (len(a) and np.isfinite(a).all() and np.isfinite(b).all()):
        return limit, False
    return limit, bool(np.max(np.max(np.abs(a - b), axis=0) * scale / largest, initial=0.0) <= allowed)


def interpreters_agree(
    heads: Sequence[HeadName], a: NDArray[np.float64], b: NDArray[np.float64], limits: Mapping[str, Any]
) -> tuple[str, bool]:
    """Compare two interpreters of a large network by the RMS difference in standard deviations of the heads.

    Args:
        heads: Name, kind and scale of each column.
        a: Outputs in one interpreter, ``(windows, heads)``.
        b: Outputs in the other.
        limits: ``interpreters_rms_sd`` of the table ``parity``, and ``flat_logit_sd`` of the table ``gate``.

    Returns:
        The limit with what was found, in words, and whether it holds.
    """
    allowed = limits["interpreters_rms_sd"]
    if not len(a):
        return f"RMS {allowed:g} sd", False
    flat = [limits["flat_logit_sd"] / h.scale if h.flat_below is None else h.flat_below for h in heads]
    rms = float(np.sqrt(np.mean(np.square((a - b) / np.maximum(a.std(axis=0), flat)))))
    return f"RMS {allowed:g} sd, found {rms:.2g}", rms <= allowed


def _judge_steps(
    before: StageKind, after: StageKind, steps: NDArray[np.float64] | None, limits: Mapping[str, Any]
) -> tuple[str, bool]:
    litert = StepLimit.of(limits, "xnnpack_reference")
    limit = {
        ("int8", "reference"): litert,
        ("reference", "tflm"): exactly(limits["reference_tflm_lsb"]),
        ("int8", "tflm"): litert,
    }.get((before, after))
    if limit is None:
        return "", True
    if steps is None or not len(steps):
        return f"{limit.usual:g} LSB", False
    found = judge_steps(steps, limit)
    return found.limit, found.holds


def head_difference(
    head: HeadName, before: NDArray[np.float64], after: NDArray[np.float64], step: float | None
) -> HeadDifference:
    """Compare one head over windows.

    Args:
        head: The head.
        before: Its outputs before the link, ``(windows,)``.
        after: Its outputs after the link, ``(windows,)``.
        step: Step of the quantized output; ``None`` for float forms.
    """
    if not len(before) or not (np.all(np.isfinite(before)) and np.all(np.isfinite(after))):
        return HeadDifference(head.key, None, None, None, None, None, None, head.unit)
    difference = np.abs(before - after)
    largest = float(difference.max())
    p_max = p_mean = None
    if head.kind == "probability":
        p = np.abs(sigmoid(head.centre + head.scale * before) - sigmoid(head.centre + head.scale * after))
        p_max, p_mean = float(p.max()), float(p.mean())
    return HeadDifference(
        head.key,
        largest * head.scale,
        float(difference.mean()) * head.scale,
        None if step is None else round(largest / step, 6),
        correlation(before, after),
        p_max,
        p_mean,
        head.unit,
    )
