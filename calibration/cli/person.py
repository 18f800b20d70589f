"""``anyecg calibrate person``: anchor the later values of a person at a measured result."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from calibration.checks.plausible import plausible_range
from edge.bundle.reader import Bundle, load_bundle
from edge.bundle.schema import OutputHead
from edge.cli.parser import Parser
from edge.cli.run import positive
from edge.person import DAY_NS, Person, Result, load_person, shrunk, to_toml, unix_ns
from edge.process.files import output_error, write_atomically
from edge.records import Estimate, LabEstimate, utc_text
from edge.stats import normal_quantile
from edge.store.reader import EstimateReader
from firmware_bridge.errors import EXIT_OK, InputError, UsageError

PROG = "anyecg calibrate person"
MAX_AGE_DAYS = 7.0
"""Default validity of a result, days; an arbitrary choice, because electrolytes change within days."""
WITHIN_MIN = 60.0
"""Default largest time between estimate and blood draw, minutes, as in CardioLab (Sci Rep 2025)."""
OWN_SHARE = 0.5
"""Share of the error variance between persons if the bundle does not state it; an arbitrary choice."""
MINUTE_NS = 60_000_000_000


def parser() -> Parser:
    """Return the parser of ``anyecg calibrate person``."""
    p = Parser(PROG, "Anchor the values of a person at a measured laboratory result. The result stays on this machine.")
    add = p.add_argument
    add("--lab", required=True, metavar="KEY=VALUE", help="measured result: potassium=4.3 or 'potassium=4.3 mmol/L'")
    add("--at", required=True, metavar="TIME", help="time of the blood draw: 2026-01-31T08:30:00Z, or with +01:00")
    where = p.add_mutually_exclusive_group(required=True)
    where.add_argument("--estimates", type=Path, metavar="FILE", help="file of 'anyecg run --out' or a session")
    where.add_argument("--session-dir", type=Path, metavar="DIR", help="folder of 'anyecg run --session-dir'")
    add("--person", type=Path, metavar="FILE", help="file with the results of the person; default: in your data folder")
    add("--name", help="name of the person, for display only")
    add("--bundle", default="demo", metavar="DIR", help="bundle that made the estimates; default demo")
    add(
        "--within",
        type=positive,
        default=WITHIN_MIN,
        metavar="MIN",
        help="largest time between estimate and blood draw, minutes; default %(default)g",
    )
    add(
        "--max-age",
        type=positive,
        default=MAX_AGE_DAYS,
        metavar="DAYS",
        help="days until the result expires; default %(default)g",
    )
    add("--between-sd", type=_spread, metavar="X", help="SD of the errors between persons, in the unit of the value")
    add("--within-sd", type=_spread, metavar="X", help="SD of the errors within a person, in the unit of the value")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg calibrate person --help``."""
    args = parser().parse_args(argv)
    bundle = load_bundle(args.bundle)
    head, value = _lab(args.lab, bundle)
    now_ns = time.time_ns()
    at_ns = _moment(args.at, now_ns, args.max_age)
    path = args.person or default_path()
    person = load_person(path) if path.exists() else None
    identity = f"{bundle.manifest.name} {bundle.manifest.version}"
    if person is not None and person.bundle_sha256 != bundle.sha256:
        raise UsageError(f"{path} belongs to another bundle, {person.bundle}", "choose another --person or --bundle")
    estimate, lab = _nearest(args.estimates or args.session_dir, bundle, head, at_ns, args.within)
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
    sys.stdout.write(_said(results, result, estimate, now_ns) + f"{path}: written; only you can read it\n")
    return EXIT_OK


def default_path() -> Path:
    """Return ``anyecg/person.toml`` in the data folder of the user (XDG base directories)."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path("~/.local/share").expanduser())
    return Path(base) / "anyecg" / "person.toml"


def _said(results: tuple[Result, ...], new: Result, estimate: Estimate, now_ns: int) -> str:
    mine = [r for r in results if r.key == new.key and r.at_ns <= now_ns < r.expires_ns]
    offset, factor = shrunk([r.value - r.estimate for r in mine], new.between_sd, new.within_sd)
    apart_min = abs(new.estimate_ns - new.at_ns) / MINUTE_NS
    moved = f"later values shift by {offset:+.3g} {new.unit} ({len(mine)} results, shrunk towards 0)"
    lines = [
        f"{new.key}: measured {new.value:g} {new.unit}, estimated {new.estimate:.4g} {apart_min:.0f} min apart",
        f"{moved}, interval width becomes {100 * factor:.0f} % of the original, until {utc_text(new.expires_ns)}",
    ]
    if not estimate.clock_synced:
        lines.append("note: the clock was not synchronised when this estimate was made; check its time")
    return "\n".join(lines) + "\n"


def _lab(text: str, bundle: Bundle) -> tuple[OutputHead, float]:
    key, _equals, rest = text.partition("=")
    heads = {head.key: head for head in bundle.manifest.outputs}
    values = [k for k, head in heads.items() if head.kind == "value"]
    if key not in values:
        what = "is a probability, which cannot be anchored" if key in heads else "is not an output of the bundle"
        raise UsageError(f"'{key}' {what}", f"values of the bundle: {', '.join(values) or 'none'}")
    number, _blank, unit = rest.strip().partition(" ")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < 1e6:
        raise UsageError(f"--lab {text!r} has no valid number", f"write {key}=4.3")
    if unit.strip() not in {"", heads[key].unit}:
        raise UsageError(f"{key} is in {heads[key].unit}, not in {unit.strip()}", "convert the result first")
    low, high = plausible_range(heads[key])
    if not low <= value <= high:
        raise UsageError(
            f"{key}={value:g} {heads[key].unit} is not plausible ({low:g} to {high:g} {heads[key].unit})",
            "check the number and its unit",
        )
    return heads[key], value


def _moment(text: str, now_ns: int, max_age_days: float) -> int:
    try:
        at_ns = unix_ns(text)
    except ValueError:
        raise UsageError(f"--at {text!r} is not a time with UTC offset", "write 2026-01-31T08:30:00Z") from None
    if at_ns > now_ns:
        raise UsageError(f"--at {text} is in the future", "check the time and the clock of this machine")
    if now_ns - at_ns >= max_age_days * DAY_NS:
        raise UsageError(
            f"the result of {text} is older than {max_age_days:g} days and has expired",
            "give a newer result, or a larger --max-age",
        )
    return at_ns


def _nearest(
    path: Path, bundle: Bundle, head: OutputHead, at_ns: int, within_min: float
) -> tuple[Estimate, LabEstimate]:
    """Return the estimate nearest in time to the blood draw."""
    best: tuple[int, Estimate, LabEstimate] | None = None
    other = False
    for estimate in _estimates(path):
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
            raise InputError(f"{path} contains estimates of another bundle", "select that bundle with --bundle")
        nearest = "it has none at all" if best is None else f"the nearest is {best[0] / MINUTE_NS:.0f} min away"
        raise InputError(
            f"{path} has no estimate of {head.key} within {within_min:g} min of the blood draw: {nearest}",
            "give another --estimates file, or a larger --within",
        )
    return best[1], best[2]


def _estimates(path: Path) -> Iterator[Estimate]:
    reader = EstimateReader(path)
    for estimate in reader.estimates():
        try:
            unix_ns(estimate.time)
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{path} contains an invalid time: {error}") from None
        yield estimate


def _spreads(args: argparse.Namespace, bundle: Bundle, head: OutputHead) -> tuple[float, float]:
    """Return both spreads: from the options, from the bundle, or from half of the variance of its interval each."""
    found = bundle.calibration[head.key]
    between_sd, within_sd = found.persons or (None, None)
    if found.persons is None and found.interval_width > 0.0 and found.interval_method == "conformal":
        total_sd = found.interval_width / normal_quantile(0.5 + 0.5 * found.level)
        between_sd, within_sd = total_sd * math.sqrt(OWN_SHARE), total_sd * math.sqrt(1.0 - OWN_SHARE)
    between_sd = args.between_sd if args.between_sd is not None else between_sd
    within_sd = args.within_sd if args.within_sd is not None else within_sd
    if between_sd is None or within_sd is None:
        raise UsageError(
            f"the spread of the errors of {head.key} between persons is not known", "add --between-sd and --within-sd"
        )
    return between_sd, within_sd


def _spread(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a standard deviation")
    return value


def _write(path: Path, text: str) -> None:
    advice = "choose another --person"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error, advice) from None
    # A laboratory result is private.
    write_atomically(path, text, advice=advice, private=True)
