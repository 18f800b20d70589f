"""Bundles installed in a folder, of which one is current and the one before is kept.

::

    DIR/current                  -> versions/ID/bundle; the only thing that a switch changes, by one rename
    DIR/versions/ID/bundle/      an installed bundle, complete and tested
    DIR/versions/ID/previous     the ID of the bundle that was current before it
    DIR/staging-ID               a bundle that is being written; the next installation removes it

A new bundle is written, synced and tested before the link is turned, so that whenever the process ends, the link leads
to a bundle that has passed. It is tested again from its place; if that fails, the link goes back.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge.bundle.files import MANIFEST, open_files
from edge.bundle.reader import MAX_MANIFEST_BYTES, Bundle, load_bundle
from edge.bundle.signature import SIGNATURE
from edge.process.files import output_error, sync_folder, write_atomically
from firmware_bridge.errors import BundleError, OutputError
from firmware_bridge.posix import CLOSE_ON_EXEC, NO_FOLLOW, lock

CURRENT = "current"
_VERSIONS, _BUNDLE, _PREVIOUS, _STAGING, _LINK, _LOCK = "versions", "bundle", "previous", "staging-", ".link", ".lock"
_ID = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}")
"""Start of the manifest's SHA-256, and eight random digits. Nothing with another name is ever removed."""

Check = Callable[[Bundle], None]
"""Tests a bundle on this machine; raises if it must not be used."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What an installation or a return has done.

    Attributes:
        current: The link, which is the path for ``--bundle``.
        bundle: The bundle that it leads to.
        changed: Whether the link has been turned.
        kept: Folder of the earlier bundle to which :func:`go_back` returns; ``None`` for none.
    """

    current: Path
    bundle: Bundle
    changed: bool
    kept: Path | None


def install_bundle(source: Bundle, root: Path, check: Check) -> Installed:
    """Make a bundle the current one of a folder.

    Args:
        source: The verified bundle to install.
        root: The folder; created if it is missing.
        check: Tests a bundle: the written copy before the link is turned, and again through the link.

    Raises:
        BundleError: The bundle changed while it was copied, or failed its test. The bundle before stays current.
        OutputError: The folder cannot be written, holds another ``current``, or another installation is running.
        AnyEcgError: ``check`` raised it; the bundle before stays current.
    """
    with _locked(root):
        before = _current_id(root)
        _clean(root, before)
        if before is not None and _is_same(_place(root, before), source):
            return _done(root, before, changed=False)
        good = _last_good(root, before)
        new = _staged(source, root, good, check)
        try:
            _turn(root, new)
            check(_same(root / CURRENT, source))
        except BaseException:
            _return(root, good)
            raise
        _clean(root, new)
        return _done(root, new, changed=True)


def go_back(root: Path, check: Check) -> Installed:
    """Make the bundle before the current one the current one.

    Raises:
        BundleError: There is no earlier bundle, or it is damaged or fails its test; nothing has changed then.
        OutputError: The folder cannot be written, or another installation is running.
        AnyEcgError: ``check`` raised it; nothing has changed then.
    """
    if _linked_id(root) is None:
        raise BundleError(f"no bundle is installed in {root}", "install one: anyecg bundle install FILE --to DIR")
    with _locked(root):
        before = _linked_id(root)
        kept = None if before is None else _kept(root, before)
        if kept is None:
            raise BundleError(f"{root} keeps no earlier bundle", "install the one that you want")
        check(load_bundle(kept))
        _turn(root, kept.parent.name)
        return _done(root, kept.parent.name, changed=True)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Create the folder and keep other installations out; turn errors of the disk into one line."""
    try:
        (root / _VERSIONS).mkdir(parents=True, exist_ok=True)
        if os.path.lexists(root / CURRENT) and _linked_id(root) is None:
            raise OutputError(f"{root / CURRENT} is not a link of an installation", "name another folder")
        fd = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | CLOSE_ON_EXEC | NO_FOLLOW, 0o644)
        try:
            try:
                lock(fd)
            except BlockingIOError:
                raise OutputError(f"another installation into {root} is running", "wait for its end") from None
            yield
        finally:
            os.close(fd)
    except OSError as e:
        raise output_error(root, e) from None


def _done(root: Path, name: str, *, changed: bool) -> Installed:
    return Installed(root / CURRENT, load_bundle(root / CURRENT), changed, _kept(root, name))


def _place(root: Path, name: str) -> Path:
    return root / _VERSIONS / name / _BUNDLE


def _linked_id(root: Path) -> str | None:
    """Return the ID in the link; ``None`` if there is no link or it was not made here."""
    link = root / CURRENT
    target = link.readlink() if link.is_symlink() else Path()
    name = target.parent.name
    return name if _ID.fullmatch(name) and target == Path(_VERSIONS, name, _BUNDLE) else None


def _current_id(root: Path) -> str | None:
    """Return the ID of the current bundle; ``None`` if there is none or its folder is lost."""
    name = _linked_id(root)
    return name if name is not None and _place(root, name).is_dir() else None


def _last_good(root: Path, current: str | None) -> str | None:
    """Return the ID of the current bundle or, if that is damaged, of the one before it."""
    if current is None or _is_whole(_place(root, current)):
        return current
    kept = _kept(root, current)
    return kept.parent.name if kept is not None and _is_whole(kept) else current


def _kept(root: Path, name: str) -> Path | None:
    """Return the folder of the bundle before a version, if it is still there."""
    try:
        with (root / _VERSIONS / name / _PREVIOUS).open("rb") as file:
            before = file.read(64).decode("ascii", "replace")
    except FileNotFoundError:
        return None
    place = _place(root, before)
    return place if _ID.fullmatch(before) and before != name and place.is_dir() else None


def _is_whole(place: Path) -> bool:
    try:
        load_bundle(place)
    except BundleError:
        return False
    return True


def _is_same(place: Path, source: Bundle) -> bool:
    try:
        _same(place, source)
    except BundleError:
        return False
    return True


def _same(place: Path, source: Bundle) -> Bundle:
    """Read what was written; raise if it is not the bundle that was to be installed."""
    found = load_bundle(place)
    if (found.sha256, found.signature) != (source.sha256, source.signature):
        raise BundleError(f"{source.path} changed while it was copied", "install it when nothing writes to it")
    return found


def _staged(source: Bundle, root: Path, before: str | None, check: Check) -> str:
    """Write a version of its own and test it; return its ID."""
    name = f"{source.sha256[:16]}-{os.urandom(4).hex()}"
    staging = root / f"{_STAGING}{name}"
    try:
        _copy(source, staging / _BUNDLE)
        write_atomically(staging / _PREVIOUS, before or "")
        check(_same(staging / _BUNDLE, source))
        for folder in [*(p for p in staging.rglob("*") if p.is_dir()), staging]:
            sync_folder(folder)
        staging.rename(root / _VERSIONS / name)
        sync_folder(root / _VERSIONS)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return name


def _copy(source: Bundle, target: Path) -> None:
    files = open_files(source.path)
    members = {MANIFEST: MAX_MANIFEST_BYTES, **{name: size for name, (_, size) in source.manifest.files.items()}}
    for name, size in members.items():
        _write(files.chunks(name, size), _inside(target, name))
    if source.signature is not None:
        _write([source.signature.to_bytes()], target / SIGNATURE)


def _inside(target: Path, name: str) -> Path:
    """Return the path of a member, whose name must be the only spelling of a path inside the bundle."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name:
        raise BundleError(f"the bundle holds the path '{name}', which leaves it", "do not trust this file")
    return target / path


def _write(chunks: Iterable[bytes], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except (FileExistsError, NotADirectoryError):
        raise BundleError(f"the bundle holds '{path.name}' twice", "do not trust this file") from None


def _turn(root: Path, name: str) -> None:
    """Let the link lead to another version, by one rename."""
    link = root / _LINK
    link.unlink(missing_ok=True)
    link.symlink_to(Path(_VERSIONS, name, _BUNDLE), target_is_directory=True)
    link.replace(root / CURRENT)
    sync_folder(root)


def _return(root: Path, name: str | None) -> None:
    """Let the link lead to what it led to before an installation that failed, and remove that one."""
    if name is None:
        (root / CURRENT).unlink(missing_ok=True)
        sync_folder(root)
    else:
        _turn(root, name)
    _clean(root, name)


def _clean(root: Path, current: str | None) -> None:
    """Remove what ended processes have left, and every version but the current one and the one before it."""
    (root / _LINK).unlink(missing_ok=True)
    for left in root.glob(f"{_STAGING}*"):
        if _ID.fullmatch(left.name.removeprefix(_STAGING)):
            shutil.rmtree(left, ignore_errors=True)
    if current is None:
        return
    before = _kept(root, current)
    wanted = {current, *([] if before is None else [before.parent.name])}
    for version in (root / _VERSIONS).iterdir():
        if version.name not in wanted and _ID.fullmatch(version.name):
            shutil.rmtree(version, ignore_errors=True)
