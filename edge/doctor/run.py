"""All checks of the machine: they run in parallel, with a time limit, and none can end the program."""

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
"""Time limit of all checks together, s; each command in them has a shorter one."""
Need = Literal["ble", "serial"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        area: Section of the report.
        name: Name in the report if the check fails to give a finding.
        function: Function that performs the check.
        need: The kind of patch that needs it; ``None`` for all.
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
    """The findings of all checks.

    Attributes:
        findings: Pairs of area and finding, in the order of the checks.
    """

    findings: tuple[tuple[str, Finding], ...]

    def count(self, state: State) -> int:
        """Return how many findings have a state."""
        return sum(finding.state is state for _area, finding in self.findings)

    @property
    def ok(self) -> bool:
        """Whether no finding is wrong; warnings are allowed."""
        return self.count(State.WRONG) == 0

    def as_dict(self) -> dict[str, object]:
        """Return the report as JSON-able values."""
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
    """Run all checks.

    Args:
        probe: The machine.
        needs: Kinds of patches that the user wants to use: a missing part of these is wrong instead of skipped.
        checks: The checks to run.
        limit_s: Time limit of all checks, s; a check without an answer by then becomes a warning.
    """
    answers: list[list[Finding]] = [[] for _ in checks]

    def work(number: int, check: Check) -> None:
        try:
            answers[number] = check.function(probe)
        except Exception as error:  # noqa: BLE001  # a check that fails must not hide what the others found
            detail = f"the check failed: {type(error).__name__}: {' '.join(str(error).split())}"
            answers[number] = [Finding(check.name, State.WARNING, detail, "please report this line")]

    # Not a pool: the process would wait for its threads at exit, without end if one hangs in the kernel.
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
