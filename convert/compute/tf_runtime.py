"""Load TensorFlow once, quietly and in the same way everywhere.

TensorFlow is a host-only dependency (extra ``convert``). Its import takes seconds and prints to stderr by default,
so every module of ``convert`` gets it from here, inside the function that needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from firmware_bridge.errors import MissingExtraError

THREADS = 2
"""Threads inside an operation and between operations. The students are so small that more threads only add overhead."""

_whole_machine = [False]


def use_whole_machine() -> None:
    """Let TensorFlow use every core and every GPU, for large networks. Call it before TensorFlow is loaded."""
    _whole_machine[0] = True


def load_tensorflow() -> Any:
    """Import TensorFlow with a bounded number of threads.

    Returns:
        The module ``tensorflow``.

    Raises:
        MissingExtraError: TensorFlow is not installed.
    """
    # With several workers, a lost worker causes pages of log output; the kit reports it in one line.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if os.environ.get("TF_CONFIG") else "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        with quiet_stderr():
            import tensorflow as tf
    except ImportError as error:
        raise MissingExtraError("training and export", "convert") from error
    try:
        # The same seed must give the same file, so reductions whose order depends on thread timing are disabled.
        tf.config.experimental.enable_op_determinism()
        if not _whole_machine[0]:
            tf.config.threading.set_intra_op_parallelism_threads(THREADS)
            tf.config.threading.set_inter_op_parallelism_threads(THREADS)
            # The search for a GPU logs an error where there is none, and students train faster without one.
            with quiet_stderr():
                tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        # An earlier caller started the runtime; its settings cannot change.
        pass
    tf.get_logger().setLevel("ERROR")
    return tf


def gpus() -> list[Any]:
    """Return the GPUs that TensorFlow may use; none without :func:`use_whole_machine`."""
    tf = load_tensorflow()
    with quiet_stderr():  # the search logs an error where there is no GPU
        return list(tf.config.get_visible_devices("GPU"))


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hide what C++ libraries write to stderr; Python exceptions are not affected."""
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
