"""Compare one training step of the full-size Net1D in Keras (one convolution per group) with PyTorch.

    python benchmarks/bench_net1d_training.py [--torch-python PYTHON] [--batch 8] [--native]

PyTorch is not a dependency of the kit. If it is in another environment, name the Python of that environment; PyTorch
then runs in a separate process after Keras. The network below follows the published description. ``--native`` also
measures TensorFlow's grouped gradient (minutes). The exit code is 1 if the ratio is above 3.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

LIMIT = 3.0
THREADS = 2
STEPS = 4
OUTPUTS = 108
SAMPLES = 5000

TORCH = """
import json, sys, time
import torch, torch.nn as nn, torch.nn.functional as F
batch, threads, steps, outputs, samples = map(int, sys.argv[1:6])
torch.set_num_threads(threads)
torch.manual_seed(0)

def same(x, k, s):
    n = x.shape[-1]
    p = max(0, (-(-n // s) - 1) * s + k - n)
    return F.pad(x, (p // 2, p - p // 2))

class Block(nn.Module):
    def __init__(self, cin, cout, stride, first):
        super().__init__()
        self.cin, self.cout, self.stride, self.first = cin, cout, stride, first
        self.conv1, self.conv3 = nn.Conv1d(cin, cout, 1), nn.Conv1d(cout, cout, 1)
        self.conv2 = nn.Conv1d(cout, cout, 16, stride, groups=cout // 16)
        self.fc1, self.fc2 = nn.Linear(cout, cout // 2), nn.Linear(cout // 2, cout)
    def forward(self, x):
        y = self.conv1(x if self.first else F.silu(x))
        y = self.conv3(F.silu(self.conv2(same(F.silu(y), 16, self.stride))))
        y = y * torch.sigmoid(self.fc2(F.silu(self.fc1(y.mean(-1)))))[..., None]
        if self.stride > 1:
            x = F.max_pool1d(F.pad(x, (0, 1)), 2)
        left = (self.cout - self.cin) // 2
        return y + F.pad(x, (0, 0, left, self.cout - self.cin - left))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, cin, blocks = nn.Conv1d(1, 64, 16, 2), 64, []
        for cout, count in zip((64, 160, 160, 400, 400, 1024, 1024), (2, 2, 2, 3, 3, 4, 4)):
            for b in range(count):
                blocks.append(Block(cin, cout, 2 if b == 0 else 1, not blocks))
                cin = cout
        self.blocks, self.dense = nn.Sequential(*blocks), nn.Linear(cin, outputs)
    def forward(self, x):
        return self.dense(self.blocks(F.silu(self.first(same(x, 16, 2)))).mean(-1))

net = Net()
adam = torch.optim.Adam(net.parameters(), 1e-4)
x, y = torch.randn(batch, 1, samples), torch.rand(batch, outputs).round()
times = []
for _ in range(steps + 1):
    start = time.perf_counter()
    adam.zero_grad()
    F.binary_cross_entropy_with_logits(net(x), y).backward()
    adam.step()
    times.append(time.perf_counter() - start)
print(json.dumps([torch.__version__, sum(p.numel() for p in net.parameters()), times[1:]]))
"""


def keras_times(batch: int, form: str, steps: int) -> list[float]:
    """Return the time of each training step after the first, seconds."""
    import keras
    import numpy as np
    import tensorflow as tf

    from convert.checkpoint.net1d import Net1D

    keras.utils.set_random_seed(0)
    model = Net1D(n_classes=OUTPUTS, form=form)
    adam = keras.optimizers.Adam(1e-4)
    adam.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((batch, SAMPLES, 1)), tf.float32)
    y = tf.constant(rng.random((batch, OUTPUTS)) > 0.5, tf.float32)

    @tf.function
    def step() -> object:
        with tf.GradientTape() as tape:
            logits = model(x, training=True)["logits"]
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        adam.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        float(step())
        times.append(time.perf_counter() - start)
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--torch-python", default=sys.executable, help="Python of an environment with PyTorch")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--native", action="store_true", help="also measure TensorFlow's grouped gradient (slow)")
    args = parser.parse_args()
    numbers = [str(n) for n in (args.batch, THREADS, STEPS, OUTPUTS, SAMPLES)]
    peer = subprocess.run([args.torch_python, "-c", TORCH, *numbers], capture_output=True, text=True, check=False)
    ours = min(keras_times(args.batch, "auto", STEPS)) / args.batch * 1e3
    print(f"Keras, one convolution per group  {ours:8.1f} ms per window")
    if args.native:
        native = keras_times(2, "native", 1)[0] / 2 * 1e3
        print(f"Keras, TensorFlow's own gradient {native:8.1f} ms per window")
    if peer.returncode != 0:
        print("PyTorch is not installed there: no ratio (--torch-python names a Python that has it)")
        return 0
    version, parameters, times = json.loads(peer.stdout)
    torch_ms = min(times) / args.batch * 1e3
    print(f"PyTorch {version:<24} {torch_ms:8.1f} ms per window ({parameters} parameters)")
    ratio = ours / torch_ms
    print(f"ratio {ratio:.2f}, at most {LIMIT:g} allowed, {THREADS} threads, batch {args.batch}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
