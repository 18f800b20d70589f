"""The public face of every package: adding or removing a name is a decision, so it changes this file too."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from helpers.import_graph import sources

FACES: dict[str, list[str]] = {
    "calibration": ["BaselinePlan", "EvaluateOptions", "ValidateOptions", "fit_baselines"],
    "calibration.baselines": ["BaselinePlan", "fit_baselines"],
    "calibration.checks": ["check_labelled", "plan_sizes"],
    "calibration.clinical": ["clinical_chapter"],
    "calibration.cli": [],
    "calibration.device": ["measure"],
    "calibration.evaluate": ["EvaluateOptions", "evaluate"],
    "calibration.fusion": ["fuse_heads"],
    "calibration.protocols": ["SignalPlan", "signalmcmed"],
    "calibration.report": ["html_page", "write_report"],
    "calibration.validate": ["ValidateOptions", "validate"],
    "convert": [
        "Checkpoint",
        "DistilConfig",
        "FinetuneOptions",
        "FoundationConfig",
        "PrepareOptions",
        "convert_foundation",
        "read_checkpoint",
        "write_bundle",
    ],
    "convert.bundle": ["BundleContents", "Scaling", "calibrate", "judge", "write_bundle"],
    "convert.checkpoint": ["Checkpoint", "Net1D", "net1d_from_checkpoint", "read_checkpoint", "write_checkpoint"],
    "convert.checkpoint.pickles": [
        "Inert",
        "Loaded",
        "StorageRef",
        "Symbol",
        "TensorRef",
        "load_next",
        "load_plain",
    ],
    "convert.cli": [],
    "convert.compute": ["Progress", "Replicas", "StudentSpec", "Trainer", "load_tensorflow", "run_int8"],
    "convert.datasets": ["McMedDataset", "PreparedDataset", "Recording", "TeacherHead", "catalogue"],
    "convert.datasets.mimic": ["MimicDataset"],
    "convert.demo": ["DemoConfig", "train_demo"],
    "convert.distil": ["DistilConfig", "convert_micro"],
    "convert.finetune": ["FinetuneOptions", "finetune"],
    "convert.foundation": ["FoundationConfig", "convert_foundation"],
    "convert.labels": ["LabelPlan", "VisitResults", "label_visit", "read_plan"],
    "convert.micro": ["LintReport", "MicroPackage"],
    "convert.micro.c99": ["C99Package", "Network"],
    "convert.own_model": ["OwnModelConfig", "make_bundle"],
    "convert.pages": ["names_of", "render"],
    "convert.parity": ["ParityReport", "compare"],
    "convert.prepare": ["PrepareOptions"],
    "convert.quantization": ["StepRow", "TuneOptions", "improve", "tune"],
    "convert.simulate": ["CohortPlan", "simulate_patient", "write_cohort"],
    "convert.stats": ["Platt", "Resampler", "Rule", "auroc", "delong_difference"],
    "convert.teacher": ["CheckpointOptions", "hard_labels", "label", "open_teacher", "patients_file", "provenance_of"],
    "edge": [
        "AnyEcgError",
        "ArrayStream",
        "Beat",
        "Bundle",
        "BundleError",
        "Engine",
        "Estimate",
        "Estimates",
        "Gap",
        "InputError",
        "LabEstimate",
        "LinkError",
        "MissingExtraError",
        "Output",
        "OutputError",
        "Results",
        "Samples",
        "Session",
        "SourceUrl",
        "Stream",
        "UsageError",
        "Waves",
        "__version__",
        "load_bundle",
        "load_model",
        "open",
        "open_source",
        "read_session",
    ],
    "edge.api": [
        "ArrayStream",
        "Beat",
        "Bundle",
        "Estimates",
        "Results",
        "Samples",
        "Session",
        "Stream",
        "Waves",
        "load_bundle",
        "open",
        "read_session",
    ],
    "edge.baseline": ["Baseline", "Change", "Trend", "load_baseline"],
    "edge.beats": ["HeartRate", "RPeakDetector", "heart_rate_bpm"],
    "edge.bench": ["measure"],
    "edge.bundle": ["Bundle", "Manifest", "OutputHead", "load_bundle", "resolve"],
    "edge.cli": ["COMMANDS"],
    "edge.cli.baseline": ["main"],
    "edge.cli.bundle": ["main"],
    "edge.cli.run": ["add_view", "hop", "main", "parser", "positive", "several_patches", "source_url"],
    "edge.collect": ["Collector", "Hop", "Store", "open_store"],
    "edge.doctor": ["Report", "examine"],
    "edge.explain": ["Explainer", "Reasons"],
    "edge.frontend": ["EcgFounderFrontEnd", "StreamFilter", "normalise_window", "window_input_int8"],
    "edge.http": ["HttpAddress", "PageServer", "open_page"],
    "edge.grid": ["Gap", "HostClock", "Resampler", "SampleClock", "Segment", "Timeline", "Uniform"],
    "edge.intake": ["Entry", "EventGate", "LinkQueue"],
    "edge.onpatch": ["FixedHead", "TrustingEngine", "fixed_heads", "identity"],
    "edge.process": ["BudgetMeter", "LatencyMeter", "Notifier", "keep_small", "load_asyncio"],
    "edge.quality": ["Quality", "QualityGate"],
    "edge.rhythm": ["RhythmMeter", "RhythmRecord"],
    "edge.service": ["Place", "install", "remove", "render", "status"],
    "edge.sinks": ["BaseSink", "Interactive", "NativeSink", "Sink", "SinkClosedError"],
    "edge.sinks.live": ["LiveSink", "LiveState", "SvgSink", "open_view"],
    "edge.sinks.mqtt": ["Broker", "MqttSink", "open_mqtt"],
    "edge.sources": ["SCHEMES", "Source", "SourceInfo", "SourceUrl", "open_source", "plugin_source", "session_name"],
    "edge.sources.replay": ["ReplaySource", "open_replay"],
    "edge.sources.replay.binary": ["EdfReader", "MatReader", "WfdbReader"],
    "edge.sources.replay.text": ["JsonTable", "TextFile", "TextTable"],
    "edge.waves": ["FEATURES", "Feature", "segment_features"],
    "edge.sessions": ["SessionFacts", "SessionFolder", "list_sessions"],
    "edge.sessions.formats": [],
    "edge.station": [
        "Outcome",
        "Patch",
        "PatchOptions",
        "PatchSinks",
        "SharedModel",
        "SharedSink",
        "Started",
        "Station",
        "from_sources",
        "from_tables",
    ],
    "edge.store": ["EstimateReader", "Keep", "Storage", "parse_keep"],
    "firmware_bridge": ["LinkEvent", "LinkEventKind", "LinkItem", "SampleBlock"],
    "firmware_bridge.decoding": [],
    "firmware_bridge.devices": [
        "BleProfile",
        "Decoder",
        "Device",
        "DeviceKind",
        "Write",
        "decode_item",
        "get",
        "known",
        "names",
    ],
    "firmware_bridge.discovery": ["ScanResult", "Sighting", "scan"],
    "firmware_bridge.rawlog": [
        "MAGIC",
        "PAYLOAD_MAX",
        "RawLogHeader",
        "RawLogReader",
        "RawLogWriter",
        "SUFFIX",
        "is_rawlog",
    ],
    "firmware_bridge.synth": ["EcgParams", "EcgSynth", "NoiseParams", "NoiseSource"],
    "firmware_bridge.transports": ["DATA_CHANNEL", "GatheringTransport", "RawChunk", "Transport", "TransportItem"],
    "firmware_bridge.virtual": ["FaultSchedule", "PatchConfig", "VirtualMovesense", "VirtualPatch", "VirtualPolar"],
    "firmware_bridge.wire": ["FrameDecoder", "FrameError", "decode", "encode", "encode_frame"],
}


def test_every_package_has_a_face() -> None:
    assert {name for name, path in sources().items() if path.name == "__init__.py"} == set(FACES)


@pytest.mark.parametrize("package", FACES)
def test_the_face_is_what_is_pinned(package: str) -> None:
    assert sorted(importlib.import_module(package).__all__) == FACES[package]


@pytest.mark.parametrize("package", [p for p in FACES if not p.startswith(("convert", "calibration"))])
def test_every_name_of_a_device_face_resolves(package: str) -> None:
    module = importlib.import_module(package)
    for name in FACES[package]:
        assert getattr(module, name) is not None
        assert name in dir(module)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_every_name_of_a_host_face_resolves() -> None:
    """In a process of its own, because it loads TensorFlow."""
    pytest.importorskip("tensorflow", reason="the convert extra is not installed")
    host = {p: names for p, names in FACES.items() if p.startswith(("convert", "calibration"))}
    code = (
        "import importlib\n"
        f"for package, names in {host!r}.items():\n"
        "    for name in names: getattr(importlib.import_module(package), name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr


def test_importing_a_face_loads_no_library() -> None:
    """All but the four whose ``__init__`` holds the types of the package itself."""
    own = {"edge.sources", "edge.sinks", "firmware_bridge.devices", "firmware_bridge.transports"}
    lazy = [p for p in FACES if p not in own and not p.startswith(tuple(f"{o}." for o in own))]
    code = (
        "import importlib, sys\n"
        f"for package in {lazy!r}: importlib.import_module(package)\n"
        "print(sorted({'numpy', 'asyncio', 'scipy', 'tensorflow'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
