"""Names of files in a bundle that more than one stage reads or writes."""

from __future__ import annotations

FLOAT_FILE = "validation/float.tflite"
"""The float form of a student, kept so that its int8 form can be compared with it."""
