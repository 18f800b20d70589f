"""Names of the methods of :mod:`convert.stats.methods`, without any library, so that a help appears at once."""

from __future__ import annotations

from typing import Literal, get_args

Method = Literal["none", "temperature", "platt", "isotonic"]
METHODS: tuple[Method, ...] = get_args(Method)
"""Methods from the simplest to the most flexible."""
