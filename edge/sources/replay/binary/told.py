"""What the readers of binary formats decided, in the words of `Decided`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.sources.decided import Decided, scale_text
from edge.sources.replay.base import ReadOptions, is_lead_name


def tell(
    form: str,
    names: Sequence[str],
    index: int,
    options: ReadOptions,
    rate: tuple[float, str],
    scale: tuple[str, float | None, str],
    *,
    clock: str = "none",
    more: Mapping[str, object] | None = None,
) -> Decided:
    """Return the decisions of a reader.

    Args:
        form: Name of the format.
        names: Names of the recording's signals.
        index: The signal that was taken.
        options: What the user stated; it goes before what the file states.
        rate: Sampling rate, Hz, and where the file states it.
        scale: Unit of the samples, millivolts per count or ``None``, and where the file states the scale.
        clock: What shows gaps.
        more: Further facts.
    """
    unit, lsb_mv, scale_from = scale
    known = unit == "mV" or lsb_mv is not None
    stated = "lsb_mv=" if options.lsb_mv is not None else "unit=" if options.unit is not None else ""
    return Decided(
        format=form,
        lead=names[index],
        lead_from=_lead_from(names, index, options),
        rate_hz=rate[0],
        rate_from="fs=" if options.fs_hz is not None else rate[1],
        scale=scale_text(unit, lsb_mv),
        scale_from=(stated or scale_from) if known else "",
        clock=clock,
        more=more or {},
    )


def _lead_from(names: Sequence[str], index: int, options: ReadOptions) -> str:
    if options.lead is not None:
        return "lead="
    if options.column is not None:
        return "column="
    if len(names) == 1:
        return "the only signal"
    return "named as an ECG" if is_lead_name(names[index]) else "a guess"
