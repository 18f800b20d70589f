"""The manifest of a bundle as frozen types, with a strict parser.

Every error names the place (``outputs[3].loinc``) and what was expected there. Unknown keys are allowed, so that a
later version can add some; a newer major schema is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from edge.bundle.golden import GoldenSpec, parse_golden
from edge.bundle.tensors import TensorSpec, parse_tensor
from edge.bundle.typed_json import Reader
from edge.frontend import ecgfounder as frontend_ecgfounder
from edge.frontend import stream as frontend_stream
from edge.records import Tier
from edge.rhythm.gate import STATED
from edge.rhythm.record import RhythmName
from firmware_bridge.errors import BundleError

SCHEMA = "anyecg.bundle/1"
"""Schema of bundles whose model has int8 input and output."""
SCHEMA_ANY_FORM = "anyecg.bundle/2"
"""Schema of bundles whose model has any form, with golden outputs and limits for each interpreter."""
MAX_OUTPUTS = 4096
MAX_MEANS_CHARS = 120
"""Longest description of an output in words."""

FrontEndName = Literal["stream/1", "ecgfounder/1"]
Kind = Literal["probability", "value"]
Form = Literal["int8", "dynamic", "float16", "float32"]
FORMS: tuple[Form, ...] = ("int8", "dynamic", "float16", "float32")
"""Forms of a model: everything in int8; int8 weights with activations quantized as they come (dynamic range); float16
weights; and everything in float32."""


@dataclass(frozen=True, slots=True)
class FrontEndSpec:
    """The front end by name, with the parameters of the training windows.

    Attributes:
        name: ``stream/1`` or ``ecgfounder/1``.
        grid_hz: Sampling rate of the uniform grid, Hz.
        fs_hz: Sampling rate of the model's window, Hz.
        window_samples: Number of samples in the model's window.
        group_delay_s: Group delay of the front end, s.
        clamp: Largest z-score.
        reads_amplitude: Whether the model needs millivolts; false for z-scored windows.
    """

    name: FrontEndName
    grid_hz: int
    fs_hz: float
    window_samples: int
    group_delay_s: float
    clamp: float
    reads_amplitude: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """Results measured for one output; ``None`` if not measured."""

    auroc: float | None
    ci: tuple[float, float] | None
    n: int | None
    tier: Tier
    mae: float | None


@dataclass(frozen=True, slots=True)
class OutputHead:
    """One output of the model.

    Attributes:
        index: Index in the output tensor.
        key: Unique key.
        lab: Key of the laboratory indicator.
        loinc: LOINC code of the laboratory test; ``None`` where unknown.
        unit: UCUM unit; ``"1"`` for a probability.
        direction: ``low``, ``high`` or ``abnormal``; ``None`` for a value.
        kind: ``probability`` or ``value``.
        horizon_min: Horizon, minutes; ``None`` for the present.
        evidence: Results measured for the output.
        means: The output in words, with its cut-off; ``None`` if not stated.
        rhythms: Rhythms in which the evidence holds; in others the output abstains. ``None`` for any rhythm.
    """

    index: int
    key: str
    lab: str
    loinc: str | None
    unit: str
    direction: str | None
    kind: Kind
    horizon_min: int | None
    evidence: Evidence
    means: str | None = None
    rhythms: tuple[RhythmName, ...] | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The part of ``manifest.json`` that the runtime uses."""

    name: str
    version: str
    tier: str
    licence: str
    notice: str
    front_end: FrontEndSpec
    input: TensorSpec
    output: TensorSpec
    outputs: tuple[OutputHead, ...]
    aggregation_minutes: float
    weighting: str
    budgets: Mapping[str, float]
    form: Form
    golden: GoldenSpec
    files: Mapping[str, tuple[str, int]]


def parse_manifest(raw: Any) -> Manifest:
    """Check a parsed ``manifest.json``.

    Raises:
        BundleError: A value is missing, has the wrong type, contradicts another, or the schema is newer.
    """
    r = Reader(raw, "manifest")
    schema = r.get("schema").text()
    if schema not in {SCHEMA, SCHEMA_ANY_FORM}:
        raise BundleError(
            f"manifest.schema is '{schema}', but this version reads '{SCHEMA}' and '{SCHEMA_ANY_FORM}'",
            "update anyecg-edge or convert again",
        )
    any_form = schema == SCHEMA_ANY_FORM
    front_end = _front_end(r.get("front_end"))
    heads = tuple(_head(item) for item in r.get("outputs").items(MAX_OUTPUTS))
    output = parse_tensor(r.get("output"), any_form=any_form)
    _check_heads(heads, output.width)
    tensor_in = parse_tensor(r.get("input"), any_form=any_form)
    if math.prod(tensor_in.shape) != front_end.window_samples:
        raise BundleError(
            f"manifest.input.shape holds {math.prod(tensor_in.shape)} samples, but the front end makes "
            f"{front_end.window_samples}",
            "convert the bundle again",
        )
    aggregation = r.get("aggregation")
    minutes = aggregation.get("minutes").number()
    if not 0.0 < minutes <= 1440.0:
        raise aggregation.get("minutes").fail("minutes between 0 and 1440")
    return Manifest(
        name=r.get("name").text(),
        version=r.get("version").text(),
        tier=r.get("tier").one_of("micro", "foundation"),
        licence=r.get("licence").text(),
        notice=r.get("notice").text(),
        front_end=front_end,
        input=tensor_in,
        output=output,
        outputs=heads,
        aggregation_minutes=minutes,
        weighting=aggregation.get("weighting").one_of("quality", "equal"),
        budgets={k: v.number() for k, v in r.get("budgets").pairs() if not isinstance(v.value, dict)},
        form=cast("Form", r.get("form").one_of(*FORMS)) if any_form else "int8",
        golden=parse_golden(r.get("golden")) if any_form else GoldenSpec(),
        files={k: (v.get("sha256").text(), v.get("bytes").integer()) for k, v in r.get("files").pairs()},
    )


def _front_end(r: Reader) -> FrontEndSpec:
    name = cast("FrontEndName", r.get("name").one_of("stream/1", "ecgfounder/1"))
    known: dict[str, float]
    if name == "stream/1":
        samples, fs_hz = frontend_stream.WINDOW_SAMPLES, frontend_stream.FS_HZ
        known = {"grid_hz": 250.0, "fs_hz": fs_hz, "group_delay_s": frontend_stream.GROUP_DELAY_S}
        known["clamp"] = frontend_stream.CLAMP
    else:
        samples, fs_hz = frontend_ecgfounder.WINDOW_SAMPLES, frontend_ecgfounder.FS_HZ
        known = {"grid_hz": 500.0, "fs_hz": fs_hz}
    for key, value in known.items():
        found = r.get(key)
        # The name of a front end fixes its parameters; a bundle trained with others would give wrong results.
        if abs(found.number() - value) > 1e-9:
            raise found.fail(f"{value:g}, the value of {name}")
    return FrontEndSpec(
        name=name,
        grid_hz=int(known["grid_hz"]),
        fs_hz=fs_hz,
        window_samples=samples,
        group_delay_s=r.opt("group_delay_s").number_or_none() or 0.0,
        clamp=r.get("clamp").number(),
        reads_amplitude=r.opt("reads_amplitude").value is True,
    )


def _head(r: Reader) -> OutputHead:
    evidence = r.get("evidence")
    ci = evidence.opt("ci")
    interval = None if ci.value is None else tuple(item.number() for item in ci.items(2))
    horizon = r.opt("horizon_min").number_or_none()
    n = evidence.opt("n").number_or_none()
    return OutputHead(
        index=r.get("index").integer(),
        key=r.get("key").text(),
        lab=r.get("lab").text(),
        loinc=r.opt("loinc").text_or_none(),
        unit=r.get("unit").text(),
        direction=None if r.opt("direction").value is None else r.get("direction").one_of("low", "high", "abnormal"),
        kind=cast("Kind", r.get("kind").one_of("probability", "value")),
        horizon_min=None if horizon is None else int(horizon),
        evidence=Evidence(
            auroc=evidence.opt("auroc").number_or_none(),
            ci=None if interval is None or len(interval) != 2 else (interval[0], interval[1]),
            n=None if n is None else int(n),
            tier=cast("Tier", evidence.get("tier").one_of("strong", "moderate", "limited")),
            mae=evidence.opt("mae").number_or_none(),
        ),
        means=_means(r.opt("means")),
        rhythms=_rhythms(r.opt("rhythms")),
    )


def _rhythms(r: Reader) -> tuple[RhythmName, ...] | None:
    if r.value is None:
        return None
    names = tuple(cast("RhythmName", item.one_of(*STATED)) for item in r.items(len(STATED)))
    if not names or len(set(names)) < len(names):
        raise r.fail("at least one rhythm, and each once")
    return names


def _means(r: Reader) -> str | None:
    text = r.text_or_none()
    if text is not None and not 0 < len(text) <= MAX_MEANS_CHARS:
        raise r.fail(f"at most {MAX_MEANS_CHARS} characters")
    return text


def _check_heads(heads: Sequence[OutputHead], width: int) -> None:
    if not heads:
        raise BundleError("manifest.outputs is empty", "a bundle needs at least one output")
    seen: set[str] = set()
    for i, head in enumerate(heads):
        if head.key in seen:
            raise BundleError(f"manifest.outputs[{i}]: key '{head.key}' occurs twice", "convert the bundle again")
        if not 0 <= head.index < width:
            raise BundleError(
                f"manifest.outputs[{i}]: index {head.index}, but the model has {width} outputs",
                "convert the bundle again",
            )
        seen.add(head.key)
