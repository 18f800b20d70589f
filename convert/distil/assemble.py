"""The last stage of a distillation: export, budget, calibration, evaluation, and the files of the bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from convert.bundle.files import FLOAT_FILE
from convert.bundle.fit import Part, agreement, calibrate, judge, summary
from convert.bundle.golden_windows import GOLDEN_WINDOWS, simulated
from convert.bundle.records import HeadFigures, ManifestOutput
from convert.bundle.writer import AGGREGATION, STREAM_FRONT_END, STREAM_INPUT, BundleContents, to_json
from convert.compute.inference import Engine, as_float, run_int8
from convert.compute.litert import Exported, export_float, export_int8
from convert.compute.qat import float_forward, fold, initial_weights, post_training_ranges
from convert.compute.students import ALLOWED_OPS, StudentSpec, count_parameters
from convert.datasets import representative
from convert.datasets.heads import TeacherHead
from convert.datasets.pairs import Recording
from convert.distil.parity import WINDOWS, links_of, parity, parity_files, student_parity
from convert.distil.records import Chosen, ChosenByCoverage, Elsewhere, Report, Size, SplitCounts, StudentManifest
from convert.distil.report import model_card, report_markdown
from convert.distil.train import Distilled, DistilPlan, Windows
from convert.micro.arena import measure
from convert.micro.graph import read_graph
from convert.parity.forms import ParityReport
from convert.teacher.open import Teacher
from convert.teacher.patients import FILE as PATIENTS_FILE
from convert.teacher.patients import hashes, patients_file
from convert.teacher.soft_labels import WindowPlan
from edge.frontend.stream import window_input_int8
from firmware_bridge.errors import CheckFailedError

VERSION = "0.1.0"
"""Version of a bundle without another one."""

MAX_JUDGED = 6000
"""Default of :attr:`Assembly.judged`. With more windows, LiteRT with XNNPACK is judged, not the reference kernels."""

MAX_OFFERED = 1500
"""Maximum number of training windows from which the representative data of PTQ are chosen, at 1 ms each."""

PARITY_WINDOWS = 200


@dataclass(frozen=True, slots=True)
class Compared:
    """Further recordings with labels of the teacher, which are not used for training or calibration.

    Attributes:
        recordings: The recordings.
        windows: Windows of the recordings that passed the quality gate.
    """

    recordings: Sequence[Recording]
    windows: Windows


def check_fits(spec: StudentSpec, n_outputs: int) -> None:
    """Export an untrained student and check its size, which does not depend on the training.

    Raises:
        CheckFailedError: The student exceeds the limits of its preset.
    """
    weights = fold(spec, n_outputs, initial_weights(spec, n_outputs, 0))
    look = np.random.default_rng(0).standard_normal((4, 1, 1250, 1)).astype(np.float32)
    check_budget(spec, export_int8(spec, n_outputs, post_training_ranges(spec, n_outputs, weights, look)), n_outputs)


def check_budget(spec: StudentSpec, exported: Exported, n_outputs: int) -> Size:
    """Return the size of an exported student: parameters, flash, and the arena measured with TFLite Micro, in bytes.

    Raises:
        CheckFailedError: A limit of the preset is exceeded, or not every port of TFLite Micro has an operation; the
            message names it.
    """
    unsupported = sorted(set(exported.ops) - ALLOWED_OPS - {"DELEGATE"})
    if unsupported:
        raise CheckFailedError(
            f"the student has the operations {', '.join(unsupported)}", "not every port of TFLite Micro has them"
        )
    flash = len(exported.model)
    larger = "name a larger preset, or a teacher with fewer outputs"
    if flash > spec.flash_limit_bytes:
        raise CheckFailedError(
            f"the {spec.name} student with {n_outputs} outputs takes {flash} bytes of flash, "
            f"{flash - spec.flash_limit_bytes} more than its limit of {spec.flash_limit_bytes}",
            larger,
        )
    # Measured in a separate process, because TFLite Micro may crash on a model that is far too large.
    arena = measure(exported.model, read_graph(exported.model)).measured
    if arena > spec.arena_limit_bytes:
        raise CheckFailedError(
            f"the {spec.name} student with {n_outputs} outputs takes an arena of {arena} bytes, "
            f"{arena - spec.arena_limit_bytes} more than its limit of {spec.arena_limit_bytes}",
            larger,
        )
    return {"parameters": count_parameters(spec, n_outputs), "model_bytes": flash, "arena_bytes": arena}


FACTORS = (1.0, 0.8, 0.64, 0.5, 0.4)
"""Factors that are tried for the scale of the outputs, see :func:`agreeing`."""


def agreeing(
    spec: StudentSpec, n_outputs: int, trained: Distilled, x: NDArray[np.int8]
) -> tuple[Distilled, Exported, float]:
    """Export the student with an output step that is coarse enough for two interpreters to agree.

    Two correct int8 implementations round differently, and the rounding of an early activation spreads through the
    network. The self-test of a bundle allows a difference of one step. If the interpreters differ more, the weights of
    the last layer are scaled down and the scaling of the heads is scaled up by the same factor, which gives the same
    outputs in fewer steps.

    Args:
        spec: The student.
        n_outputs: Number of heads.
        trained: Result of the training.
        x: Windows on which XNNPACK and the reference kernels are compared, int8 ``(n, 1, 1250, 1)``.

    Returns:
        The scaled result of the training, the exported model, and the factor.

    Raises:
        CheckFailedError: The interpreters differ by more than one step with every factor.
    """
    for factor in FACTORS:
        scaled = _scaled(trained, factor)
        exported = export_int8(spec, n_outputs, scaled.quantized)
        gap = run_int8(exported.model, x, "xnnpack").astype(int) - run_int8(exported.model, x).astype(int)
        if np.abs(gap).max() <= 1:
            return scaled, exported, factor
    raise CheckFailedError(
        f"two interpreters of the student differ by {np.abs(gap).max()} steps of its output", "try another --seed"
    )


def _scaled(trained: Distilled, factor: float) -> Distilled:
    f = np.float32(factor)
    folded, quantized = (
        {k: v * f if k in ("head/kernel", "head/bias") else v for k, v in weights.items()}
        for weights in (trained.folded, trained.quantized)
    )
    scaling = replace(trained.scaling, scale=np.asarray(trained.scaling.scale / f))
    return replace(trained, folded=folded, quantized=quantized, scaling=scaling)


@dataclass(frozen=True, slots=True)
class Assembly:
    """Makes a bundle from a trained student.

    Attributes:
        spec: The student.
        teacher: Its teacher.
        recordings: Recordings of the data set.
        parts: Windows of each part of the split.
        trained: Result of the training.
        plan: Options of the training.
        labels: Choice of the labelled windows.
        name: Name of the bundle; ``None`` to combine the names of teacher and preset.
        version: Version of the bundle.
        compared: Further recordings for a comparison; ``None`` for none.
        data: Description of the patients in the evidence.
        judged: Maximum number of windows of a part that are judged, spread over its patients.
        choice: Choice of the representative data of PTQ: by coverage, or spread over the training windows.
        seen_hashes: Hashes of the patients that the teacher has seen, by part.
    """

    spec: StudentSpec
    teacher: Teacher
    recordings: Sequence[Recording]
    parts: Mapping[str, Windows]
    trained: Distilled
    plan: DistilPlan
    labels: WindowPlan
    name: str | None
    version: str
    compared: Compared | None
    data: str
    judged: int = MAX_JUDGED
    choice: Literal["coverage", "spread"] = "coverage"
    seen_hashes: Mapping[str, frozenset[bytes]] = field(default_factory=dict)

    def build(self) -> tuple[BundleContents, Report]:
        """Export, calibrate and judge the student.

        Returns:
            The bundle and its validation report.

        Raises:
            CheckFailedError: A limit of the preset is exceeded, or two interpreters disagree.
        """
        inputs = self.parts["test"].inputs()
        looked = np.concatenate([_spread(inputs, count) for count in (PARITY_WINDOWS, WINDOWS, GOLDEN_WINDOWS)])
        trained, exported, factor = agreeing(self.spec, len(self.teacher.heads), self.trained, looked)
        return replace(self, trained=trained).judged_as(exported, factor)

    def judged_as(self, exported: Exported, factor: float) -> tuple[BundleContents, Report]:
        """Calibrate and judge an exported student; see :meth:`build`.

        Args:
            exported: The model of the bundle.
            factor: Factor of its output scale, see :func:`agreeing`.
        """
        heads, n, trained, seed = self.teacher.heads, len(self.teacher.heads), self.trained, self.plan.seed
        inputs = self.parts["test"].inputs()
        size = check_budget(self.spec, exported, n)
        look, covered = self._look()
        ptq = export_int8(self.spec, n, post_training_ranges(self.spec, n, trained.folded, look))
        calibration = self._part("calibration", exported, None)
        test = self._part("test", exported, ptq)
        entries = calibrate(heads, trained.scaling, calibration, seed)
        found = judge(heads, test, entries, seed)
        manifest = self._manifest(exported, found, size)
        compared = self._compared(manifest, exported)
        report: Report = {
            "schema": "anyecg.validation/1",
            "preset": self.spec.name,
            "teacher": {"name": self.teacher.name, "sha256": self.teacher.sha256},
            "plan": {**asdict(self.plan), **asdict(self.labels)},
            "split": self._split(),
            "size": size,
            "operations": {op: exported.ops.count(op) for op in sorted(set(exported.ops))},
            "summary": summary(found),
            "output_factor": factor,
            "post_training_windows": covered,
            "parity": parity(self.spec, trained.quantized, exported, _spread(inputs, PARITY_WINDOWS)),
            "heads": {key: {**h, "basis": entries[key]["basis"]} for key, h in found.items()},
            "elsewhere": self._elsewhere(exported),
            "skipped": [list(map(str, row)) for row in self.parts["train"].labels.skipped],
            "links": links_of(compared),
        }
        golden = _golden(inputs)
        contents = BundleContents(
            manifest,
            exported.model,
            entries,
            golden[:, None],
            run_int8(exported.model, golden),
            model_card(manifest, report),
            {
                "validation/report.json": to_json(report),
                "validation/report.md": report_markdown(report).encode(),
                PATIENTS_FILE: self._patients(),
                FLOAT_FILE: export_float(self.spec, n, trained.folded),
                **parity_files(compared),
            },
        )
        return contents, report

    def _look(self) -> tuple[NDArray[np.float32], Chosen | ChosenByCoverage]:
        """Return the representative data of PTQ, and how well they cover the training windows."""
        if self.choice == "spread":
            return self.trained.look, {"chosen by": "spread"}
        offered = _spread(self.parts["train"].inputs(), MAX_OFFERED)
        described = representative.describe(as_float(offered)[:, 0, :, 0])
        chosen = representative.choose(described, len(self.trained.look))
        covered: ChosenByCoverage = {
            "chosen by": "coverage",
            "windows": len(chosen),
            **representative.coverage(described, chosen),
        }
        return as_float(offered[chosen]), covered

    def _patients(self) -> bytes:
        """Return the patient list, so that a later calibration or validation can exclude the training patients."""
        rows = {name: np.unique(w.labels.recording[w.rows]) for name, w in self.parts.items()}
        ours = {name: hashes(self.recordings[i] for i in found) for name, found in rows.items()}
        return patients_file({**self.seen_hashes, **ours})

    def _compared(self, manifest: StudentManifest, exported: Exported) -> ParityReport:
        windows = self.parts["test"]
        windows = windows.take(_spread(np.arange(len(windows)), WINDOWS))
        title = f"{manifest['name']} {manifest['version']}: parity"
        inputs, logits = windows.inputs(), windows.logits()
        return student_parity(title, self.spec, self.teacher.heads, self.trained, exported, inputs, logits)

    def _elsewhere(self, exported: Exported) -> Elsewhere | None:
        if self.compared is None:
            return None
        windows = self.compared.windows
        x = windows.inputs()
        student = _real(exported, run_int8(exported.model, x))
        floating = np.concatenate([self._float(x[i : i + 256]) for i in range(0, len(x), 256)])
        record = windows.labels.recording[windows.rows]
        return {
            "recordings": len(np.unique(record)),
            "windows": len(x),
            "skipped": len(windows.labels.skipped),
            **agreement(self.teacher.heads, student, floating.astype(np.float64), windows.logits().astype(np.float64)),
        }

    def _part(self, name: str, exported: Exported, ptq: Exported | None) -> Part:
        windows = self.parts[name]
        windows = windows.take(_spread(np.arange(len(windows)), self.judged))
        x = windows.inputs()
        # The reference kernels are sixty times slower than XNNPACK, which differs from them by one step at most.
        engine: Engine = "reference" if len(x) <= MAX_JUDGED else "xnnpack"
        outputs = {"int8": _real(exported, run_int8(exported.model, x, engine))}
        if ptq is not None:
            n = len(self.teacher.heads)
            blocks = [
                float_forward(self.spec, n, self.trained.folded, as_float(x[i : i + 256]))
                for i in range(0, len(x), 256)
            ]
            outputs["float"] = np.concatenate(blocks).astype(np.float64)
            outputs["ptq"] = _real(ptq, run_int8(ptq.model, x, engine))
        records = [self.recordings[i] for i in windows.labels.recording[windows.rows]]
        cases, case = np.unique([f"{r.patient}\n{r.visit or r.name}" for r in records], return_inverse=True)
        _, patient = np.unique([c.split("\n")[0] for c in cases], return_inverse=True)
        return Part(
            outputs,
            windows.logits().astype(np.float64),
            windows.hard[windows.rows].astype(np.float64),
            case.astype(np.int64),
            patient.astype(np.int64),
            self.data,
        )

    def _float(self, x: NDArray[np.int8]) -> NDArray[np.float32]:
        return float_forward(self.spec, len(self.teacher.heads), self.trained.folded, as_float(x))

    def _split(self) -> SplitCounts:
        def patients(windows: Windows) -> int:
            found = (self.recordings[i] for i in np.unique(windows.labels.recording[windows.rows]))
            return len({r.patient for r in found if not r.training_only})

        counts = {name: patients(windows) for name, windows in self.parts.items()}
        labels = self.parts["train"].labels
        found = {
            "recordings": len(self.recordings),
            "imitation": sum(r.training_only for r in self.recordings),
            "skipped": len(labels.skipped),
            "windows": len(labels),
            "patients": sum(counts.values()),
            **counts,
        }
        # A cast, because the counts by part are in the order of the parts, which the split decides.
        return cast("SplitCounts", found)

    def _manifest(self, exported: Exported, found: Mapping[str, HeadFigures], size: Size) -> StudentManifest:
        return {
            "name": self.name or f"{self.teacher.name.split()[0]}-{self.spec.name}",
            "version": self.version,
            "tier": "micro",
            "licence": self.teacher.licence,
            "teacher": {"name": self.teacher.name, "sha256": self.teacher.sha256},
            "front_end": STREAM_FRONT_END.copy(),
            "input": STREAM_INPUT.copy(),
            "output": {
                "dtype": "int8",
                "shape": list(exported.output_shape),
                "scale": exported.output_scale,
                "zero_point": exported.output_zero_point,
            },
            "outputs": [_output(j, h, found[h.key]) for j, h in enumerate(self.teacher.heads)],
            "aggregation": AGGREGATION.copy(),
            "budgets": {"flash_bytes": size["model_bytes"], "arena_bytes": size["arena_bytes"]},
        }


def _output(index: int, head: TeacherHead, found: HeadFigures) -> ManifestOutput:
    out: ManifestOutput = {
        "index": index,
        "key": head.key,
        "lab": head.lab,
        "loinc": head.loinc,
        "unit": head.unit,
        "direction": head.direction,
        "kind": head.kind,
        "horizon_min": head.horizon_min,
        "evidence": found["evidence"].copy(),
        "means": head.means,
    }
    if head.rhythms is not None:
        out["rhythms"] = list(head.rhythms)
    return out


def _real(exported: Exported, raw: NDArray[np.int8]) -> NDArray[np.float64]:
    return (raw.astype(np.float64) - exported.output_zero_point) * exported.output_scale


def _spread(x: NDArray[Any], most: int) -> NDArray[Any]:
    return x if len(x) <= most else x[np.linspace(0, len(x) - 1, most).astype(int)]


def _golden(inputs: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the golden windows, ``(k, 1, 1250, 1)``; simulated ones replace those that the recordings lack."""
    found = _spread(inputs, GOLDEN_WINDOWS)
    missing = GOLDEN_WINDOWS - len(found)
    if not missing:
        return found
    more = window_input_int8(simulated(missing)[1])[:, None, :, None]
    return np.concatenate([found, more])
