"""Names of files in a bundle that several stages read or write."""

from __future__ import annotations

FLOAT_FILE = "validation/float.tflite"
"""The float form of a student, stored so that the int8 form can be compared with it."""
