"""Fine-tuning: train a teacher on a prepared data set, from an ECGFounder checkpoint or from scratch.

The details of AnyECG-Lab's training are not published. The defaults are those of the nearest published recipe
(shunxio/AnyECG-CCTA, train.py); docs/reproduce-anyecg-lab.md compares each of them with the paper.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO, cast

from convert.compute.replicas import Replicas
from convert.compute.tf_runtime import gpus, load_tensorflow
from convert.datasets.prepared import PreparedDataset
from convert.finetune.batches import Reader, all_rows, spread_rows, visits_of
from convert.finetune.epochs import MIN_EACH, Run, Task
from convert.finetune.export import FREE_DISK, LABELS, PATIENTS, REPORT, SCHEMA, as_json, write_patients, write_teacher
from convert.finetune.init import Start, build, open_start
from convert.finetune.loss import head_weights, macro_auroc
from convert.finetune.networks import FeatureReader, LastLayer, WholeNetwork
from convert.finetune.options import FinetuneOptions, Precision
from convert.finetune.records import Report
from convert.finetune.step import Progressed, Trained
from edge.process.files import write_atomically
from edge.records import NOTICE
from firmware_bridge.errors import InputError, OutputError, UsageError

VERSION = 1
"""Version of the training algorithm. States of another version are not resumed."""

STATES = "states"

VAL_PER_VISIT = 12
"""Maximum number of segments of a validation visit; more segments of the same ten minutes add little information."""

LOOK = 8
"""Number of segments on which the written teacher is compared with the trained network."""

SAVE_EVERY_S = 600.0
"""Default time between states within an epoch, seconds."""

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def finetune(
    data: PreparedDataset,
    out: Path,
    options: FinetuneOptions,
    replicas: Replicas,
    progress: TextIO | None,
    save_every_s: float = SAVE_EVERY_S,
) -> Report | None:
    """Train a teacher, or resume its training, and write it.

    Args:
        data: The prepared data set.
        out: Output folder.
        options: Options of the training.
        replicas: Workers that train; the chief writes the files.
        progress: Stream for the progress line, or ``None``.
        save_every_s: Time between states within an epoch, seconds.

    Returns:
        The content of ``finetune.json``; ``None`` on a worker that is not the chief.

    Raises:
        InputError: Data or checkpoint cannot be used, or the training diverged.
        UsageError: The folder belongs to another training.
        LinkError: Another worker has stopped.
        OutputError: A file cannot be written.
        KeyboardInterrupt: The user stopped the run with Ctrl-C; the state is saved.
    """
    if not data.heads:
        raise InputError(
            f"{data.folder} has no head with enough results",
            "lower min_values and min_positives in its label file, and prepare it again",
        )
    start = open_start(options.init, len(data.heads))
    if replicas.chief and progress is not None:
        progress.writelines(f"{options.init.init}: {remark}\n" for remark in start.remarks)
    if start.spec.use_bn and options.passes > 1 and replicas.count > 1:
        raise UsageError("several workers cannot combine --passes with batch normalisation", "use --passes 1")
    options = replace(options, precision=_precision(options.precision))
    key = _key(data, start, options)
    done = _claim(out, key)
    if done is not None:
        return done
    with _policy(options.precision):
        return _finetune(data, out, options, replicas, start, key, progress, save_every_s)


def _finetune(
    data: PreparedDataset, out: Path, options: FinetuneOptions, replicas: Replicas, start: Start, key: str,
    progress: TextIO | None, save_every_s: float,
) -> Report | None:  # fmt: skip
    weights = head_weights(data, options.most_positive_weight, options.value_weight)
    rows, val = all_rows(data, "train"), all_rows(data, "val")
    val = spread_rows(val, visits_of(data, val), VAL_PER_VISIT, options.val_segments)
    from convert.checkpoint.net1d import load_tensors, net1d_from_spec, to_tensors

    states = out / STATES
    with replicas.scope():
        net = build(start, weights.first_bias, options.seed)
        _fit_for_training(net, replicas)
        trained: Trained = LastLayer(net) if options.mode == "probe" else WholeNetwork(net)
    reader = Reader(data)
    if options.mode == "probe":
        reader = features = FeatureReader(data, states / "features", key)
        features.compute(net, [*data.names("train"), *data.names("val")], replicas, progress)
    task = Task(data, reader, rows, visits_of(data, rows), val, weights, options, states, key, save_every_s)
    run = Run(task, trained, replicas, progress)
    at = run.run()
    run.restore_best()
    logits = run.score(val)
    _, each = macro_auroc(data.heads, logits, reader.targets(val), MIN_EACH)
    if not replicas.chief:
        return None
    look = Reader(data).segments(val.take(slice(0, LOOK)))
    with _policy("float32"):
        plain = net1d_from_spec(net.spec)
        load_tensors(plain, to_tensors(net))
        difference = write_teacher(out, plain, data, weights, at, run.steps, look)
    write_patients(out / PATIENTS, data)
    report = _report(data, options, start, key, at, run, each, difference)
    write_atomically(out / REPORT, as_json(report), advice=FREE_DISK)
    return report


def _report(
    data: PreparedDataset, options: FinetuneOptions, start: Start, key: str, at: Progressed, run: Run,
    each: dict[str, float], difference: dict[str, float],
) -> Report:  # fmt: skip
    import keras

    return {
        "schema": SCHEMA,
        "notice": NOTICE,
        "key": key,
        "data": {"key": data.manifest["key"], "source": data.manifest["source"], "simulated": data.simulated},
        "init": {"from": Path(options.init.init).name, "sha256": start.sha256, "remarks": list(start.remarks)},
        "network": {k: v for k, v in asdict(start.spec).items() if k != "use_do"},
        "options": {k: v for k, v in asdict(options).items() if k != "init"} | {"rate": options.peak},
        "batch": run.batch,
        "steps_per_epoch": run.steps,
        "heads": [head.key for head in data.heads],
        "best_epoch": at.best + 1,
        "val_macro_auroc": at.history[at.best]["val_macro_auroc"] if at.best >= 0 else None,
        "val_auroc": each,
        "history": at.history,
        "read_back": difference,
        "versions": {"tensorflow": load_tensorflow().__version__, "keras": keras.__version__},
        "labels": LABELS,
    }


def _fit_for_training(net: Any, replicas: Replicas) -> None:
    """Compute batch statistics over all replicas, and use native grouped convolutions on a GPU."""
    import keras

    for layer in net.core.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and replicas.count > 1:
            layer.synchronized = True
    if gpus():
        net.set_form("native")


def _precision(asked: Precision) -> Precision:
    """Return the precision for ``auto``: on a GPU bfloat16 if it supports it, else float16; on a CPU float32."""
    if asked != "auto":
        return asked
    found = gpus()
    if not found:
        return "float32"
    capability = load_tensorflow().config.experimental.get_device_details(found[0]).get("compute_capability", (0, 0))
    return "bfloat16" if capability >= (8, 0) else "float16"


@contextmanager
def _policy(precision: str) -> Iterator[None]:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _key(data: PreparedDataset, start: Start, options: FinetuneOptions) -> str:
    """Return a fingerprint of everything that the result depends on, except the machine."""
    settings = {k: v for k, v in asdict(options).items() if k != "init"}
    heads = [head.key for head in data.heads]
    parts = [VERSION, data.manifest["key"], heads, start.sha256, asdict(start.spec), settings]
    if options.init.key is not None:
        parts.append(options.init.key)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _claim(out: Path, key: str) -> Report | None:
    """Return the report of a finished training; ``None`` if the training is not finished.

    Raises:
        UsageError: The folder belongs to another training.
    """
    path = out / REPORT
    try:
        (out / STATES).mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OutputError(f"cannot use {out}: {error.strerror or error}", "name another --out") from None
    except ValueError:
        raise InputError(f"{path} is damaged", "delete it and run the command again; the states are kept") from None
    if not isinstance(found, dict) or found.get("key") != key:
        raise UsageError(f"{out} holds another teacher", "name another --out or delete it")
    return cast("Report", found)
