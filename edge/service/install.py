"""Installs and removes an instance of the service. Both may be repeated."""

from __future__ import annotations

from pathlib import Path

from edge.process.files import output_error
from edge.service.place import Place, instance, read
from edge.service.unit import TEMPLATE, need_visible, render, sealed
from firmware_bridge.errors import UsageError

REMOVED = ".removed"
"""Suffix of the options of a removed instance."""


def install(place: Place, name: str, options: str | None, *, force: bool = False, start: bool = True) -> list[str]:
    """Write unit and options, enable the instance, and start it or restart it if something changed.

    Args:
        place: The system.
        name: Name of the instance.
        options: Text of its options; ``None`` to use those that are there.
        force: Whether to replace a unit or options that were written by hand.
        start: Whether to start it now.

    Returns:
        What was done, lines for the user.

    Raises:
        UsageError: Something written by hand would be replaced, an earlier unit is in the way, or the service could not
            see the kit.
        OutputError: A file cannot be written.
        CheckFailedError: systemd refuses it, or it does not start.
    """
    if place.live:
        need_visible()
    unit, before = render(groups=place.groups()), read(place.unit)
    _refuse_to_overwrite(place, name, options, unit if force else before, force=force)
    changed = place.write(place.unit, unit)
    altered = options is not None and place.write(place.options(name), options)
    if not place.live:
        _link(place, name)
        done = "written and enabled"
    else:
        if changed:
            place.systemctl("daemon-reload")
        place.systemctl("enable", instance(name))
        done = "enabled"
        if start:
            place.systemctl("restart" if changed or altered else "start", instance(name))
            done = "enabled and restarted" if changed or altered else "enabled and running; nothing has changed"
    others = [other for other in place.names() if other != name]
    lines = [f"{instance(name)}: {done}", *where(place, name)]
    if changed and before is not None and others and place.live:
        units = " ".join(instance(other) for other in others)
        lines.append(f"The unit has changed for all: sudo systemctl restart {units}")
    return lines


def where(place: Place, name: str) -> list[str]:
    """Return where unit, options, recordings and messages of an instance are."""
    return [
        f"  unit        {place.unit}",
        f"  options     {place.options(name)}",
        f"  recordings  {place.recordings(name)}",
        f"  messages    journalctl -f -u {instance(name)}",
    ]


def remove(place: Place, name: str) -> list[str]:
    """Stop an instance and disable it; keep its recordings.

    Returns:
        What was done, lines for the user.

    Raises:
        UsageError: There is no such instance.
        OutputError: A file cannot be changed.
        CheckFailedError: systemd refuses it.
    """
    options = place.options(name)
    if name not in place.names():
        known = ", ".join(place.names())
        raise UsageError(
            f"there is no service {instance(name)}", f"installed: {known}" if known else "none is installed"
        )
    if place.live:
        place.systemctl("disable", "--now", instance(name))
    kept = options.with_suffix(options.suffix + REMOVED)
    try:
        place.wanted(name).unlink(missing_ok=True)
        options.replace(kept)
        last = not place.names()
        own = last and sealed(read(place.unit) or "")
        if own:
            place.unit.unlink()
    except OSError as error:
        raise output_error(options, error) from None
    if place.live:
        place.systemctl("daemon-reload")
    lines = [f"{instance(name)}: stopped and disabled", f"  its options are kept in {kept}"]
    lines.append(f"  its recordings stay in {place.recordings(name)}; delete them by hand")
    if last and not own and place.unit.exists():
        lines.append(f"  {place.unit} was changed by hand and stays")
    return lines


def _refuse_to_overwrite(place: Place, name: str, options: str | None, unit: str | None, *, force: bool) -> None:
    if place.old_unit.exists():
        raise UsageError(
            f"{place.old_unit} of an earlier version is still there",
            f"sudo systemctl disable --now anyecg; sudo rm {place.old_unit} {place.root / 'var/lib/anyecg'}"
            " (the second is a link; the recordings stay in /var/lib/private/anyecg)",
        )
    if unit is not None and not sealed(unit):
        raise UsageError(
            f"{place.unit} was changed by hand",
            f"put your changes into 'sudo systemctl edit {TEMPLATE}', then add --force to replace it",
        )
    there = read(place.options(name))
    if options is not None and there not in {None, options} and not force:
        raise UsageError(
            f"{place.options(name)} has other options", "leave out --source to use them, or add --force to replace them"
        )


def _link(place: Place, name: str) -> None:
    link = place.wanted(name)
    try:
        link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path("/etc/systemd/system") / TEMPLATE)
    except OSError as error:
        raise output_error(link, error) from None
