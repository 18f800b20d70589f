"""Check the reasons of ``anyecg explain`` on simulated patients, whose causes are known, and on random weights.

    python benchmarks/bench_reasons.py [--patients 1000] [--seeds 777 779] [--random 3]

For each true positive of the demonstration bundle (the laboratory value is beyond its limit, and the output is flagged
on the average beat): how often reasons are told, and how often the part that the simulator changes for that laboratory
value ranks first. Each such patient has a twin, who differs only in that the laboratory value has no effect on the ECG:
if the twin is flagged, too, the value did not cause the flag, and the planted part need not be the reason. Then the
weights of every convolution are shuffled (Adebayo et al., NeurIPS 2018, "Sanity checks for saliency maps"): such a
network must have no reasons. Needs the ``convert`` extra. The exit code is 1 if a planted part ranks first in less than
80 % of the true positives with reasons, or if a random network has any.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from convert.simulate.couplings import couple
from convert.simulate.patient import Patient, ecg_of, simulate_patient
from edge.bundle.reader import Bundle, load_bundle
from edge.bundle.words import reference_limits
from edge.chain import SignalChain
from edge.explain.reasons import Explainer, Reasons
from edge.grid.timeline import Timeline
from edge.model import load_model
from edge.window import NoWindow
from firmware_bridge.samples import SampleBlock

PLANTED: dict[str, set[str]] = {
    "potassium_low": {"T", "PR", "QRS", "QT"},
    "potassium_high": {"T", "QRS"},
    "calcium_low": {"ST", "QT"},
    "calcium_high": {"ST", "QT"},
    "magnesium_low": {"T", "QT"},
    "magnesium_high": {"PR", "QRS", "QT"},
    "glucose_low": {"QT"},
    "hemoglobin_low": {"rate"},
    "free_t4_high": {"rate"},
}
"""Parts that the simulator changes most (convert/simulate/couplings.py)."""
REQUIRED = set(PLANTED) - {"potassium_low", "magnesium_high"}
"""Outputs that must reach the share in a small cohort, too. Many patients with a low potassium or a high magnesium are
flagged for another trait of their ECG."""
MIN_FIRST = 0.80
SEEDS = (777, 779)
FS_HZ = 250.0


def reasons_of(explainer: Explainer, ecg_mv: np.ndarray) -> list[Reasons]:
    """Return the reasons of the first accepted window; empty without one."""
    timeline, chain = Timeline(250), SignalChain(250, 1.0)
    explainer.restart()
    for part in timeline.push(SampleBlock(ecg_mv.astype(np.float32), "mV", None, FS_HZ, None, 0)):
        for window in chain.push(part):
            if not isinstance(window, NoWindow) and chain.assess(window).reason is None and explainer.add(window):
                return explainer.reasons()
    return []


def shuffled(bundle: Bundle, seed: int) -> Bundle:
    """Return the bundle with the weights of every convolution shuffled."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(bundle.model))
    rng, kinds = np.random.default_rng(seed), schema.BuiltinOperator
    wanted = {kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D, kinds.FULLY_CONNECTED}
    for operator in model.subgraphs[0].operators:
        code = model.operatorCodes[operator.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) in wanted:
            weights = model.buffers[model.subgraphs[0].tensors[operator.inputs[1]].buffer]
            weights.data = rng.permutation(np.array(weights.data, dtype=np.uint8))
    return replace(bundle, model=bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


def twin_mv(patient: Patient, lab: str) -> np.ndarray:
    """Return the ECG that the patient would have if a laboratory value had no effect, with the same noise."""
    others = {name: value for name, value in patient.visit.labs.items() if name != lab}
    twin = replace(patient.visit, latents=couple(patient.visit.base, others))
    return ecg_of(twin, len(patient.ecg_mv), FS_HZ)


def hits(bundle: Bundle, patients: int, seeds: Sequence[int], required: Collection[str] = REQUIRED) -> bool:
    """Print how often the planted part ranks first; return whether it does so often enough everywhere.

    Args:
        bundle: The bundle.
        patients: Number of patients of each cohort.
        seeds: Seeds of the cohorts.
        required: Outputs that must reach the share.
    """
    explainer, limits = Explainer(bundle, load_model(bundle)), reference_limits()
    true: Counter[str] = Counter()
    told: Counter[str] = Counter()
    first: Counter[str] = Counter()
    caused: Counter[str] = Counter()
    caused_first: Counter[str] = Counter()
    of_lab: Counter[str] = Counter()
    first_of_lab: Counter[str] = Counter()
    others = {key: Counter() for key in PLANTED}
    sodium = 0
    for seed, index in product(seeds, range(patients)):
        patient = simulate_patient(seed, index, 14.0, fs_hz=FS_HZ)
        for head, one in zip(bundle.manifest.outputs, reasons_of(explainer, patient.ecg_mv), strict=False):
            sodium += head.lab == "sodium" and one.told
            if head.key not in PLANTED or not one.flagged:
                continue
            limit, value = limits[head.lab], patient.labs[head.lab]
            if not (value < limit.low if head.direction == "low" else value > limit.high):
                continue
            true[head.key] += 1
            if one.told:
                top = next(iter(one.shares))
                told[head.key] += 1
                first[head.key] += top in PLANTED[head.key]
                of_lab[head.lab] += 1
                first_of_lab[head.lab] += top in PLANTED[head.key]
                others[head.key][top] += 1
                twin = {other.key: other.flagged for other in reasons_of(explainer, twin_mv(patient, head.lab))}
                if twin.get(head.key) is False:
                    caused[head.key] += 1
                    caused_first[head.key] += top in PLANTED[head.key]
    print("| output | planted | true positives | with reasons | planted part first | caused | of these | first parts |")
    print("|---|---|---|---|---|---|---|---|")
    for key, parts in PLANTED.items():
        share, of_caused = _percent(first[key], told[key]), _percent(caused_first[key], caused[key])
        seen = ", ".join(f"{part} {n}" for part, n in others[key].most_common())
        counts = f"{true[key]} | {told[key]} | {share} | {caused[key]} | {of_caused}"
        print(f"| `{key}` | {', '.join(sorted(parts))} | {counts} | {seen} |", flush=True)
    shares = (f"{lab} {_percent(first_of_lab[lab], of_lab[lab])}" for lab in of_lab)
    print(f"\nplanted part first, by laboratory value: {', '.join(sorted(shares))}")
    print(f"sodium: {sodium} reasons")
    return sodium == 0 and all(first[key] >= MIN_FIRST * told[key] for key in required)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def main() -> int:
    """Run both checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="cohorts whose causes are known")
    parser.add_argument("--random", type=int, default=3, help="networks with random weights")
    args = parser.parse_args()
    bundle = load_bundle("demo")
    met = hits(bundle, args.patients, args.seeds, PLANTED)
    for seed in range(args.random):
        other = shuffled(bundle, seed)
        explainer = Explainer(other, load_model(other))
        found = [
            one
            for index in range(max(args.patients // 10, 10))
            for one in reasons_of(explainer, simulate_patient(778, index, 14.0, fs_hz=FS_HZ).ecg_mv)
        ]
        said = sum(one.told for one in found)
        largest = max(abs(one.effect) for one in found if one.key != "potassium")
        print(f"random weights {seed}: {said} reasons in {len(found)} outputs; largest effect {largest:.2f} logits")
        met = met and said == 0
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
