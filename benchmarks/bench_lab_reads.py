"""Compare reading the table of laboratory results once with reading it for every request for labels.

    python benchmarks/bench_lab_reads.py [--patients N]

Writes a simulated MIMIC-IV and asks for labels as `anyecg validate` does: for the windows of every visit, and then for
the measured values of each lab with cut-offs. Prints the CPU time of both ways; the labels must be equal. The exit code
is 1 if reading once is not faster.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

LABS = ("potassium", "sodium", "hemoglobin", "glucose", "creatinine", "lactate")


def main() -> int:
    """Run the benchmark."""
    from calibration.clinical.severity import cut_offs
    from convert.datasets.heads import TeacherHead
    from convert.datasets.labcatalogue import catalogue
    from convert.datasets.visit_data import open_visits
    from convert.labels import visits as module
    from convert.labels.plan import named_plan
    from convert.labels.visits import VisitResults
    from convert.simulate.mimic import MimicPlan, write_mimic

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=200)
    args = parser.parse_args()
    plan = named_plan("mimic")
    heads = [TeacherHead(f"{lab}_{d}", lab, None, "1", "probability", d) for lab in LABS for d in ("low", "high")]
    severe = [TeacherHead(k, k, None, catalogue()[k].unit, "value", None) for k in sorted(set(LABS) & set(cut_offs()))]
    requests = [heads, *([head] for head in severe)]
    with tempfile.TemporaryDirectory() as name:
        write_mimic(MimicPlan(patients=args.patients, seed=1, ecgs=5 * args.patients), Path(name))
        data = open_visits(Path(name))
        visits = [(v.csn, v.arrival.timestamp()) for v in data.visits() if v.arrival is not None]

        def labels(*, kept: bool) -> tuple[list[np.ndarray], float]:
            found, started = [], time.process_time()
            for asked in requests:
                if not kept:
                    module._kept.clear()  # noqa: SLF001  # so that the next request reads the table
                results = VisitResults(data, asked, {csn for csn, _ in visits}, plan)
                found.append(np.concatenate([results.targets(csn, np.array([at_s])) for csn, at_s in visits]))
            return found, time.process_time() - started

        again, often_s = labels(kept=False)
        module._kept.clear()  # noqa: SLF001  # so that the table is read once more, and then kept
        once, once_s = labels(kept=True)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(again, once, strict=True)), "the labels differ"
    print(
        f"{len(requests)} requests of {len(visits)} visits: {often_s:.2f} s reading the table each time, "
        f"{once_s:.2f} s reading it once: {often_s / once_s:.1f} times"
    )
    return 0 if once_s < often_s else 1


if __name__ == "__main__":
    sys.exit(main())
