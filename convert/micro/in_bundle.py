"""The ``micro/`` folder of a new bundle: the student as plain C99."""

from __future__ import annotations

from dataclasses import replace

from convert.bundle.writer import CALIBRATION_SCHEMA, NOTICE, BundleContents
from convert.micro.c99.package import build
from convert.micro.package import MicroSource
from edge.bundle.calibration import parse_calibration
from edge.bundle.schema import SCHEMA, parse_manifest

FOLDER = "micro"
"""Folder of the package in a bundle."""


def with_micro(contents: BundleContents) -> BundleContents:
    """Add the package to the contents of a new bundle.

    Args:
        contents: Contents of a bundle of the micro tier.

    Returns:
        The contents with ``micro/`` among the extra files.

    Raises:
        As :func:`convert.micro.c99.package.build`.
    """
    manifest = parse_manifest({"schema": SCHEMA, **contents.manifest, "notice": NOTICE, "files": {}})
    calibration = parse_calibration({"schema": CALIBRATION_SCHEMA, "heads": dict(contents.heads)}, manifest.outputs)
    source = MicroSource(manifest, calibration, contents.model, contents.golden_inputs, contents.golden_outputs)
    files = {f"{FOLDER}/{name}": data for name, data in build(source).files.items()}
    return replace(contents, extra={**contents.extra, **files})
