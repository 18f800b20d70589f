"""Subcommands for calibration and validation, one module each. A module is imported when its subcommand runs."""

from __future__ import annotations

__all__: list[str] = []
