"""``anyecg calibrate person``: a measured result anchors that person's later values."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge.bundle.reader import Bundle, load_bundle
from edge.bundle.schema import OutputHead
from edge.cli.parser import Parser
from edge.cli.run import positive
from edge.person import DAY_NS, Person, Result, load_person, shrunk, to_toml, unix_ns
from edge.records import MAX_LINE_BYTES, Estimate, LabEstimate, from_json, utc_text
from edge.stats import normal_quantile
from firmware_bridge.errors import EXIT_OK, InputError, OutputError, UsageError

PROG = "anyecg calibrate person"
MAX_AGE_DAYS = 7.0
"""How long a result counts unless told otherwise; arbitrary: electrolytes move within days."""
WITHIN_MIN = 60.0
"""An estimate this near to the blood draw counts as of the same moment, as in CardioLab (Sci Rep 2025)."""
OWN_SHARE = 0.5
"""Share of an error's variance that is the person's own, where the bundle does not say; arbitrary."""
MINUTE_NS = 60_000_000_000


def parser() -> Parser:
    """Returns the parser of ``anyecg calibrate person``."""
    p = Parser(PROG, "Anchor a person's values at a measured laboratory result. It stays in a file on this machine.")
    p.add_argument("--lab", required=True, metavar="KEY=VALUE", help="such as potassium=4.3, or 'potassium=4.3 mmol/L'")
    p.add_argument("--at", required=True, metavar="TIME", help="of the blood draw: 2026-01-31T08:30:00Z or +01:00")
    where = p.add_mutually_exclusive_group(required=True)
    where.add_argument("--estimates", type=Path, metavar="FILE", help="JSON Lines that 'anyecg run --out' wrote")
    where.add_argument("--session-dir", type=Path, metavar="DIR", help="folder of 'anyecg run --session-dir'")
    p.add_argument("--person", type=Path, metavar="FILE", help="the person's file; default: in the user's data folder")
    p.add_argument("--name", help="whose results these are; only for people")
    p.add_argument("--bundle", default="demo", metavar="DIR", help="bundle that made the estimates; default demo")
    p.add_argument("--within", type=positive, default=WITHIN_MIN, metavar="MIN", help="minutes; default %(default)g")
    p.add_argument("--max-age", type=positive, default=MAX_AGE_DAYS, metavar="DAYS", help="default %(default)g")
    p.add_argument("--between-sd", type=_spread, metavar="X", help="spread of persons' own errors, in the unit")
    p.add_argument("--within-sd", type=_spread, metavar="X", help="spread of one person's errors, in the unit")
    return p


def main(argv: Sequence[str]) -> int:
    """Runs the command; see ``anyecg calibrate person --help``."""
    args = parser().parse_args(argv)
    bundle = load_bundle(args.bundle)
    head, value = _lab(args.lab, bundle)
    now_ns = time.time_ns()
    at_ns = _moment(args.at, now_ns, args.max_age)
    path = args.person or default_path()
    person = load_person(path) if path.exists() else None
    identity = f"{bundle.manifest.name} {bundle.manifest.version}"
    if person is not None and person.bundle_sha256 != bundle.sha256:
        raise UsageError(f"{path} is about {person.bundle} of other bytes", "name another --person, or --bundle")
    estimate, lab = _nearest(args.estimates or args.session_dir / "estimates.jsonl", bundle, head, at_ns, args.within)
    between_sd, within_sd = _spreads(args, bundle, head)
    assert lab.value is not None
    plain = lab.value - (lab.anchor.offset if lab.anchor is not None else 0.0)
    result = Result(
        head.key, value, head.unit, at_ns, plain, unix_ns(estimate.time), between_sd, within_sd,
        at_ns + round(args.max_age * DAY_NS),
    )  # fmt: skip
    old = () if person is None else person.results
    kept = [r for r in old if (r.key, r.at_ns) != (result.key, result.at_ns)]
    name = args.name if args.name is not None else "" if person is None else person.name
    results = tuple(sorted([*kept, result], key=lambda r: (r.at_ns, r.key)))
    _write(path, to_toml(Person(name, identity, bundle.sha256, utc_text(now_ns), results)))
    sys.stdout.write(_said(results, result, estimate, now_ns) + f"{path}: written, readable by you alone\n")
    return EXIT_OK


def default_path() -> Path:
    """``anyecg/person.toml`` in the user's data folder (XDG base directories)."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path("~/.local/share").expanduser())
    return Path(base) / "anyecg" / "person.toml"


def _said(results: tuple[Result, ...], new: Result, estimate: Estimate, now_ns: int) -> str:
    mine = [r for r in results if r.key == new.key and r.at_ns <= now_ns < r.expires_ns]
    offset, factor = shrunk([r.value - r.estimate for r in mine], new.between_sd, new.within_sd)
    apart_min = abs(new.estimate_ns - new.at_ns) / MINUTE_NS
    moved = f"later values move by {offset:+.3g} {new.unit} ({len(mine)} results, shrunk towards no change)"
    lines = [
        f"{new.key}: measured {new.value:g} {new.unit}, estimated {new.estimate:.4g} {apart_min:.0f} min apart",
        f"{moved}, intervals become {100 * factor:.0f} % as wide, until {utc_text(new.expires_ns)}",
    ]
    if not estimate.clock_synced:
        lines.append("note: the clock was not synchronised when that estimate was made; is its time right?")
    return "\n".join(lines) + "\n"


def _lab(text: str, bundle: Bundle) -> tuple[OutputHead, float]:
    key, _equals, rest = text.partition("=")
    heads = {head.key: head for head in bundle.manifest.outputs}
    values = [k for k, head in heads.items() if head.kind == "value"]
    if key not in values:
        what = "gives a probability, which no result anchors" if key in heads else "is no output of the bundle"
        raise UsageError(f"'{key}' {what}", f"its values: {', '.join(values) or 'none'}")
    number, _blank, unit = rest.strip().partition(" ")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < 1e6:
        raise UsageError(f"--lab {text!r} names no measured value", f"write {key}=4.3")
    if unit.strip() not in {"", heads[key].unit}:
        raise UsageError(f"{key} is in {heads[key].unit}, not in {unit.strip()}", "convert the result first")
    return heads[key], value


def _moment(text: str, now_ns: int, max_age_days: float) -> int:
    try:
        at_ns = unix_ns(text)
    except ValueError:
        raise UsageError(f"--at {text!r} is no time with its offset", "write 2026-01-31T08:30:00Z") from None
    if at_ns > now_ns:
        raise UsageError(f"--at {text} lies in the future", "is the clock of this machine right?")
    if now_ns - at_ns >= max_age_days * DAY_NS:
        raise UsageError(
            f"the result of {text} is older than {max_age_days:g} days and would count no more",
            "a newer one, or --max-age",
        )
    return at_ns


def _nearest(
    path: Path, bundle: Bundle, head: OutputHead, at_ns: int, within_min: float
) -> tuple[Estimate, LabEstimate]:
    """The estimate nearest in time to the blood draw."""
    best: tuple[int, Estimate, LabEstimate] | None = None
    other = False
    for estimate in _lines(path):
        if estimate.bundle.sha256 != bundle.sha256:
            other = True
            continue
        lab = next((one for one in estimate.labs if one.key == head.key and one.value is not None), None)
        if lab is not None:
            apart = abs(unix_ns(estimate.time) - at_ns)
            if best is None or apart < best[0]:
                best = apart, estimate, lab
    if best is None or best[0] > within_min * MINUTE_NS:
        if best is None and other:
            raise InputError(f"{path} holds estimates of another bundle", "name it with --bundle")
        nearest = "there is none at all" if best is None else f"the nearest is {best[0] / MINUTE_NS:.0f} min away"
        raise InputError(
            f"{path} has no estimate of {head.key} within {within_min:g} min of the blood draw: {nearest}", "--within"
        )
    return best[1], best[2]


def _lines(path: Path) -> Iterator[Estimate]:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                # A line that a power cut left unfinished is no estimate.
                if line.endswith("\n"):
                    yield from_json(line)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path} holds a wrong time: {error}") from None


def _spreads(args: argparse.Namespace, bundle: Bundle, head: OutputHead) -> tuple[float, float]:
    """Between and within persons: as told, as the bundle knows, or half of its interval's variance each."""
    found = bundle.calibration[head.key]
    between_sd, within_sd = found.persons or (None, None)
    if found.persons is None and found.interval_width > 0.0 and found.interval_method == "conformal":
        total_sd = found.interval_width / normal_quantile(0.5 + 0.5 * found.level)
        between_sd, within_sd = total_sd * math.sqrt(OWN_SHARE), total_sd * math.sqrt(1.0 - OWN_SHARE)
    between_sd = args.between_sd if args.between_sd is not None else between_sd
    within_sd = args.within_sd if args.within_sd is not None else within_sd
    if between_sd is None or within_sd is None:
        raise UsageError(
            f"how much of an error of {head.key} is the person's own is not known", "--between-sd and --within-sd"
        )
    return between_sd, within_sd


def _spread(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no spread")
    return value


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        # A laboratory result is nobody else's business.
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}", "name another --person") from None
