"""Simulated patients: couplings, noise, and cohorts in the MC-MED layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.simulate.patient import simulate_patient
    from convert.simulate.write import CohortPlan, write_cohort

__all__ = ["CohortPlan", "simulate_patient", "write_cohort"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "CohortPlan": "write",
            "simulate_patient": "patient",
            "write_cohort": "write",
        },
    )
