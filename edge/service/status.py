"""The state of the services in plain words, from ``systemctl show``."""

from __future__ import annotations

from dataclasses import dataclass

from edge.service.place import Place, instance
from firmware_bridge.errors import (
    AnyEcgError,
    BundleError,
    InputError,
    LinkError,
    MissingExtraError,
    OutputError,
    UsageError,
)
from firmware_bridge.text import printable

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "Result",
    "ExecMainStatus",
    "NRestarts",
    "StatusText",
    "ActiveEnterTimestamp",
)
_MEANINGS: dict[str, str] = {
    str(UsageError.exit_code): "an option is wrong",
    str(InputError.exit_code): "a file cannot be read",
    str(BundleError.exit_code): "the bundle cannot be used",
    str(LinkError.exit_code): "the patch cannot be opened",
    str(MissingExtraError.exit_code): "a library is missing",
    str(OutputError.exit_code): "results cannot be written",
    str(AnyEcgError.exit_code): "a check failed",
    "70": "an internal error",
}


@dataclass(frozen=True, slots=True)
class State:
    """The state of one instance.

    Attributes:
        name: Name of the instance.
        running: Whether it runs.
        lines: Its state in plain words, then the status that the run reports, if it reports one.
    """

    name: str
    running: bool
    lines: tuple[str, ...]


def status(place: Place, name: str) -> State:
    """Ask systemd for the state of an instance.

    Raises:
        CheckFailedError: systemd does not answer.
    """
    shown = place.systemctl("show", f"--property={','.join(PROPERTIES)}", instance(name))
    facts = dict(line.partition("=")[::2] for line in shown.splitlines())
    return State(name, facts.get("ActiveState") == "active", tuple(printable(line) for line in _lines(facts)))


def _lines(facts: dict[str, str]) -> list[str]:
    state, sub = facts.get("ActiveState", ""), facts.get("SubState", "")
    if facts.get("LoadState") == "not-found":
        return ["not installed; its unit is missing"]
    if state == "active":
        restarts = facts.get("NRestarts", "0")
        often = {"": "", "0": "", "1": ", restarted once"}.get(restarts, f", restarted {restarts} times")
        own = facts.get("StatusText", "")
        return [f"running since {facts.get('ActiveEnterTimestamp', '?')}{often}", *([own] if own else [])]
    if sub == "auto-restart":
        return [f"ended ({_why(facts)}); systemd starts it again in a few seconds"]
    if state in {"activating", "deactivating"}:
        return ["starting" if state == "activating" else "stopping"]
    boot = "" if facts.get("UnitFileState") == "enabled" else "; it does not start at boot"
    if state == "failed":
        return [f"stopped by an error ({_why(facts)}) and not started again{boot}"]
    return [f"stopped{boot}"]


def _why(facts: dict[str, str]) -> str:
    if facts.get("Result") == "watchdog":
        return "it hung, and the watchdog ended it"
    if facts.get("Result") == "oom-kill":
        return "it used too much memory"
    code = facts.get("ExecMainStatus", "")
    meaning = _MEANINGS.get(code)
    return f"exit code {code}: {meaning}" if meaning else f"{facts.get('Result', 'unknown')}, code {code}"
