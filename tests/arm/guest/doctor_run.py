"""The doctor's look at the software, with time for an emulated processor."""

from __future__ import annotations

import json

from edge.doctor import software as doctor_software
from edge.doctor.probe import Probe
from edge.doctor.run import CHECKS, examine

LIMIT_S = 500.0


def main() -> None:
    """Prints the report as JSON."""
    doctor_software.IMPORT_S = doctor_software.SELF_TEST_S = LIMIT_S
    checks = [check for check in CHECKS if check.area == "software"]
    print(json.dumps(examine(Probe(), checks=checks, limit_s=LIMIT_S).as_dict()))


if __name__ == "__main__":
    main()
