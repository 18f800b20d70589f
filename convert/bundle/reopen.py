"""An existing bundle as contents, so that a command can change some of them and write it again."""

from __future__ import annotations

import json
from pathlib import Path

from convert.bundle.writer import BundleContents
from edge.bundle.files import MANIFEST
from edge.bundle.reader import REQUIRED, Bundle
from firmware_bridge.errors import BundleError

_WRITTEN = {"schema", "notice", "files", "golden"}
"""Keys of the manifest that the writer adds."""


def reopened(folder: Path, bundle: Bundle) -> BundleContents:
    """Return the contents of a bundle.

    Args:
        folder: Its folder.
        bundle: The same bundle, verified.

    Raises:
        BundleError: A file of the bundle can no longer be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        heads = json.loads((folder / "calibration.json").read_bytes())["heads"]
        extra = {name: (folder / name).read_bytes() for name in bundle.manifest.files if name not in REQUIRED}
        card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read {folder}: {error}") from None
    return BundleContents(
        {key: value for key, value in manifest.items() if key not in _WRITTEN},
        bundle.model, heads, bundle.golden_inputs, bundle.golden_outputs, card, extra,
        bundle.golden_by_interpreter, bundle.manifest.golden.limits,
    )  # fmt: skip
