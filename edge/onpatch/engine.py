"""The engine that also takes the estimates of a patch (``anyecg run --trust-patch``).

The host's own estimate is shown wherever the host has a window. The patch's is shown where it has none because samples
are missing (start, gap, lost link), and if the patch sends no samples. It is not shown where the host refuses the
signal: the host's gate judges every beat, the patch's does not. Every line says whose estimate it is.

A patch does not look at the rhythm. Outputs whose evidence holds for some rhythms only therefore abstain in an estimate
of the patch.
"""

from __future__ import annotations

from dataclasses import replace

from edge.bundle.reader import Bundle
from edge.engine import GATHER_S, Engine, Explains, Output, SessionInfo
from edge.estimate import abstained_by
from edge.frontend.stream import GROUP_DELAY_S, WINDOW_S
from edge.model import Model
from edge.onpatch.check import Check
from edge.onpatch.received import PatchResult, Received
from edge.records import Estimate, LabEstimate, QualityRecord, WindowSpan, utc_text
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem

FRESH_S = 5.0
"""Time that an estimate of a patch may be shown beyond the time until its next, s."""
NEAR_S = 2.0
"""Largest distance of two windows that are compared, s."""
REPEAT_NS = 60_000_000_000
"""Shortest time between two reports of a disagreement, ns."""
_WITHOUT_SAMPLES = {"warming_up", "gap", "stalled"}


class TrustingEngine(Engine):
    """All stages behind one ``push``, and the estimates of the patch beside them.

    Args:
        bundle: A verified bundle.
        model: The loaded model of the bundle.
        session: Values that every estimate carries.
        hop_s: Seconds between estimates.
        gather_s: As for :class:`edge.engine.Engine`.
        reasons: As for :class:`edge.engine.Engine`; estimates of the patch have none.

    Raises:
        BundleError: No patch can compute the calibration of this bundle.
    """

    def __init__(
        self,
        bundle: Bundle,
        model: Model,
        session: SessionInfo,
        hop_s: float = 1.0,
        gather_s: float = GATHER_S,
        reasons: Explains | None = None,
    ) -> None:
        super().__init__(bundle, model, session, hop_s, gather_s, reasons)
        self.check = Check()
        self._received = Received(bundle)
        self._need_rhythm = [head.rhythms is not None for head in bundle.manifest.outputs]
        self._newest: PatchResult | None = None
        self._newest_end_s = 0.0
        self._own: tuple[float, tuple[LabEstimate, ...]] | None = None
        self._told_foreign = self._ended = False
        self._told_ns: int | None = None

    def push(self, item: LinkItem) -> Output:
        """Take the next item of the link.

        Raises:
            InputError: A block has a sampling rate outside the supported range.
        """
        if isinstance(item, LinkEvent) and item.kind is LinkEventKind.ESTIMATE:
            return self._from_patch(item)
        return self._shown(super().push(item))

    def idle(self, now_ns: int) -> Output:
        """Note the time without new data."""
        return self._shown(super().idle(now_ns))

    def finish(self) -> Output:
        """End the recording, and report the comparison."""
        out = self._shown(super().finish())
        if self._newest is not None and not self._ended:
            out.events.append(_info(self._newest.arrival_ns, self.closing()))
        self._ended = True
        return out

    def closing(self) -> str:
        """Return what the run found about the patch's estimates, as one line."""
        refused = self._received.refused
        return self.check.words() + (f"; {refused} messages were not used" if refused else "")

    def _from_patch(self, event: LinkEvent) -> Output:
        out = Output()
        result = self._received.push(event)
        if self._received.foreign and not self._told_foreign:
            self._told_foreign = True
            detail = (
                f"the patch estimates with another model or calibration ({self._received.foreign}) than this bundle "
                f"({self._received.identity}): its estimates are not used; flash the firmware of this bundle"
            )
            facts = {"model": event.data["model"]}
            out.events.append(LinkEvent(LinkEventKind.REFUSED, event.arrival_ns, detail, facts))
        if result is None:
            return out
        self._newest = result
        if result.behind_s is None:
            out.estimates.append(self._alone(result))
            return out
        self._newest_end_s = self.timeline.end_s - GROUP_DELAY_S - result.behind_s
        self._compare(result, out)
        return out

    def _compare(self, result: PatchResult, out: Output) -> None:
        if self._own is None or not result.labs or abs(self._own[0] - self._newest_end_s) > NEAR_S:
            return
        # A patch that ran before the host heard it averages over signal that the host does not have.
        if _averaged_s(result) > self._own[0] + result.hop_s:
            return
        found = self.check.compare(self._anchored(result.labs, result.arrival_ns), self._own[1])
        if found is not None and (self._told_ns is None or result.arrival_ns - self._told_ns >= REPEAT_NS):
            self._told_ns = result.arrival_ns
            out.events.append(_info(result.arrival_ns, f"patch and host disagree: {found}; the host's is shown"))

    def _shown(self, out: Output) -> Output:
        out.estimates[:] = [self._choose(e) for e in out.estimates]
        return out

    def _choose(self, own: Estimate) -> Estimate:
        """Return the host's estimate, or the patch's in its place, with the name of the side that made it."""
        if own.abstained is None:
            self._own = (own.window.end_s, _of_network(own.labs))
            return replace(own, estimated_by="host")
        patch = self._newest
        if patch is None or patch.behind_s is None or not patch.labs or own.abstained not in _WITHOUT_SAMPLES:
            return replace(own, estimated_by="host")
        if all(self._need_rhythm):
            return replace(own, estimated_by="host")
        age_s = own.window.end_s - self._newest_end_s
        if not -NEAR_S <= age_s <= patch.hop_s + FRESH_S:
            return replace(own, estimated_by="host")
        labs = self._anchored(abstained_by(patch.labs, self._need_rhythm), patch.arrival_ns)
        return replace(own, labs=labs, abstained=None, estimated_by="patch")

    def _alone(self, result: PatchResult) -> Estimate:
        """Return the line for an estimate of a patch that sends no samples."""
        end_s = max(result.end_s - GROUP_DELAY_S, 0.0)
        reason, labs = result.abstained, result.labs
        if labs and all(self._need_rhythm):
            reason, labs = "rhythm", ()
        return Estimate(
            time=utc_text(self.session.wall_ns(result.arrival_ns)),
            clock_synced=self.session.clock_synced(),
            session=self.session.session,
            device=self.session.device,
            window=WindowSpan(max(end_s - WINDOW_S, 0.0), end_s),
            bundle=self._bundle_ref,
            quality=QualityRecord(0.0 if reason else 1.0, (reason,) if reason else ()),
            heart_rate_bpm=None,
            labs=self._anchored(abstained_by(labs, self._need_rhythm) if labs else (), result.arrival_ns),
            abstained=reason,
            notice=self._notice,
            applied=self.session.applied,
            patch=self.session.patch,
            estimated_by="patch",
        )

    def _anchored(self, labs: tuple[LabEstimate, ...], arrival_ns: int) -> tuple[LabEstimate, ...]:
        if self.session.anchored is None or not labs:
            return labs
        return self.session.anchored(labs, self.session.wall_ns(arrival_ns))


def _averaged_s(result: PatchResult) -> float:
    """Return the signal from the first to the last window of a patch's estimate, s, if it refused none between."""
    return (result.labs[0].windows - 1) * result.hop_s + WINDOW_S


def _of_network(labs: tuple[LabEstimate, ...]) -> tuple[LabEstimate, ...]:
    """Return the network's own answers: a patch does not fuse them with the waves."""
    return tuple(lab if lab.network is None else lab._replace(**lab.network._asdict(), network=None) for lab in labs)


def _info(arrival_ns: int, detail: str) -> LinkEvent:
    return LinkEvent(LinkEventKind.INFO, arrival_ns, detail)
