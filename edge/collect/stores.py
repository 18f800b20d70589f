"""What a store promises, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edge.collect.hops import Availability, Event, Hop


class StoreDownError(Exception):
    """The store cannot take anything now, and may later; the text is for people and holds no password."""


class Refused(Protocol):
    """Takes the number of hops that the store itself refuses, and why."""

    def __call__(self, count: int, why: str) -> None:
        """Count them."""


@dataclass(slots=True)
class Batch:
    """What is written in one transaction."""

    hops: list[Hop] = field(default_factory=list)
    availability: list[Availability] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.hops) + len(self.availability) + len(self.events)


class Store(Protocol):
    """A place for hops.

    Attributes:
        place: The store as messages name it, without a password.
        most: Largest number of messages in a batch.
        patience_s: Longest time that a message waits for others of its batch, s.
    """

    place: str
    most: int
    patience_s: float

    def open(self) -> None:
        """Connect, and make the tables.

        Raises:
            StoreDownError: It cannot be reached now.
            AnyEcgError: It can never be used.
        """

    def write(self, batch: Batch, refused: Refused) -> int:
        """Store a batch in one transaction, which has reached the disk when this returns.

        Returns:
            The number of hops that were not there before.

        Raises:
            StoreDownError: It cannot be written now; nothing of the batch counts as stored.
        """

    def patches_of(self, session: str) -> list[str]:
        """Return the patches that have a session of this name.

        Raises:
            StoreDownError: It cannot be read now.
        """

    def tend(self, *, everything: bool = False) -> None:
        """Do what is due: remove what is too old, merge files.

        Args:
            everything: Whether to do it now, and completely.

        Raises:
            StoreDownError: It cannot be written now.
        """

    def close(self) -> None:
        """Close it."""
