"""Recordings in binary formats: EDF and BDF, WFDB, MATLAB. The kit reads each in pieces of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.sources.replay.binary.edf import EdfReader
    from edge.sources.replay.binary.mat import MatReader
    from edge.sources.replay.binary.wfdb_record import WfdbReader

__all__ = ["EdfReader", "MatReader", "WfdbReader"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "EdfReader": "edf",
            "MatReader": "mat",
            "WfdbReader": "wfdb_record",
        },
    )
