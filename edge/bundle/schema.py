"""Manifest and calibration of a bundle as frozen types, with strict parsers.

Every error names the place (``outputs[3].loinc``) and what was expected there. Unknown keys are allowed, so that a
later version can add some; a newer major schema is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast

from edge.frontend import ecgfounder as frontend_ecgfounder
from edge.frontend import stream as frontend_stream
from edge.records import Tier
from firmware_bridge.errors import BundleError

SCHEMA = "anyecg.bundle/1"
CALIBRATION_SCHEMA = "anyecg.calibration/1"
MAX_OUTPUTS = 4096
MAX_KNOTS = 64
"""Most knots of an isotonic curve; no calibration set supports more."""

FrontEndName = Literal["stream/1", "ecgfounder/1"]
Kind = Literal["probability", "value"]


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
class TensorSpec:
    """An int8 input or output of the model: shape, scale and zero point."""

    shape: tuple[int, ...]
    scale: float
    zero_point: int


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
    """One output of the model."""

    index: int
    key: str
    lab: str
    loinc: str | None
    unit: str
    direction: str | None
    kind: Kind
    horizon_min: int | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class HeadCalibration:
    """The map from the aggregated output of a head to its value, interval and flag.

    Attributes:
        method: ``platt``, ``temperature``, ``isotonic`` or ``none`` for probabilities; ``linear`` for values.
        slope: Factor for the output.
        offset: Summand after the factor.
        threshold: Decision threshold in the unit of the head; ``None`` for none.
        interval_method: ``logit_sd``, ``conformal`` or ``none``.
        interval_width: Standard deviation in logits, or half width in the unit of the head.
        level: Nominal coverage of the interval.
        knots: Knots of an isotonic curve: increasing logits, and the probability at each; straight lines between them,
            constant beyond. ``slope`` and ``offset`` are then 1 and 0, and the width is in uncalibrated logits.
        abstain: Band of abstention, low and high probability; ``None`` for none.
        persons: For a value, standard deviations of the mean errors of persons and of a person's errors around their
            mean, in the unit of the head; ``None`` if not measured.
    """

    method: str
    slope: float
    offset: float
    threshold: float | None
    interval_method: str
    interval_width: float
    level: float
    knots: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    abstain: tuple[float, float] | None = None
    persons: tuple[float, float] | None = None


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
    files: Mapping[str, tuple[str, int]]


class Reader:
    """Typed access to parsed JSON; every error names the path."""

    def __init__(self, value: object, path: str) -> None:
        self.value = value
        self.path = path

    def fail(self, expected: str) -> BundleError:
        """Return the error for an unexpected value."""
        found = repr(self.value)
        found = found if len(found) <= 60 else found[:57] + "..."
        return BundleError(
            f"{self.path}: expected {expected}, found {found}", "this kit did not write the bundle; convert it again"
        )

    def get(self, key: str) -> Reader:
        """Return the member ``key`` of an object."""
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        if key not in self.value:
            raise BundleError(f"{self.path}: '{key}' is missing", "the bundle is incomplete; convert it again")
        return Reader(self.value[key], f"{self.path}.{key}")

    def opt(self, key: str) -> Reader:
        """Return the member ``key``, or null if it is absent."""
        if isinstance(self.value, dict) and key not in self.value:
            return Reader(None, f"{self.path}.{key}")
        return self.get(key)

    def items(self, limit: int) -> list[Reader]:
        """Return the elements of an array of at most ``limit``."""
        if not isinstance(self.value, list) or len(self.value) > limit:
            raise self.fail(f"an array of at most {limit}")
        return [Reader(v, f"{self.path}[{i}]") for i, v in enumerate(self.value)]

    def pairs(self) -> list[tuple[str, Reader]]:
        """Return the members of an object."""
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        return [(str(k), Reader(v, f"{self.path}.{k}")) for k, v in self.value.items()]

    def text(self) -> str:
        """Return a string of at most 4096 characters."""
        if not isinstance(self.value, str) or len(self.value) > 4096:
            raise self.fail("a string")
        return self.value

    def text_or_none(self) -> str | None:
        """Return a string or ``None``."""
        return None if self.value is None else self.text()

    def number(self) -> float:
        """Return a finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not math.isfinite(self.value):
            raise self.fail("a finite number")
        return float(self.value)

    def number_or_none(self) -> float | None:
        """Return a finite number or ``None``."""
        return None if self.value is None else self.number()

    def integer(self) -> int:
        """Return an integer."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.fail("an integer")
        return self.value

    def one_of(self, *choices: str) -> str:
        """Return a string that is one of ``choices``."""
        if self.value not in choices:
            raise self.fail(" or ".join(repr(c) for c in choices))
        return self.value


def parse_manifest(raw: Any) -> Manifest:
    """Check a parsed ``manifest.json``.

    Raises:
        BundleError: A value is missing, has the wrong type, contradicts another, or the schema is newer.
    """
    r = Reader(raw, "manifest")
    schema = r.get("schema").text()
    if schema != SCHEMA:
        raise BundleError(
            f"manifest.schema is '{schema}', but this version reads '{SCHEMA}'", "update anyecg-edge or convert again"
        )
    front_end = _front_end(r.get("front_end"))
    heads = tuple(_head(item) for item in r.get("outputs").items(MAX_OUTPUTS))
    output = _tensor(r.get("output"))
    _check_heads(heads, math.prod(output.shape))
    tensor_in = _tensor(r.get("input"))
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


def _tensor(r: Reader) -> TensorSpec:
    r.get("dtype").one_of("int8")
    shape = tuple(item.integer() for item in r.get("shape").items(8))
    if not shape or min(shape) < 1 or math.prod(shape) > 1 << 20:
        raise r.get("shape").fail("a shape of positive sizes")
    scale = r.get("scale").number()
    if scale <= 0.0:
        raise r.get("scale").fail("a positive number")
    return TensorSpec(shape, scale, r.get("zero_point").integer())


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
    )


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


def parse_calibration(raw: Any, heads: Sequence[OutputHead]) -> dict[str, HeadCalibration]:
    """Check a parsed ``calibration.json``.

    Returns:
        Calibration by head key, for every head of the manifest.

    Raises:
        BundleError: As for the manifest; also if a head has no calibration.
    """
    r = Reader(raw, "calibration")
    r.get("schema").one_of(CALIBRATION_SCHEMA)
    table = r.get("heads")
    return {head.key: _head_calibration(table.get(head.key), head.kind) for head in heads}


def _head_calibration(r: Reader, kind: Kind) -> HeadCalibration:
    if kind == "value":
        method = r.get("method").one_of("linear")
        slope, offset = r.get("slope").number(), r.get("intercept").number()
    else:
        method = r.get("method").one_of("platt", "temperature", "isotonic", "none")
        slope = 1.0 if method in {"none", "isotonic"} else r.get("a").number()
        offset = r.get("b").number() if method == "platt" else 0.0
    interval = r.get("interval")
    how = interval.get("method").one_of("logit_sd", "conformal", "none")
    width = 0.0
    if how != "none":
        width = interval.get("sd" if how == "logit_sd" else "half_width").number()
        if width < 0.0:
            raise interval.fail("a width of at least 0")
    level = 0.9 if interval.opt("level").value is None else interval.get("level").number()
    if not 0.0 < level < 1.0:
        raise interval.get("level").fail("a coverage between 0 and 1")
    return HeadCalibration(
        method, slope, offset, r.opt("threshold").number_or_none(), how, width, level,
        _knots(r) if method == "isotonic" else None, _abstain(r, kind), _persons(r),
    )  # fmt: skip


def _knots(r: Reader) -> tuple[tuple[float, ...], tuple[float, ...]]:
    x, y = (tuple(item.number() for item in r.get(name).items(MAX_KNOTS)) for name in ("x", "y"))
    if len(x) < 2 or any(b <= a for a, b in pairwise(x)):
        raise r.get("x").fail("at least two increasing logits")
    if len(y) != len(x) or y[0] < 0.0 or y[-1] > 1.0 or any(b < a for a, b in pairwise(y)):
        raise r.get("y").fail("as many probabilities, none below the one before")
    return x, y


def _persons(r: Reader) -> tuple[float, float] | None:
    persons = r.opt("persons")
    if persons.value is None:
        return None
    between_sd, within_sd = persons.get("between_sd").number(), persons.get("within_sd").number()
    if min(between_sd, within_sd) < 0.0:
        raise persons.fail("two standard deviations of at least 0")
    return between_sd, within_sd


def _abstain(r: Reader, kind: Kind) -> tuple[float, float] | None:
    band = r.opt("abstain")
    if band.value is None:
        return None
    low, high = band.get("low").number(), band.get("high").number()
    if kind == "value" or not 0.0 <= low <= high <= 1.0:
        raise band.fail("low and high, two probabilities, for a probability head")
    return low, high
