"""Typed access to parsed JSON from a bundle or another file of the kit; every error names the path of the value."""

from __future__ import annotations

from typing import ClassVar, Self

from firmware_bridge.errors import AnyEcgError, BundleError
from firmware_bridge.reading import MAX_INTEGER, is_integer, is_number
from firmware_bridge.text import printable


class Reader:
    """Typed access to parsed JSON; every error names the path.

    A reader of another file is a subclass with its own error and advice.

    Attributes:
        error: Class of the errors.
        wrong: What to do about an unexpected value.
        incomplete: What to do about a missing one.
    """

    error: ClassVar[type[AnyEcgError]] = BundleError
    wrong: ClassVar[str] = "this kit did not write the bundle; convert it again"
    incomplete: ClassVar[str] = "the bundle is incomplete; convert it again"

    def __init__(self, value: object, path: str) -> None:
        self.value = value
        self.path = path

    def fail(self, expected: str) -> AnyEcgError:
        """Return the error for an unexpected value."""
        huge = isinstance(self.value, int) and abs(self.value) >= MAX_INTEGER
        found = "a huge number" if huge else repr(self.value)
        found = found if len(found) <= 60 else found[:57] + "..."
        return self.error(f"{self.path}: expected {expected}, found {found}", self.wrong)

    def get(self, key: str) -> Self:
        """Return the member ``key`` of an object."""
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        if key not in self.value:
            raise self.error(f"{self.path}: '{key}' is missing", self.incomplete)
        return type(self)(self.value[key], f"{self.path}.{key}")

    def opt(self, key: str) -> Self:
        """Return the member ``key``, or null if it is absent."""
        if isinstance(self.value, dict) and key not in self.value:
            return type(self)(None, f"{self.path}.{key}")
        return self.get(key)

    def items(self, limit: int) -> list[Self]:
        """Return the elements of an array of at most ``limit``."""
        if not isinstance(self.value, list) or len(self.value) > limit:
            raise self.fail(f"an array of at most {limit}")
        return [type(self)(v, f"{self.path}[{i}]") for i, v in enumerate(self.value)]

    def pairs(self) -> list[tuple[str, Self]]:
        """Return the members of an object."""
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        return [(printable(k), type(self)(v, f"{self.path}.{printable(k)}")) for k, v in self.value.items()]

    def text(self) -> str:
        """Return a string of at most 4096 characters."""
        if not isinstance(self.value, str) or len(self.value) > 4096:
            raise self.fail("a string")
        return printable(self.value)

    def text_or_none(self) -> str | None:
        """Return a string or ``None``."""
        return None if self.value is None else self.text()

    def number(self) -> float:
        """Return a finite number."""
        if not is_number(self.value):
            raise self.fail("a finite number")
        return float(self.value)

    def number_or_none(self) -> float | None:
        """Return a finite number or ``None``."""
        return None if self.value is None else self.number()

    def integer(self) -> int:
        """Return an integer."""
        if not is_integer(self.value):
            raise self.fail("an integer")
        return self.value

    def boolean(self) -> bool:
        """Return a boolean."""
        if not isinstance(self.value, bool):
            raise self.fail("true or false")
        return self.value

    def one_of(self, *choices: str) -> str:
        """Return a string that is one of ``choices``."""
        if self.value not in choices:
            raise self.fail(" or ".join(repr(c) for c in choices))
        return self.value
