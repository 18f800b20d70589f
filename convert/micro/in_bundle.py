"""The ``micro/`` folder of a new bundle: the student as plain C99.

A student that plain C99 does not cover gets the package for TensorFlow Lite Micro, so that no training is lost for it;
``anyecg lint`` says what is not covered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from convert.bundle.writer import CALIBRATION_SCHEMA, NOTICE, BundleContents
from convert.micro import package as tflm
from convert.micro.c99 import package as c99
from convert.micro.c99.reading import NotCoveredError
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
        As :func:`convert.micro.package.build`.
    """
    manifest = parse_manifest({"schema": SCHEMA, **contents.manifest, "notice": NOTICE, "files": {}})
    calibration = parse_calibration({"schema": CALIBRATION_SCHEMA, "heads": dict(contents.heads)}, manifest.outputs)
    source = MicroSource(manifest, calibration, contents.model, contents.golden_inputs, contents.golden_outputs)
    files = {f"{FOLDER}/{name}": data for name, data in _files(source).items()}
    return replace(contents, extra={**contents.extra, **files})


def _files(source: MicroSource) -> Mapping[str, bytes]:
    try:
        return c99.build(source).files
    except NotCoveredError:
        return tflm.build(source).files
