"""Refuse labelled data whose results could not be trusted, before hours of recordings are processed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

import numpy as np

from calibration.checks.duplicates import refuse_duplicates
from calibration.checks.plausible import refuse_other_unit
from calibration.validate.labelled import Labelled, labels_for
from convert.datasets.heads import TeacherHead
from convert.labels.plan import LabelPlan
from convert.teacher.hard_labels import TABLE, by_table, check_some_label


def check_labelled(
    data: Labelled, heads: Sequence[TeacherHead], plan: LabelPlan | None = None, progress: TextIO | None = None
) -> list[str]:
    """Check labels, units and recordings.

    Args:
        data: The labelled recordings.
        heads: Outputs of the model.
        plan: Rules from timed results to labels; ``None`` for those of the kit.
        progress: Stream for the progress line, or ``None``.

    Returns:
        Remarks for the report, one sentence each.

    Raises:
        InputError: There is no label, labels contradict each other, values are in another unit, or two recordings hold
            the same samples; the message names the lines.
    """
    remarks: list[str] = []
    if by_table(data.folder):
        n = len(data.recordings)
        # One window of each recording shows the whole table, because its labels hold for whole recordings.
        truth = labels_for(data, heads, np.arange(n, dtype=np.int32), np.zeros(n))
        for j, head in enumerate(heads):
            if head.is_value:
                known = truth[np.isfinite(truth[:, j]), j]
                remarks += refuse_other_unit(head, known.tolist(), str(data.folder / TABLE))
    else:
        check_some_label(data.folder, heads, data.recordings, plan)
    refuse_duplicates(data, progress)
    return remarks
