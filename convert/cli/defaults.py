"""Defaults and choices of the commands of ``convert`` without any library, so that their help appears at once.

The options classes hold the same values; loading them takes up to a second, because they belong to modules that train.
"""

from __future__ import annotations

from types import SimpleNamespace

VERSION = "0.1.0"
"""Version of a new bundle."""

LICENCE = "not stated by the checkpoint"
"""Licence of a checkpoint that states none."""

FOUNDATION_NAME = "anyecg-foundation"
"""Name of a foundation bundle."""

STUDENT = SimpleNamespace(seed=1, float_epochs=30, quant_epochs=8, disturbed=0.5)
"""As :class:`convert.distil.train.DistilPlan`."""

WINDOWS = SimpleNamespace(hop_s=5.0, most=16)
"""As :class:`convert.teacher.soft_labels.WindowPlan`."""

DEMO = SimpleNamespace(
    patients=20000, seed=1, seconds=36.0, teacher="clef-small", teacher_epochs=6, varied=20000, preset="micro",
    float_epochs=30, quant_epochs=3, imitate=(), imitate_leads="all", imitate_copies=15, imitate_source="",
)  # fmt: skip
"""As :class:`convert.demo.run.DemoConfig`."""

DEMO_TEACHERS = ("clef-small", "ecgfounder", "ecgfounder-shallow", "tiny", "tiny-grown", "tiny-shallow")
"""Keys of :data:`convert.demo.teacher.SHAPES`, sorted."""

OWN_MODEL = SimpleNamespace(front_ends=("stream/1", "ecgfounder/1"), licence="not stated", windows=24)
"""Front ends of :mod:`convert.own_model.fit`, and the defaults of :mod:`convert.own_model.run`."""
