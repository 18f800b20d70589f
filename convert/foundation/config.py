"""Options and result of the conversion of a teacher."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from convert.datasets.described import RecordingOptions
from convert.foundation.records import Wanted
from convert.parity.forms import ParityReport

Choice = Literal["coverage", "alternate"]

DEFAULT_NAME = "anyecg-foundation"
DEFAULT_VERSION = "0.1.0"
DEFAULT_LICENCE = "not stated by the checkpoint"


@dataclass(frozen=True, slots=True)
class FoundationConfig:
    """Options of a conversion.

    Attributes:
        checkpoint: The teacher, a ``.pth`` or ``.safetensors`` file, or the folder of ``anyecg finetune``.
        outputs: Description of its heads, see ``convert/datasets/outputs_file.py``; ``None`` for ``outputs.json`` in
            its folder.
        data: Folder of recordings.
        out: Output folder of the bundle.
        name: Name of the bundle.
        version: Version of the bundle.
        licence: Licence of the weights.
        stride: Stride of each stage's first block; ``None`` for the stride in the file, or 2 if it has none.
        use_bn: Whether the network was trained with batch normalisation; ``None`` for the fact in the file, or
            ``False`` if it has none. Checkpoints always have the tensors of the normalisation, so these do not tell.
        calibration_windows: Number of windows that set the ranges.
        evaluation_windows: Number of windows for the gate and the parity report.
        gates: File with the limits of the gate; ``None`` for that of the package.
        accept_loss: Write the bundle even if the gate is shut.
        labels: Folder of laboratory results to calibrate the heads; ``None`` leaves them uncalibrated.
        choice: Choice of the windows that set the ranges: ``coverage``, or ``alternate`` for every second one.
        label_plan: File with the rule that makes labels from results; ``None`` for the teacher's, or the default.
        form: Form of the model; ``auto`` for dynamic range, or full int8 if its gate opens and it is clearly faster.
        key: Name of the network in a checkpoint with several; ``None`` for the only one.
        recordings: Options about recordings that do not state their rate, scale or lead.
        tune_minutes: Time to tune full int8 by self-distillation, minutes; 0 for none.
    """

    checkpoint: Path
    outputs: Path | None
    data: Path
    out: Path
    name: str = DEFAULT_NAME
    version: str = DEFAULT_VERSION
    licence: str = DEFAULT_LICENCE
    stride: int | None = None
    use_bn: bool | None = None
    calibration_windows: int = 48
    evaluation_windows: int = 64
    gates: Path | None = None
    accept_loss: bool = False
    labels: Path | None = None
    choice: Choice = "coverage"
    label_plan: Path | None = None
    form: Wanted = "auto"
    key: str | None = None
    recordings: RecordingOptions = field(default_factory=RecordingOptions)
    tune_minutes: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class FoundationResult:
    """Result of a conversion.

    Attributes:
        report: The parity report of the bundle.
        form: The chosen form.
        model_bytes: Size of the model, bytes.
        seconds: Duration of the conversion, seconds.
    """

    report: ParityReport
    form: str
    model_bytes: int
    seconds: float
