"""Calibrations on the scale of the teacher's logits, for models whose heads are standardised.

A temperature or an uncalibrated logit has a meaning only on the teacher's scale, where a logit of 0 is a probability of
one half. The outputs of the model, and with them ``calibration.json``, are on the standardised scale.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from convert.foundation.standard import Line, scaling_of_bundle
from edge.bundle.calibration import HeadCalibration
from edge.bundle.files import MANIFEST
from edge.bundle.reader import MAX_MANIFEST_BYTES, Bundle, read_extra

DIGITS = 9


def teacher_lines(bundle: Bundle) -> dict[str, Line]:
    """Return the line from the model's output to the teacher's for each head, by key.

    Raises:
        BundleError: The entry of the manifest is invalid.
    """
    raw = read_extra(bundle.path, MANIFEST, MAX_MANIFEST_BYTES)
    scaling = scaling_of_bundle(json.loads(raw or b"{}"), bundle.manifest.outputs, bundle.manifest.output.width)
    return {head.key: scaling.lines[head.index] for head in bundle.manifest.outputs}


def in_logits(old: HeadCalibration, line: Line) -> HeadCalibration:
    """Return the calibration of a probability as a function of the teacher's logit."""
    if old.knots is not None:
        knots = (tuple(line.centre + line.scale * x for x in old.knots[0]), old.knots[1])
        return dataclasses.replace(old, knots=knots, interval_width=old.interval_width * line.scale)
    slope = old.slope / line.scale
    return dataclasses.replace(old, slope=slope, offset=old.offset - slope * line.centre)


def to_model(entry: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """Return an entry of ``calibration.json`` for a teacher's logit as one for the model's output."""
    if line == Line():
        return dict(entry)
    if entry["method"] == "isotonic":
        interval = dict(entry["interval"])
        if "sd" in interval:
            interval["sd"] = round(interval["sd"] / line.scale, DIGITS)
        return {**entry, "x": [round((x - line.centre) / line.scale, DIGITS) for x in entry["x"]], "interval": interval}
    a, b = entry.get("a", 1.0), entry.get("b", 0.0)
    return {**entry, "a": round(a * line.scale, DIGITS), "b": round(b + a * line.centre, DIGITS)}
