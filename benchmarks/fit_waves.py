"""Train the boundary network of the wave path on the marks of LUDB and on simulated beats.

    python benchmarks/fit_waves.py LUDB [--epochs 140] [--out boundaries.npy] [--halves ludb_halves.npz]

LUDB is the folder ``data`` of PhysioNet's ludb 1.0.1 (ODC-By 1.0); records up to 100 are read. Trains one network on
the odd records and one on the even ones, both for ``benchmarks/bench_waves.py``, and one on all, for the package.
Examples are the average beats and the single beats of every lead, on the wave path and after ``ecgfounder/1``, and the
beats of simulated patients with their true boundaries. Then it fits the weights of the evidence for P
(``edge/waves/delineate.py``) on the other half of each network and prints them. Needs the ``convert`` extra.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from ludb import FS_HZ, GRID_HZ, LEADS, beats, has_p, records, signals, window_of

from convert.simulate.patient import simulate_patient
from edge.frontend.ecgfounder import EcgFounderFrontEnd
from edge.waves.delineate import p_evidence
from edge.waves.mean_beat import MeanBeat, mean_beat, place, r_peaks
from edge.waves.net import CHANNELS, DILATIONS, FIRST, LATER, MARKS, SAMPLES, SLOPE_GAIN, BoundaryNet, R, scaled
from edge.waves.path import wave_path
from firmware_bridge.synth.ecgsyn import QRS_ONSET, EcgSynth

SIMULATED = 500
STEPS = 30
"""Steps of an epoch."""
BATCH = 256
RATE = 2e-3
PER_MS = 0.125
"""Samples of the network per millisecond."""


class Examples:
    """Beats at 125 Hz with the places of their marks."""

    def __init__(self) -> None:
        self.beats: list[np.ndarray] = []
        self.marks: list[np.ndarray] = []
        self.rows: list[tuple[int, bool, float]] = []
        """Record (0 if simulated), whether there is a P, and weight of each example."""
        self.averages: list[tuple[int, bool, MeanBeat]] = []
        """Record, whether there is a P, and the average beat of each lead on the wave path."""

    def add(self, beat: np.ndarray, marks: np.ndarray, record: int, weight: float, *, p: bool) -> None:
        """Add a beat at 250 Hz."""
        self.beats.append(beat[::2])
        self.marks.append(marks)
        self.rows.append((record, p, weight))


def add_ludb(out: Examples, folder: Path, record: int) -> None:
    """Add all leads of a record."""
    front_end = EcgFounderFrontEnd()
    ecg = signals(folder, record)
    for lead in LEADS:
        marked = beats(folder, record, lead)
        window = window_of(ecg[lead])
        if window is not None:
            path = wave_path(window.raw, GRID_HZ)
            _add_lead(out, mean_beat(path, place(path, window.beats * 2)), marked, record, (4.0, 1.0), keep=True)
        filtered = front_end.filter(ecg[lead][:5000])
        peaks = r_peaks(filtered / (filtered.std() + 1e-9)) // 2
        thin = filtered[::2]
        _add_lead(out, mean_beat(thin, place(thin, peaks)), marked, record, (2.0, 0.0), keep=False)


def _add_lead(out: Examples, beat: MeanBeat | None, marked, record: int, weights, *, keep: bool) -> None:
    """Add the average beat with the medians of the marks of its beats, and the single beats with theirs."""
    if beat is None:
        return
    p = has_p(marked)
    each = np.array([_marks_at(marked, at / 250.0) for at in beat.at])
    known = np.isfinite(each[:, 2])
    if not known.any():
        return
    medians = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else np.nan for c in each.T])
    out.add(beat.wave, medians, record, weights[0], p=p)
    if keep:
        out.averages.append((record, p, beat))
    if weights[1]:
        for one, marks in zip(beat.beats[known], each[known], strict=True):
            out.add(one, marks, record, weights[1], p=p)


def _marks_at(marked, r_s: float) -> np.ndarray:
    for beat in marked:
        if beat.qrs[0] / FS_HZ - 0.02 <= r_s <= beat.qrs[2] / FS_HZ + 0.02:
            at = np.array([beat.p[0], beat.p[2], beat.qrs[0], beat.qrs[2], beat.t[1], beat.t[2]])
            return (at / FS_HZ - r_s) * 125.0 + R
    return np.full(len(MARKS), np.nan)


def add_simulated(out: Examples, index: int, rng: np.random.Generator) -> None:
    """Add a simulated patient; every second one has waves of any size and length."""
    patient = simulate_patient(900, index, 10.0)
    p, ecg, synth = patient.latents, patient.ecg_mv.astype(float), None
    if index % 2:
        p = replace(
            p, pvc_per_beat=0.0, af=False, qrs_ms=rng.uniform(70, 160), pr_ms=rng.uniform(120, 260),
            p_ms=rng.uniform(70, 130), p_mv=rng.uniform(0.04, 0.25), q_mv=-rng.uniform(0, 0.4),
            s_mv=-rng.uniform(0, 0.8), st_mv=rng.normal(0, 0.08),
            t_mv=rng.choice([-1, 1, 1, 1]) * rng.uniform(0.08, 0.7), t_ms=rng.uniform(130, 230),
            qtc_ms=rng.uniform(360, 500),
        )  # fmt: skip
        synth = EcgSynth(p, 5000 + index)
        ecg = synth.generate(5000, FS_HZ) + rng.normal(0, np.exp(rng.normal(-4, 0.7)), 5000)
    else:
        synth = EcgSynth(p, (900 * 1_000_003 + index) * 8)
        synth.generate(5000, FS_HZ)
    r_s = np.array([beat.r_time_s for beat in synth.take_beats() if beat.kind == "N"])
    has = not p.af and p.p_mv >= 0.03
    if not has and not p.af:
        return
    onset = -QRS_ONSET * p.qrs_ms
    t_end = onset + p.qtc_ms * (60.0 / p.hr_bpm) ** (1 / 3)
    begin = onset - p.pr_ms if has else np.nan
    t_peak = t_end - p.t_ms / (1.0 + p.t_asymmetry)
    true_ms = np.array([begin, begin + p.p_ms, onset, onset + p.qrs_ms, t_peak, t_end])
    filtered = EcgFounderFrontEnd().filter(ecg)
    peaks = r_peaks(filtered / (filtered.std() + 1e-9)) // 2
    for path, weights in ((wave_path(ecg, 500), (1.0, 0.15)), (filtered[::2], (0.7, 0.0))):
        beat = mean_beat(path, place(path, peaks))
        if beat is None:
            continue
        # The simulator counts from R, which need not be the largest deflection.
        moved = float(np.median([r_s[np.abs(r_s - at / 250.0).argmin()] - at / 250.0 for at in beat.at]))
        if abs(moved) > 0.1:
            continue
        marks = (true_ms + 1e3 * moved) * PER_MS + R
        out.add(beat.wave, marks, 0, weights[0], p=has)
        for one in beat.beats[:3] if weights[1] else ():
            out.add(one, marks, 0, weights[1], p=has)


def varied(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Change the heights of P and T, the length of the beat, its polarity, noise and baseline."""
    n, t = len(x), np.arange(SAMPLES)
    x, y = x.copy(), y.copy()
    for i in range(n):
        if np.isfinite(y[i, 5]) and rng.random() < 0.5:
            inside = 1 / (1 + np.exp(-(t - y[i, 3] - 5) / 2)) / (1 + np.exp((t - y[i, 5] - 6) / 3))
            x[i] += (np.exp(rng.normal(0, 0.5)) - 1) * inside * x[i]
        if np.isfinite(y[i, 0]) and rng.random() < 0.5:
            inside = 1 / (1 + np.exp(-(t - y[i, 0]) / 1.2)) / (1 + np.exp((t - y[i, 1]) / 1.2))
            line = np.interp(t, y[i, :2], np.interp(y[i, :2], t, x[i]))
            x[i] += (np.exp(rng.normal(0, 0.5)) - 1) * inside * (x[i] - line)
        stretch, shift = np.exp(rng.normal(0, 0.08)), rng.normal(0, 1.2)
        x[i] = np.interp((t - R - shift) / stretch + R, t, x[i])
        y[i] = (y[i] - R) * stretch + R + shift
    x = np.array([scaled(row) for row in x]) * np.where(rng.random((n, 1)) < 0.3, -1, 1)
    noise = rng.normal(0, 1, (n, SAMPLES))
    noise = 0.5 * noise + 0.5 * (noise + np.roll(noise, 1, 1) + np.roll(noise, 2, 1)) / 1.7
    x += np.exp(rng.normal(-4.5, 0.8, (n, 1))) * noise
    return x + rng.normal(0, 0.03, (n, 1)) * (t - R) / R + rng.normal(0, 0.02, (n, 1)), y


def train(data: Examples, chosen: np.ndarray, epochs: int) -> np.ndarray:
    """Train a network; return its weights, float16."""
    import tensorflow as tf
    from tensorflow import keras

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.keras.utils.set_random_seed(1)
    x, y = np.array(data.beats), np.array(data.marks)
    has, weight = np.array([row[1] for row in data.rows]), np.array([row[2] for row in data.rows])
    rng, index = np.random.default_rng(0), np.flatnonzero(chosen)
    share = weight[index] / weight[index].sum()
    model, time = _model(keras), np.arange(SAMPLES)
    optimizer = keras.optimizers.Adam(RATE)

    @tf.function
    def step(inputs, target, present):
        with tf.GradientTape() as tape:
            scores, p_score = model(inputs, training=True)
            loss = -tf.reduce_sum(target * tf.nn.log_softmax(scores, axis=1)) / tf.reduce_sum(target)
            loss += 0.3 * tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(present, p_score[:, 0]))
            loss += 1e-4 * tf.add_n([tf.nn.l2_loss(v) for v in model.trainable_variables if "kernel" in v.name])
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        return loss

    for epoch in range(epochs):
        optimizer.learning_rate = 0.5 * RATE * (1 + np.cos(np.pi * epoch / epochs)) + 2e-5
        losses = []
        for _ in range(STEPS):
            some = rng.choice(index, BATCH, p=share)
            beat, marks = varied(x[some], y[some], rng)
            known = np.isfinite(marks) & (marks > 1) & (marks < SAMPLES - 2)
            target = np.exp(-0.5 * (time[None, :, None] - np.nan_to_num(marks)[:, None]) ** 2)
            target = target / (target.sum(axis=1, keepdims=True) + 1e-9) * known[:, None]
            inputs = np.stack([beat, SLOPE_GAIN * np.gradient(beat, axis=1)], axis=-1)
            losses.append(
                float(step(inputs.astype(np.float32), target.astype(np.float32), has[some].astype(np.float32)))
            )
        if epoch % 20 == 19:
            print(f"  epoch {epoch + 1}: loss {np.mean(losses):.3f}", flush=True)
    return np.concatenate([w.ravel() for layer in model.layers for w in layer.get_weights()]).astype(np.float16)


def _model(keras):
    layers = keras.layers
    inputs = keras.Input((SAMPLES, 2))
    h = layers.Conv1D(CHANNELS, FIRST, padding="same", activation="relu")(inputs)
    for dilation in DILATIONS:
        h = layers.Add()(
            [h, layers.Conv1D(CHANNELS, LATER, padding="same", dilation_rate=dilation, activation="relu")(h)]
        )
    return keras.Model(inputs, [layers.Conv1D(len(MARKS), 1)(h), layers.Dense(1)(layers.GlobalMaxPooling1D()(h))])


def fit_p(data: Examples, halves: dict[str, np.ndarray]) -> None:
    """Print the weights of the evidence for P, fitted on leads whose patients the network has not seen."""
    from sklearn.linear_model import LogisticRegression

    nets = {name: BoundaryNet(weights) for name, weights in halves.items()}
    rows, has = [], []
    for record, p, beat in data.averages:
        found = p_evidence(beat, nets["even" if record % 2 else "odd"])
        if found is not None:
            rows.append(found)
            has.append(p)
    fit = LogisticRegression(class_weight="balanced").fit(np.array(rows), np.array(has))
    score = fit.decision_function(np.array(rows))
    print("P_EVIDENCE", fit.coef_[0].round(2).tolist(), "P_BIAS", round(float(fit.intercept_[0]), 2))
    print(f"claimed with P {np.mean(score[np.array(has)] > 0):.3f}, without {np.mean(score[~np.array(has)] > 0):.3f}")


def main() -> None:
    """Train and write the networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ludb", type=Path)
    parser.add_argument("--epochs", type=int, default=140)
    parser.add_argument("--out", type=Path, default=Path("boundaries.npy"))
    parser.add_argument("--halves", type=Path, default=Path("ludb_halves.npz"))
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    data, rng = Examples(), np.random.default_rng(5)
    for record in records(args.ludb):
        if record <= 100:
            add_ludb(data, args.ludb, record)
    for index in range(SIMULATED):
        add_simulated(data, index, rng)
    record = np.array([row[0] for row in data.rows])
    print(f"{len(record)} beats")
    chosen = {"odd": (record == 0) | (record % 2 == 1), "even": record % 2 == 0}
    halves = {name: train(data, which, args.epochs) for name, which in chosen.items()}
    np.savez(args.halves, **halves)
    fit_p(data, halves)
    np.save(args.out, train(data, record >= 0, args.epochs))


if __name__ == "__main__":
    main()
