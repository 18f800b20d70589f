"""Types of ``validation/report.json`` of a distilled student; ``docs/distil.md`` describes the report."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from convert.bundle.records import Agreement, Basis, HeadFigures, Manifest, ManifestOutput, Summary
from convert.datasets.representative import Covered
from convert.parity.forms import StageKind

ComparedForm = Literal["fake_quant", "xnnpack", "tflm"]
"""Form of the exported model that is compared with LiteRT's reference kernels."""


class TeacherEntry(TypedDict):
    """The teacher in the report: its name, and its SHA-256 in hexadecimal."""

    name: str
    sha256: str


class SplitCounts(TypedDict):
    """Counts of recordings, windows and patients.

    Attributes:
        recordings: Number of recordings.
        imitation: Number of simulated recordings on which the student only imitates its teacher.
        skipped: Number of recordings without a usable window.
        windows: Number of windows.
        patients: Number of patients in all parts.
        train: Number of patients in the training part.
        validation: Number of patients that choose the epoch.
        calibration: Number of patients in the calibration part.
        test: Number of patients in the test part.
    """

    recordings: int
    imitation: int
    skipped: int
    windows: int
    patients: int
    train: int
    validation: int
    calibration: int
    test: int


class Size(TypedDict):
    """Size of an exported student: number of parameters, bytes of flash, and bytes of the arena."""

    parameters: int
    model_bytes: int
    arena_bytes: int


Chosen = TypedDict("Chosen", {"chosen by": str})
"""How the representative data of PTQ were chosen."""


class ChosenByCoverage(Chosen, Covered):
    """Representative data of PTQ that were chosen by coverage: their number, and how well they cover the others."""

    windows: int


class Gap(TypedDict):
    """Largest and mean difference from LiteRT's reference kernels, in LSB of the output."""

    max_lsb: int
    mean_lsb: float


class Parity(TypedDict):
    """Difference of each form of the exported model from LiteRT's reference kernels."""

    windows: int
    fake_quant: Gap
    xnnpack: Gap
    tflm: Gap


class LinkRow(TypedDict):
    """A link of the parity report without its heads; see ``convert.parity.forms.Link``."""

    before: StageKind
    after: StageKind
    windows: int
    max: float | None
    mean: float | None
    lsb: float | None
    correlation_median: float | None
    correlation_min: float | None
    ok: bool


class JudgedHead(HeadFigures):
    """Figures of a head, and what its calibration is fitted to."""

    basis: Basis


class Elsewhere(Agreement):
    """Agreement with the teacher on other recordings, and the counts of these recordings and their windows."""

    recordings: int
    windows: int
    skipped: int


class Report(TypedDict):
    """``validation/report.json``.

    Attributes:
        schema: Name and version of the format.
        preset: Preset of the student.
        teacher: The teacher.
        plan: Options of the training and choice of the labelled windows.
        split: Counts of the split.
        size: Size of the student.
        operations: Number of operations of the model by name.
        summary: Medians and macro averages over the heads.
        output_factor: Factor of the output scale, see ``convert.distil.assemble.agreeing``.
        post_training_windows: Choice of the representative data of PTQ.
        parity: Difference of each form of the exported model from the reference kernels.
        heads: Figures by head.
        elsewhere: Agreement with the teacher on other recordings; ``None`` without these.
        skipped: Name and reason of each training recording without a window.
        links: Links of the parity report.
    """

    schema: str
    preset: str
    teacher: TeacherEntry
    plan: dict[str, Any]
    split: SplitCounts
    size: Size
    operations: dict[str, int]
    summary: Summary
    output_factor: float
    post_training_windows: Chosen | ChosenByCoverage
    parity: Parity
    heads: dict[str, JudgedHead]
    elsewhere: Elsewhere | None
    skipped: list[list[str]]
    links: list[LinkRow]


class StudentBudgets(TypedDict):
    """Bytes of flash and of the arena."""

    flash_bytes: int
    arena_bytes: int


class StudentManifest(Manifest):
    """Manifest of a student.

    Attributes:
        created: Date of the recipe; only the demonstration has it.
        outputs: The heads.
        budgets: Size of the student.
    """

    created: NotRequired[str]
    outputs: list[ManifestOutput]
    budgets: StudentBudgets
