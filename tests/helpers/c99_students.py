"""Students of each preset with random weights, windows for all of their arithmetic, and their C code as a program."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.compute.students import PRESETS, StudentSpec
from convert.micro.c99.package import TEMPLATES, front_end
from convert.micro.c99.reading import read_network
from convert.micro.c99.tables import layers, sizes
from convert.micro.graph import read_graph
from edge.bundle.reader import load_bundle
from edge.frontend.stream import window_input_int8
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

WINDOW = 1250
RUNNER = Path(__file__).resolve().parents[1] / "firmware" / "c99" / "runner.c"
"""Reads windows from its standard input and writes the outputs."""


@cache
def student(name: str, heads: int = 12, seed: int = 0) -> bytes:
    """Return the demonstration's model for ``demo``, else a student of a preset with random weights."""
    return load_bundle("demo").model if name == "demo" else random_student(PRESETS[name], heads, seed)


def random_student(spec: StudentSpec, heads: int, seed: int, samples: int = WINDOW) -> bytes:
    """Return the int8 model of a student with random weights, whose ranges fit random ECG windows."""
    from convert.compute.litert import export_int8
    from convert.compute.qat import fold, initial_ranges, initial_weights

    seen = ecg_windows(24, seed + 1)[:, :samples].astype(np.float32).reshape(24, 1, samples, 1) / 16
    folded = fold(spec, heads, initial_weights(spec, heads, seed))
    rng = np.random.default_rng(seed)
    folded = {
        k: v + rng.normal(0, 0.1, v.shape).astype(np.float32) if k.endswith("/bias") else v for k, v in folded.items()
    }
    return export_int8(spec, heads, initial_ranges(spec, heads, folded, seen), samples=samples).model


def ecg_windows(count: int, seed: int) -> NDArray[np.int8]:
    """Return windows cut from ten minutes of synthetic ECG with noise, int8 ``(count, 1250)``."""
    rng = np.random.default_rng(seed)
    ecg = np.asarray(EcgSynth(EcgParams(), seed).generate(75_000, 125.0), dtype=np.float64)
    starts = rng.integers(0, len(ecg) - WINDOW, count)
    noise = rng.choice([0.0, 0.02, 0.1, 0.5], count)
    return np.stack(
        [
            window_input_int8(ecg[s : s + WINDOW] + n * rng.normal(size=WINDOW))
            for s, n in zip(starts, noise, strict=True)
        ]
    )


def counts(seconds: float, rate: int, bits: int) -> NDArray[np.int16]:
    """Return synthetic ECG with baseline wander as counts of a converter, int16."""
    t = np.arange(round(seconds * rate)) / rate
    mv = np.asarray(EcgSynth(EcgParams(), 4).generate(len(t), float(rate))) + 0.3 * np.sin(2 * np.pi * 0.2 * t)
    return np.rint(mv * 2 ** (bits - 3)).astype("<i2")


def windows(count: int, seed: int = 5) -> NDArray[np.int8]:
    """Return ECG, random, constant and saturated windows, a quarter each, int8 ``(count, 1250)``."""
    rng = np.random.default_rng(seed)
    each = -(-count // 4)
    random = rng.integers(-128, 128, (each, WINDOW)).astype(np.int8)
    constant = np.repeat(np.resize(np.arange(-128, 128), each).astype(np.int8)[:, None], WINDOW, axis=1)
    saturated = np.where(rng.random((each, WINDOW)) < rng.random((each, 1)), -128, 127).astype(np.int8)
    return np.concatenate([ecg_windows(each, seed), random, constant, saturated])[:count]


def write_sources(model: bytes, folder: Path) -> Path:
    """Write the network of a model as C, without the rest of a package, and return the folder."""
    network = read_network(read_graph(model, "the model"))
    folder.mkdir(parents=True, exist_ok=True)
    for path in TEMPLATES.glob("anyecg_*.[ch]"):
        (folder / path.name).write_bytes(path.read_bytes())
    for name, data in front_end().items():
        (folder / name).write_bytes(data)
    ends = [("ANYECG_INPUT_VALUES", f"{network.window}u"), ("ANYECG_OUTPUT_VALUES", f"{network.outputs}u")]
    rows = "".join(f"#define {name} {value}\n" for name, value in [*ends, *sizes(network)])
    (folder / "anyecg_config.h").write_text(f"#ifndef ANYECG_CONFIG_H\n#define ANYECG_CONFIG_H\n{rows}#endif\n")
    (folder / "anyecg_layers.c").write_text(layers(network))
    return folder


def outputs_of(program: Path, found: NDArray[np.int8], outputs: int) -> NDArray[np.int8]:
    """Run windows through a program built from `RUNNER` and return its outputs, int8 ``(windows, outputs)``."""
    done = subprocess.run([program], input=found.tobytes(), capture_output=True, timeout=600, check=True)
    return np.frombuffer(done.stdout, np.int8).reshape(len(found), outputs)
