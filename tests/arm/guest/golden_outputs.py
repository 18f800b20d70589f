"""Print, as JSON, how far this machine's outputs are from the golden ones of a bundle, and the memory that it took."""

from __future__ import annotations

import json
import sys

import numpy as np

from edge.bundle.reader import load_bundle
from edge.model import load_model
from edge.process.budget import peak_rss_mib
from edge.self_test import compared, self_test

bundle = load_bundle(sys.argv[1])
model = load_model(bundle)
self_test(bundle, model)
lines = [bundle.calibration[head.key] for head in bundle.manifest.outputs]
logits = compared(bundle, model).differences * bundle.manifest.output.scale * np.abs([c.slope for c in lines])
print(json.dumps({"logits_max": float(logits.max()), "peak_mib": peak_rss_mib()}))
