"""The estimates of a patch as they arrive: complete, of the right model, not too many; and as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from edge.bundle.reader import Bundle
from edge.onpatch.fixed import SCORE_BITS, fixed_heads, identity
from edge.records import ABSTAIN_REASONS, AbstainReason, LabEstimate
from edge.stats import sigmoid
from firmware_bridge.samples import LinkEvent
from firmware_bridge.wire.message_types import HeadState

MIN_STEP_S = 0.2
"""Shortest time between two estimates of a patch, s; a patch that sends more often is not believed more often."""


@dataclass(frozen=True, slots=True)
class PatchResult:
    """One complete estimate of a patch, or its abstention.

    Attributes:
        labs: Its outputs in the order of the bundle; empty while it abstains.
        abstained: Its reason; ``None`` for an estimate.
        behind_s: Signal that the host received after the window, s; ``None`` if the patch sends no samples.
        end_s: Time of the patch's sample counter at the end, s.
        hop_s: Seconds between its estimates, as it states.
        arrival_ns: Arrival time of the last part, ns.
    """

    labs: tuple[LabEstimate, ...]
    abstained: AbstainReason | None
    behind_s: float | None
    end_s: float
    hop_s: float
    arrival_ns: int


class Received:
    """Joins the messages of a patch to estimates.

    Args:
        bundle: The bundle whose model and calibration the patch must have.

    Attributes:
        refused: Estimates that were not used.
        foreign: Identity of another model that the patch runs; empty if there is none.

    Raises:
        BundleError: No patch can compute the calibration of this bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        heads = fixed_heads(manifest.outputs, bundle.calibration, manifest.output.scale)
        self.identity = identity(bundle.model, heads).hex()
        self.refused = 0
        self.foreign = ""
        self._outputs = manifest.outputs
        self._thresholds = [bundle.calibration[head.key].threshold for head in manifest.outputs]
        self._parts: dict[int, tuple[int, int]] = {}
        self._index: int | None = None
        self._last_ns: int | None = None

    def push(self, event: LinkEvent) -> PatchResult | None:
        """Take a message; return the estimate that it completes."""
        data = cast("Mapping[str, Any]", event.data)
        if data["model"] != self.identity:
            self.foreign = data["model"]
            self.refused += 1
            return None
        reason = data["reason"]
        if reason is not None:
            return self._result(event, (), reason) if reason in ABSTAIN_REASONS else None
        if data["index"] != self._index:
            self._index, self._parts = data["index"], {}
        self._parts.update({data["first"] + k: (head[0], head[1]) for k, head in enumerate(data["heads"])})
        if not all(number in self._parts for number in range(len(self._outputs))):
            return None
        return self._result(event, tuple(self._lab(k, data["windows"]) for k in range(len(self._outputs))), None)

    def _result(
        self, event: LinkEvent, labs: tuple[LabEstimate, ...], reason: AbstainReason | None
    ) -> PatchResult | None:
        if self._last_ns is not None and event.arrival_ns - self._last_ns < MIN_STEP_S * 1e9:
            self.refused += 1
            return None
        self._last_ns, self._parts = event.arrival_ns, {}
        data = cast("Mapping[str, Any]", event.data)
        return PatchResult(labs, reason, data["behind_s"], data["end_s"], float(data["hop_s"]), event.arrival_ns)

    def _lab(self, number: int, windows: int) -> LabEstimate:
        head = self._outputs[number]
        raw, state = self._parts[number]
        score = raw / (1 << SCORE_BITS)
        return LabEstimate(
            key=head.key,
            loinc=head.loinc,
            unit=head.unit,
            value=float(sigmoid(np.array(score))) if head.kind == "probability" else score,
            interval=None,
            threshold=self._thresholds[number],
            flag=bool(state & HeadState.FLAG) if state & HeadState.DECIDED else None,
            windows=windows,
            tier=head.evidence.tier,
        )
