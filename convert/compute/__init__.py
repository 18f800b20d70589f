"""Code that all trainings and conversions share: TensorFlow, replicas, schedules, quantization, export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.compute.inference import run_int8
    from convert.compute.progress import Progress
    from convert.compute.replicas import Replicas
    from convert.compute.students import StudentSpec
    from convert.compute.tf_runtime import load_tensorflow
    from convert.compute.training import Trainer

__all__ = ["Progress", "Replicas", "StudentSpec", "Trainer", "load_tensorflow", "run_int8"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Progress": "progress",
            "Replicas": "replicas",
            "StudentSpec": "students",
            "Trainer": "training",
            "load_tensorflow": "tf_runtime",
            "run_int8": "inference",
        },
    )
