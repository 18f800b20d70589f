"""``anyecg calibrate device``: measure a board and write its device profile."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from calibration.device.capture import Capture, capture
from calibration.device.run import SIGNALS, Applied, measure
from calibration.device.sine import outside_response
from edge.cli.parser import Parser
from edge.cli.run import positive
from edge.device_profile import MeasuredProfile, load_profile, to_toml
from edge.process.files import write_atomically
from edge.sources import SCHEMES, open_source, plugin_source
from firmware_bridge.errors import EXIT_OK, OutputError, UsageError

PROG = "anyecg calibrate device"


def parser() -> Parser:
    """Return the parser of ``anyecg calibrate device``."""
    p = Parser(PROG, "Measure a board with a calibrator on its electrodes and write its device profile.")
    p.add_argument("--source", metavar="URL", required=True, help="as for 'anyecg run', or a recording file")
    p.add_argument("--signal", choices=SIGNALS, default="pulse", help="signal that is applied; default %(default)s")
    p.add_argument(
        "--amplitude-mv", metavar="X", type=positive, default=1.0, help="peak-to-peak amplitude, mV; default 1"
    )
    p.add_argument("--hz", metavar="X", type=positive, help="true frequency of the sine")
    p.add_argument(
        "--seconds", metavar="N", type=positive, help="duration of the measurement; default 30, for a sweep 60"
    )
    p.add_argument("--add-to", metavar="FILE", type=Path, help="existing profile of the same board to extend")
    p.add_argument("--name", help="name of the device; default: the name that the source gives")
    p.add_argument("--out", metavar="FILE", type=Path, help="file of the profile (TOML); default: that of --add-to")
    p.add_argument("--force", action="store_true", help="replace the file of --out")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg calibrate device --help``."""
    args = parser().parse_args(argv)
    out = args.out or args.add_to
    if out is None:
        raise UsageError("no file for the profile", "add --out profile.toml")
    if not out.absolute().parent.is_dir():
        raise OutputError(f"{out.absolute().parent} is not a folder", "create it first, or choose another --out")
    if args.out is not None and args.out != args.add_to and args.out.exists() and not args.force:
        raise UsageError(f"{args.out} exists", "extend it with --add-to, name another file, or add --force")
    before = None if args.add_to is None else load_profile(args.add_to)
    if args.signal == "sine" and args.hz is None:
        raise UsageError("the frequency of the sine is not given", "add --hz with all digits that the generator shows")
    url = args.source
    scheme = url.partition(":")[0].lower()
    if scheme not in SCHEMES and plugin_source(scheme) is None:
        url = f"replay:{url}{'&' if '?' in url else '?'}speed=max"
    seconds = args.seconds or (60.0 if args.signal == "sweep" else 30.0)
    captured = capture(open_source(url), seconds, _show if sys.stderr.isatty() else lambda _: None)
    profile = measure(captured, Applied(args.signal, args.amplitude_mv, args.hz), before, args.name)
    write_atomically(out, to_toml(profile), advice="choose another --out")
    sys.stdout.write(describe(profile, captured) + f"{out}: written\n")
    return EXIT_OK


def describe(profile: MeasuredProfile, captured: Capture | None = None) -> str:
    """Return the profile as text, one fact per line."""
    unit = "count" if profile.unit == "counts" else profile.unit
    percent = 100.0 * profile.lsb_relative_uncertainty
    lines = [
        f"device      {profile.device}" + (f" {profile.device_id}" if profile.device_id else ""),
        f"scale       {profile.lsb_mv:.6g} mV/{unit} ± {percent:.2g} % (k = 2, without that of the calibrator)",
        f"polarity    {'normal' if profile.polarity == 1 else 'inverted'}"
        + ("" if profile.polarity_known else " (assumed: this signal does not show it)"),
        f"offset      {profile.offset:.6g} {profile.unit}",
    ]
    claimed = None if captured is None else captured.lsb_mv
    if claimed is not None:
        lines.append(f"claimed     {claimed:.6g} mV/{unit}: off by {100 * (profile.lsb_mv / claimed - 1):+.2f} %")
    if profile.fs_hz is not None:
        ppm = 1e6 * (profile.fs_hz / profile.fs_nominal_hz - 1.0)
        lines.append(f"rate        {profile.fs_hz:.4f} Hz by the {profile.fs_from} ({ppm:+.0f} ppm)")
    if profile.noise_mv is not None:
        lines.append(f"noise       {1e3 * profile.noise_mv:.3g} uV RMS")
    if profile.low_cut_hz is not None:
        lines.append("low cut     " + (f"{profile.low_cut_hz:.3g} Hz" if profile.low_cut_hz else "none found"))
    lines += [f"response    {hz:5g} Hz: {100 * ratio:5.1f} % of 5 Hz" for hz, ratio in sorted(profile.response.items())]
    if profile.response:
        outside = outside_response(dict(profile.response))
        where = f"NOT within 70-140 %: {', '.join(f'{hz:g} Hz' for hz in outside)}" if outside else "within 70-140 %"
        lines.append(f"            {where} (required by IEC 60601-2-47 from 0.67 to 40 Hz; not a conformity test)")
    if captured is not None and captured.lost:
        lines.append(f"lost        {captured.lost} samples; the runs between the gaps were measured")
    return "\n".join(lines) + "\n"


def _show(seconds: float) -> None:
    sys.stderr.write(f"\rmeasuring   {seconds:5.1f} s ")
