"""Targets for files that a user edits or gets from others, and for source URLs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from calibration.validate.gate import LIMITS as GATE
from calibration.validate.gate import load_limits as load_gates
from convert.datasets.outputs_file import read_outputs
from convert.datasets.rectable import read_table
from convert.labels.travelling_plan import default_plan, plan_file, read_label_plan
from convert.parity.limits import GATES as LIMITS
from convert.parity.limits import load_limits
from convert.teacher.patients import patients_file, read_patients_file
from edge.baseline.file import load_baseline
from edge.baseline.words import baseline_text
from edge.bundle.trust import read_trusted
from edge.cli.config import parse_with_config
from edge.cli.run import parser
from edge.device_profile import load_profile
from edge.device_profile import to_toml as profile_text
from edge.person import load_person, notes, unix_ns
from edge.sources import SourceUrl
from edge.sources.replay.source import Playback, read_options
from firmware_bridge import devices
from fuzz.target import Target, check_texts, scratch


def _config(path: Path) -> None:
    parse_with_config(parser(), ["--config", str(path)])


def _person(path: Path) -> None:
    check_texts(notes(load_person(path), unix_ns("2026-06-01T00:00:00Z")))


def _baseline(path: Path) -> None:
    check_texts(baseline_text(load_baseline(path), "b.json").splitlines())


READERS: dict[bytes, tuple[str, Callable[[Path], object]]] = {
    b"c": (".toml", _config),
    b"d": (".toml", lambda path: profile_text(load_profile(path))),
    b"p": (".toml", _person),
    b"b": (".json", _baseline),
    b"k": (".pub", read_trusted),
    b"l": (".toml", read_label_plan),
    b"L": (".json", read_label_plan),
    b"o": (".toml", read_outputs),
    b"O": (".json", read_outputs),
    b"r": (".toml", read_table),
    b"h": (".json", read_patients_file),
    b"g": (".toml", load_gates),
    b"m": (".toml", load_limits),
}
"""Suffix and reader by the first byte of an input."""


def settings_seeds() -> list[bytes]:
    """Return a valid file for every reader."""
    result = (
        '[[results]]\nkey = "potassium"\nvalue = 4.5\nunit = "mmol/L"\nat = "2026-05-01T08:00:00Z"\nestimate = 4.0\n'
        'estimate_at = "2026-05-01T08:00:10Z"\nbetween_sd = 0.3\nwithin_sd = 0.4\nexpires = "2026-08-01T00:00:00Z"\n'
    )
    profile = (
        'schema = "anyecg.device-profile/1"\ndevice = "ad8232_text"\nunit = "counts"\nlsb_mv = 0.005\n'
        "lsb_relative_uncertainty = 0.01\npolarity = 1\npolarity_known = true\noffset = 512\nfs_nominal_hz = 250\n"
        'made = "2026-01-01"\nhow = "pulse"\nsource = "x"\n[[response]]\nhz = 1.0\nratio = 0.9\n'
    )
    levels = {"qtc_ms": {"median": 400, "mad": 3, "scatter": 5, "windows": 300}}
    baseline = {
        "schema": "anyecg.baseline/1", "made": "x", "sources": ["a"], "device": "p", "lead": None,
        "profile_sha256": None, "montage": "", "levels": levels,
        "quiet_hour": {"start": "x", "minutes": 60, "windows": 300, "stated": False, "rr_ms": 1000},
        "correction": {"name": "fridericia", "exponent": 0.33, "low": 0.2, "high": 0.5, "rr_low_ms": 700,
                       "rr_high_ms": 1500, "blocks": 0},
        "postures": [{"name": "lying", "windows": 20, "rr_ms": 1000, "medians": {"qtc_ms": 400}}],
    }  # fmt: skip
    output = {
        "index": 0, "key": "k", "lab": "Potassium", "loinc": "2823-3", "unit": "1", "direction": "low",
        "kind": "probability", "means": "x", "rhythms": ["sinus"], "horizon_min": 60,
        "evidence": {"tier": "limited", "ci": [0.5, 0.6], "auroc": 0.55, "n": 9, "mae": None},
    }  # fmt: skip
    texts = {
        b"c": 'source = "sim:"\nhop = 2.0\nview = "none"\n',
        b"d": profile,
        b"p": 'schema = "anyecg.person/1"\nname = "A"\nbundle = "b"\nbundle_sha256 = "0"\nmade = "x"\n' + result,
        b"b": json.dumps(baseline),
        b"k": "# keys\nanyecg-ed25519 " + "A" * 43 + "= name\n",
        b"l": "[pairing]\nmode = 'nearest'\n[labs.potassium]\nnames = ['K']\n",
        b"L": plan_file(default_plan()).decode(),
        b"o": '[[outputs]]\nkey = "k"\nlab = "Potassium"\nkind = "probability"\ndirection = "low"\n',
        b"O": json.dumps({"outputs": [output]}),
        b"r": '[default]\nfs_hz = 250\n["a*.csv"]\nlead = "II"\nlsb_mv = 0.005\n',
        b"h": patients_file({"train": frozenset({bytes(6)})}).decode(),
        b"g": GATE.read_text(encoding="utf-8"),
        b"m": LIMITS.read_text(encoding="utf-8"),
    }
    return [key + text.encode() for key, text in texts.items()]


def check_settings(data: bytes) -> None:
    """Read a file with the reader that the first byte names."""
    suffix, reader = READERS.get(data[:1], READERS[b"c"])
    path = scratch() / f"settings{suffix}"
    path.write_bytes(data[1:])
    reader(path)


def url_seeds() -> list[bytes]:
    """Return source URLs."""
    return [
        b"replay:a/b.csv?fs=250&lead=II&speed=max&start=2&block_s=0.1",
        b"replay:%C3%A4.hea?unit=mV&seconds=1e3",
        b"serial:/dev/ttyACM0?baud=921600&device=ad8232_text&rate=250",
        b"record:x.aer,ble:AA:BB:CC:DD:EE:FF?device=polar_h10",
        b"tcp:[::1]:9000?device=anyecg_patch",
    ]


def check_url(data: bytes) -> None:
    """Parse a URL and all that it can say, without opening anything."""
    url = SourceUrl.parse(data.decode("utf-8", "surrogateescape"))
    device = url.params.get("device", "ad8232_text")
    Playback.parse(url)
    read_options(url)
    url.flag("wait", default=True)
    url.integer("baud", 115200, 300, 4_000_000)
    found = devices.get(device)
    found.decoder(**{key: value for key, value in url.params.items() if key in found.profile.options})


TARGETS = (
    Target(
        "settings",
        settings_seeds,
        check_settings,
        (b"[[", b'"""', b"= ", b"1e400", b"inf", b"nan", b"schema", b"-01-01"),
        is_json=True,
        tag_bytes=1,
    ),
    Target("url", url_seeds, check_url, (b"replay:", b"&", b"=", b"%", b"?", b"nan", b"inf", b"1e400")),
)
