"""Loads TensorFlow once, quietly and the same way everywhere.

TensorFlow is a host-only dependency (extra ``convert``). Its import takes seconds and prints to stderr unless told not
to, so every module of ``convert`` gets it from here, inside the function that needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from firmware_bridge.errors import MissingExtraError

THREADS = 2
"""Threads inside an operation and between operations: the students are so small that more only add overhead."""

_whole_machine = [False]


def use_whole_machine() -> None:
    """Leaves every core and every GPU to TensorFlow, for networks that are worth it; to be said before it is loaded."""
    _whole_machine[0] = True


def load_tensorflow() -> Any:
    """Import TensorFlow with a bounded number of threads.

    Returns:
        The module ``tensorflow``.

    Raises:
        MissingExtraError: TensorFlow is not installed.
    """
    # Where several workers train, each that goes away writes pages of errors; what they mean is said in one line.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if os.environ.get("TF_CONFIG") else "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        with quiet_stderr():
            import tensorflow as tf
    except ImportError as error:
        raise MissingExtraError("training and export", "convert") from error
    try:
        # A seed must give the same file: reductions whose order depends on thread timing are switched off.
        tf.config.experimental.enable_op_determinism()
        if not _whole_machine[0]:
            tf.config.threading.set_intra_op_parallelism_threads(THREADS)
            tf.config.threading.set_inter_op_parallelism_threads(THREADS)
            # Looking for a GPU writes an error where there is none; students train faster without one anyway.
            with quiet_stderr():
                tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        # The runtime is already up (another caller came first); its settings stay.
        pass
    tf.get_logger().setLevel("ERROR")
    return tf


def gpus() -> list[Any]:
    """The GPUs that TensorFlow may use; none where it was not given the whole machine."""
    tf = load_tensorflow()
    with quiet_stderr():  # looking for one writes an error where there is none
        return list(tf.config.get_visible_devices("GPU"))


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep what C++ libraries write to the process's stderr off the user's screen; Python errors still come through."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
