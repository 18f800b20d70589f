"""The C library's test vectors and its self-test program."""

from __future__ import annotations

from helpers.c_side import C_SIDE

SELFTEST = C_SIDE / "examples" / "selftest"


def rows(name: str) -> list[list[str]]:
    lines = (C_SIDE / "vectors" / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]
