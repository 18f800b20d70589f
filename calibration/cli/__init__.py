"""Subcommands that judge and calibrate, one module each. Modules are loaded by name when a subcommand runs."""

from __future__ import annotations

__all__: list[str] = []
