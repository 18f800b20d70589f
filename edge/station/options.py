"""The patches that a user names, with ``--source`` or with ``[[patch]]``, checked before anything starts."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge.sinks.mqtt.names import slug
from edge.sources import SourceUrl
from firmware_bridge.errors import UsageError
from firmware_bridge.suggest import did_you_mean

MAX_PATCHES = 200
"""Most patches in one process."""
KEYS = ("name", "source", "device_profile", "person", "baseline", "session_dir")
"""Keys of a ``[[patch]]`` table; a dash may stand for the underscore."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)=([A-Za-z]+:.*)", re.DOTALL)
_PORT = re.compile(r"tty[A-Za-z0-9]{1,28}")


@dataclass(frozen=True, slots=True)
class PatchOptions:
    """What a user says about one patch.

    Attributes:
        name: Its name, in estimates, session folders and on displays.
        source: URL of its source.
        named: Whether the user has chosen the name.
        device_profile: File of its device profile; ``None`` for none.
        person: File of the results of the person who wears it; ``None`` for none.
        baseline: File of the quiet hour of the person who wears it; ``None`` for none.
        session_dir: Its session folder; ``None`` for one of its name in the folder of the station.
    """

    name: str
    source: str
    named: bool = True
    device_profile: str | None = None
    person: str | None = None
    baseline: str | None = None
    session_dir: str | None = None


def named_source(text: str) -> tuple[str, str]:
    """Split ``NAME=URL``; the name is empty if the text is only a URL."""
    found = _NAMED.fullmatch(text)
    return ("", text) if found is None else (found[1], found[2])


def from_sources(texts: Sequence[str]) -> list[PatchOptions]:
    """Return the patches of several ``--source``, each ``URL`` or ``NAME=URL``.

    Raises:
        UsageError: A URL or name is invalid, or two patches have the same source or name.
    """
    pairs = [named_source(text) for text in texts]
    return _checked([PatchOptions(name, url, named=bool(name)) for name, url in pairs])


def from_tables(tables: Sequence[Mapping[str, object]], file: Path) -> list[PatchOptions]:
    """Return the patches of the ``[[patch]]`` tables of a file. Paths in it are relative to the working folder.

    Raises:
        UsageError: A table has a missing, unknown or invalid key, or two patches have the same source or name.
    """
    out = []
    for number, table in enumerate(tables, 1):
        where = f"{file}: [[patch]] number {number}"
        values: dict[str, str] = {}
        for key, value in table.items():
            name = key.replace("-", "_")
            if name not in KEYS:
                known = ", ".join(one.replace("_", "-") for one in KEYS)
                fix = f"{did_you_mean(key, KEYS)}keys of a patch: {known}; other options stand above the tables"
                raise UsageError(f"{where}: unknown key '{key}'", fix)
            if not isinstance(value, str) or not value:
                raise UsageError(f"{where}: '{key}' must be a text that is not empty")
            values[name] = value
        if "source" not in values:
            raise UsageError(f"{where} has no source", 'add source = "URL"; anyecg scan prints it')
        name = values.pop("name", "")
        out.append(PatchOptions(name, values.pop("source"), named=bool(name), **values))
    return _checked(out)


def _checked(patches: Sequence[PatchOptions]) -> list[PatchOptions]:
    if len(patches) > MAX_PATCHES:
        raise UsageError(f"{len(patches)} patches are too many for one process", f"name at most {MAX_PATCHES}")
    for patch in patches:
        if patch.named and not _NAME.fullmatch(patch.name):
            raise UsageError(
                f"{patch.name!r} is not a name for a patch",
                "use up to 32 of A-Z, a-z, 0-9, - and _, a letter or digit first",
            )
    out = _with_names(patches)
    _refuse_the_same_name(out)
    _refuse_the_same_source(out)
    _refuse_the_same_folder(out)
    return out


def _with_names(patches: Sequence[PatchOptions]) -> list[PatchOptions]:
    """Return the patches, each with a name: that of its port or device, and a number if several would share one."""
    taken = {slug(patch.name) for patch in patches if patch.named}
    bases = ["" if patch.named else _base_name(patch.source) for patch in patches]
    number_of, often, out = Counter[str](), Counter(bases), []
    for patch, base in zip(patches, bases, strict=True):
        name = patch.name or base
        while not patch.named and (often[base] > 1 or slug(name) in taken):
            number_of[base] += 1
            name = f"{base}-{number_of[base]}"
            if slug(name) not in taken:
                break
        taken.add(slug(name))
        out.append(replace(patch, name=name))
    return out


def _base_name(source: str) -> str:
    """Return a name from a source that says nothing of a person and no address."""
    url = _inner(SourceUrl.parse(source))
    port = Path(url.path).name
    if url.scheme == "serial" and _PORT.fullmatch(port):
        return port
    if url.scheme == "replay":
        return "recording"
    device = url.path.partition("/")[0] if url.scheme == "ble" else url.params.get("device", "")
    default = url.scheme if url.scheme not in {"serial", "tcp"} else "patch"
    return device if _NAME.fullmatch(device) and len(device) <= 28 else default  # room for a number


def _refuse_the_same_name(patches: Sequence[PatchOptions]) -> None:
    seen: dict[str, PatchOptions] = {}
    for patch in patches:
        # Topics have neither capitals nor dashes, and some file systems no capitals.
        other = seen.setdefault(slug(patch.name), patch)
        if other is not patch:
            both = patch.name if other.name == patch.name else f"{other.name} and {patch.name}"
            raise UsageError(f"two patches have the name {both}", "give each a name of its own")


def _refuse_the_same_source(patches: Sequence[PatchOptions]) -> None:
    seen: dict[tuple[str, ...], PatchOptions] = {}
    anyone: dict[str, PatchOptions] = {}
    for patch in patches:
        url = _inner(SourceUrl.parse(patch.source))
        other = seen.setdefault(_identity(url), patch)
        if other is not patch:
            fix = "give each its own port or address" if url.scheme not in {"sim", "replay"} else "name it once"
            raise UsageError(f"the patches {other.name} and {patch.name} have the same source {patch.source!r}", fix)
        if url.scheme == "ble" and "/" not in url.path and "name" not in url.params:
            anyone[url.path.lower()] = patch
    for patch in patches:
        url = _inner(SourceUrl.parse(patch.source))
        one = anyone.get(url.path.partition("/")[0].lower()) if url.scheme == "ble" else None
        if one is not None and one is not patch:
            raise UsageError(
                f"the source {one.source!r} of {one.name} names any such device, also that of {patch.name}",
                "give each its address; anyecg scan prints it",
            )


def _refuse_the_same_folder(patches: Sequence[PatchOptions]) -> None:
    seen: dict[str, PatchOptions] = {}
    for patch in patches:
        if patch.session_dir is None:
            continue
        other = seen.setdefault(os.path.realpath(patch.session_dir), patch)
        if other is not patch:
            raise UsageError(
                f"the patches {other.name} and {patch.name} have the same session folder", "give each its own"
            )


def _inner(url: SourceUrl) -> SourceUrl:
    return SourceUrl.parse(url.rest.partition(",")[2]) if url.scheme == "record" else url


def _identity(url: SourceUrl) -> tuple[str, ...]:
    """Return what two URLs of the same device share."""
    if url.scheme == "serial":
        # A port has several names: /dev/ttyACM0, /dev/serial/by-id/...
        return "serial", os.path.realpath(url.path)
    if url.scheme == "ble":
        device, _slash, address = url.path.lower().partition("/")
        return ("ble", address.replace("-", ":")) if address else ("ble", device, url.params.get("name", ""))
    if url.scheme == "tcp":
        return "tcp", url.path.strip("/").lower()
    path = os.path.realpath(Path(url.path).expanduser()) if url.scheme == "replay" else url.path
    kept = sorted(f"{key}={value}" for key, value in url.params.items() if key not in {"speed", "wait"})
    return url.scheme, path, *kept
