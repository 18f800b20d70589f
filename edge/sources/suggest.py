"""The source URL that a user probably meant by a text that is none. Loaded only for the message of an error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from firmware_bridge import devices
from firmware_bridge.suggest import closest

_SERIAL = re.compile(r"(/dev/|COM\d+$|tty[A-Z])", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]{2,}$")
_BLE_ADDRESS = re.compile(r"[0-9A-F]{2}([:-][0-9A-F]{2}){5}$", re.IGNORECASE)
_HOST_PORT = re.compile(r"[\w.\-]+:\d{1,5}$|\[[0-9a-f:]+\]:\d{1,5}$", re.IGNORECASE)
_RECORDING = re.compile(r"\.(aer|csv|tsv|txt|edf|bdf|hea|dat|mat|json|jsonl|xml|npy|wav)(\.gz)?$", re.IGNORECASE)


def source_for(text: str, schemes: Iterable[str]) -> str | None:
    """Return the source URL that a text probably means; ``None`` if it looks like none.

    Args:
        text: What the user wrote.
        schemes: The schemes that exist.
    """
    text = text.strip()
    front, colon, rest = text.partition(":")
    bare, mark, query = text.partition("?")
    if _SERIAL.match(text):
        port = text if text.startswith("/") or text.upper().startswith("COM") else f"/dev/{text}"
        return f"serial:{port}"
    if colon and _WORD.match(front) and (scheme := closest(front, schemes)) is not None:
        return f"{scheme}:{rest}"
    if _BLE_ADDRESS.match(bare):
        return f"ble:DEVICE/{text}"
    if (device := closest(bare.partition("/")[0], devices.names())) is not None and not _exists(bare):
        return _of_device(device, bare, mark + query)
    if _HOST_PORT.match(bare):
        return f"tcp:{text}"
    if (_RECORDING.search(bare) and "://" not in text) or _exists(bare):
        return f"replay:{text}"
    return None


def _of_device(device: str, bare: str, query: str) -> str:
    profile = devices.get(device).profile
    address = bare.partition("/")[2]
    if "ble" in profile.transports:
        return f"ble:{device}{'/' if address else ''}{address}{query}"
    return f"{profile.transports[0]}:{'HOST:PORT' if profile.transports[0] == 'tcp' else 'PORT'}?device={device}"


def _exists(path: str) -> bool:
    try:
        return bool(path) and Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False
