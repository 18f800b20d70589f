"""``calibration.json`` as frozen types, with a strict parser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from edge.bundle.fusion import Fusion, band_or_none, parse_fusion, probability_or_none
from edge.bundle.schema import Kind, OutputHead
from edge.bundle.typed_json import Reader

CALIBRATION_SCHEMA = "anyecg.calibration/1"
MAX_LOGITS = 1e4
"""Largest slope, offset and width of a probability, in logits."""
MAX_VALUE = 1e12
"""Largest slope, offset and width of a value, in its unit."""
MAX_KNOTS = 64
"""Most knots of an isotonic curve; no calibration set supports more."""


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
        fusion: Additive model of the network and of the waves, for a probability; ``None`` for the network alone.
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
    fusion: Fusion | None = None

    @property
    def shown_threshold(self) -> float | None:
        """Decision threshold of the value that an estimate shows: the fused one where the head is fused."""
        return self.threshold if self.fusion is None else self.fusion.threshold

    @property
    def shown_abstain(self) -> tuple[float, float] | None:
        """Band of abstention of the value that an estimate shows."""
        return self.abstain if self.fusion is None else self.fusion.abstain


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
        slope, offset = _logit_line(r, method)
    interval = r.get("interval")
    how = interval.get("method").one_of("logit_sd", "conformal", "none")
    width = 0.0
    if how != "none":
        width = interval.get("sd" if how == "logit_sd" else "half_width").number()
        if not 0.0 <= width <= (MAX_LOGITS if how == "logit_sd" else MAX_VALUE):
            raise interval.fail(f"a width of at least 0 and at most {MAX_LOGITS:g} logits or {MAX_VALUE:g}")
    level = 0.9 if interval.opt("level").value is None else interval.get("level").number()
    if not 0.0 < level < 1.0:
        raise interval.get("level").fail("a coverage between 0 and 1")
    if kind == "probability" and not 0.0 < slope <= MAX_LOGITS:
        raise r.get("a").fail(f"a slope above 0 and at most {MAX_LOGITS:g}, because another would reverse the output")
    if max(abs(slope), abs(offset)) > (MAX_LOGITS if kind == "probability" else MAX_VALUE):
        raise r.fail("a slope and an offset of a possible size")
    return HeadCalibration(
        method, slope, offset, _threshold(r.opt("threshold"), kind), how, width, level,
        _knots(r) if method == "isotonic" else None, _abstain(r, kind), _persons(r),
        _fusion(r.opt("fusion"), kind),
    )  # fmt: skip


def _fusion(r: Reader, kind: Kind) -> Fusion | None:
    if kind == "value" and r.value is not None:
        raise r.fail("no fusion, because the head is a value")
    return parse_fusion(r)


def _threshold(r: Reader, kind: Kind) -> float | None:
    return r.number_or_none() if kind == "value" else probability_or_none(r)


def _logit_line(r: Reader, method: str) -> tuple[float, float]:
    """Return factor and summand of a probability's logit; a model with standardised heads needs both for any method."""
    if method == "isotonic":
        return 1.0, 0.0
    a, b = (r.get(name) if method == "platt" else r.opt(name) for name in ("a", "b"))
    if method == "temperature":
        a = r.get("a")
    slope = 1.0 if a.value is None else a.number()
    return slope, 0.0 if b.value is None else b.number()


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
    if kind == "value" and band.value is not None:
        raise band.fail("no band of abstention, because the head is a value")
    return band_or_none(band)
