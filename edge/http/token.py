"""The token that opens the page, and the cookie that stands for it in a browser."""

from __future__ import annotations

import os
import re

# What hmac exports, too; importing hmac loads OpenSSL's libcrypto: 4 MiB.
from _operator import _compare_digest as compare_digest
from collections.abc import Mapping
from pathlib import Path

from edge.process.secret import credential, read_secret
from firmware_bridge.errors import UsageError

TOKEN_VARIABLE = "ANYECG_HTTP_TOKEN"  # noqa: S105 - the name of a variable
CREDENTIAL = "http-token"
"""Name of the token among systemd's credentials."""
MIN_CHARS = 12
"""Shortest token; a shorter one could be guessed."""
MAX_CHARS = 256
_TOKEN = re.compile(r"[\x21-\x7e]+")
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 characters that are hard to confuse when they are typed on a phone."""
NEW_CHARS = 26
"""Length of a new token: 130 bits."""


def new_token() -> str:
    """Return a random token."""
    return "".join(_ALPHABET[byte & 31] for byte in os.urandom(NEW_CHARS))


def given_token(file: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token from the file, the environment or systemd's credentials; ``None`` if there is none.

    Args:
        file: File that ``--http-token-file`` names.
        environment: Variables of the process.

    Raises:
        UsageError: The file cannot be used, or the token is too short or not printable ASCII.
    """
    if file is not None:
        return checked(read_secret(Path(file), "token"))
    if TOKEN_VARIABLE in environment:
        return checked(environment[TOKEN_VARIABLE])
    found = credential(CREDENTIAL, "token", environment)
    return None if found is None else checked(found)


def checked(token: str) -> str:
    """Return a token that is usable.

    Raises:
        UsageError: It is not. The message does not repeat it.
    """
    if not MIN_CHARS <= len(token) <= MAX_CHARS or not _TOKEN.fullmatch(token):
        raise UsageError(
            "the token of the page is not usable",
            f"use {MIN_CHARS} to {MAX_CHARS} letters, digits and signs, without blanks",
        )
    return token


class Door:
    """Decides who may see the page.

    Args:
        token: The token; ``None`` to let everybody in, on an address that only this computer reaches.
    """

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()
        # Random, so that nobody can try tokens by way of the cookie; it ends with the run.
        self._cookie = None if token is None else os.urandom(32).hex()

    @property
    def open(self) -> bool:
        """Whether everybody may enter."""
        return self._token is None

    @property
    def cookie(self) -> str:
        """The value of the cookie; empty without a token."""
        return self._cookie or ""

    def is_token(self, text: str) -> bool:
        """Return whether this is the token, in a time that does not depend on where they differ."""
        return self._token is not None and compare_digest(text.encode("utf-8", "replace"), self._token)

    def is_cookie(self, text: str) -> bool:
        """Return whether this is the cookie, in a time that does not depend on where they differ."""
        return self._cookie is not None and compare_digest(text.encode("utf-8", "replace"), self._cookie.encode())
