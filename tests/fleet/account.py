"""What a patient's hops are, in one hash: of the publisher, and of what a store returns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple


class Account(NamedTuple):
    """The hops of one patient.

    Attributes:
        hops: How many there are.
        digest: Hash of all of them, in the order of their windows.
    """

    hops: int
    digest: str


class Ledger:
    """Adds hops up, in the order of their windows."""

    def __init__(self) -> None:
        self._hops = 0
        self._hash = hashlib.sha256()

    def add(self, end_us: int, time: datetime, reason: str | None, values: Sequence[float | None]) -> None:
        """Add a hop."""
        self._hops += 1
        ms = round(time.astimezone(UTC).timestamp() * 1000)
        # Six digits, as they are published: a database holds four-byte numbers.
        texts = [f"{value:.6g}" if value is not None else "-" for value in values]
        self._hash.update(f"{end_us} {ms} {reason} {' '.join(texts)}\n".encode())

    def account(self) -> Account:
        """Return the sum."""
        return Account(self._hops, self._hash.hexdigest())


def differences(published: dict[str, Account], stored: dict[str, Account]) -> list[str]:
    """Return what is missing, too much, or different, patient by patient."""
    found = [f"{name}: nobody published it" for name in sorted(stored.keys() - published.keys())]
    for name, account in sorted(published.items()):
        other = stored.get(name, Account(0, ""))
        if other.hops != account.hops:
            found.append(f"{name}: {account.hops} published, {other.hops} stored")
        elif other.digest != account.digest:
            found.append(f"{name}: {account.hops} stored, and not as they were published")
    return found


def of_rows(rows: Iterable[tuple[str, int, datetime, str | None, Sequence[float | None] | None]]) -> dict[str, Account]:
    """Return the accounts of rows of a store, ordered by patch and end of the window."""
    ledgers: dict[str, Ledger] = {}
    for patch, end_us, time, reason, values in rows:
        ledgers.setdefault(patch, Ledger()).add(end_us, time, reason, values or ())
    return {patch: ledger.account() for patch, ledger in ledgers.items()}
