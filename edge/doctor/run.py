"""Is this machine fit to run? All checks side by side, each with a time limit, none of which can end the program."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edge.doctor import bluetooth as doctor_bluetooth
from edge.doctor import host as doctor_host
from edge.doctor import serial_ports as doctor_serial
from edge.doctor import software as doctor_software
from edge.doctor.probe import Finding, Probe, State

SCHEMA = "anyecg.doctor/1"
LIMIT_S = 120.0
"""For all checks together; each command in them has its own, shorter one."""
Need = Literal["ble", "serial"]


@dataclass(frozen=True, slots=True)
class Check:
    """A part of the examination.

    Attributes:
        area: Where its findings stand.
        name: Stands for it where it gives no finding.
        function: Does it.
        need: The kind of patch that it is for; ``None`` for all.
    """

    area: str
    name: str
    function: Callable[[Probe], list[Finding]]
    need: Need | None = None


CHECKS: tuple[Check, ...] = (
    Check("software", "64-bit", doctor_software.userland),
    Check("software", "numpy", doctor_software.numpy),
    Check("software", "interpreter", doctor_software.interpreter),
    Check("software", "libraries", doctor_software.libraries),
    Check("software", "demo bundle", doctor_software.bundle),
    Check("computer", "clock", doctor_host.clock),
    Check("computer", "power", doctor_host.power),
    Check("computer", "temperature", doctor_host.temperature),
    Check("computer", "free disk", doctor_host.disk),
    Check("bluetooth", "Bluetooth", doctor_bluetooth.check, "ble"),
    Check("serial", "serial ports", doctor_serial.check, "serial"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        findings: Area and finding, in the order of the checks.
    """

    findings: tuple[tuple[str, Finding], ...]

    def count(self, state: State) -> int:
        """How many findings are of a state."""
        return sum(finding.state is state for _area, finding in self.findings)

    @property
    def ok(self) -> bool:
        """Nothing is wrong; warnings are allowed."""
        return self.count(State.WRONG) == 0

    def as_dict(self) -> dict[str, object]:
        """The report as JSON-able values."""
        rows = [
            {"area": area, "check": f.check, "state": str(f.state), "detail": f.detail, "fix": f.fix}
            for area, f in self.findings
        ]
        return {"schema": SCHEMA, "ok": self.ok, "findings": rows}


def examine(
    probe: Probe,
    needs: Sequence[Need] = (),
    *,
    checks: Sequence[Check] = CHECKS,
    limit_s: float = LIMIT_S,
) -> Report:
    """Runs all checks.

    Args:
        probe: The machine.
        needs: Kinds of patches that are meant to be used: for these, what is not here is wrong.
        checks: What to look at.
        limit_s: What has no answer by then is said to have none.
    """
    answers: list[list[Finding]] = [[] for _ in checks]

    def work(number: int, check: Check) -> None:
        try:
            answers[number] = check.function(probe)
        except Exception as error:  # noqa: BLE001  # a check that fails must not hide what the others found
            detail = f"could not be checked: {type(error).__name__}: {' '.join(str(error).split())}"
            answers[number] = [Finding(check.name, State.WARNING, detail, "please report it")]

    # Not a pool: its threads would be waited for at the end of the process, for ever if one hangs in the kernel.
    threads = [threading.Thread(target=work, args=job, daemon=True) for job in enumerate(checks)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0.0))
    findings: list[tuple[str, Finding]] = []
    for number, check in enumerate(checks):
        found = answers[number]
        if not found and threads[number].is_alive():
            detail = f"no answer within {limit_s:g} s"
            found = [Finding(check.name, State.WARNING, detail, "a disk, bus or device hangs: sudo dmesg | tail")]
        findings += [(check.area, _judged(finding, check, needs)) for finding in found]
    return Report(tuple(findings))


def _judged(finding: Finding, check: Check, needs: Sequence[Need]) -> Finding:
    if finding.state is State.SKIPPED and check.need in needs:
        return replace(finding, state=State.WRONG)
    return finding
