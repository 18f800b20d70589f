"""The file formats of ``anyecg export``: tables as CSV and Parquet, WFDB records, EDF+ files, FHIR Bundles."""

from __future__ import annotations

__all__: list[str] = []
