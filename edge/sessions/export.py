"""``anyecg export``: a session as files that other programs read."""

from __future__ import annotations

import json
import os
import shutil
import sys
from argparse import ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.baseline.file import load_baseline
from edge.cli.parser import Parser
from edge.process.files import output_error
from edge.records import NOTICE
from edge.sessions.ecg import Missing, Segment, read_ecg
from edge.sessions.folder import SessionFolder, utc_of
from edge.sessions.formats import tables
from edge.sessions.formats.fhir_files import EVERY_MIN, FhirFiles, patient_reference
from edge.sessions.formats.tables import Columns, Writer
from edge.sessions.marks import Mark, Marks
from edge.sessions.words import length_text
from firmware_bridge.errors import EXIT_OK, InputError, UsageError
from firmware_bridge.reading import resolved
from firmware_bridge.text import printable

FORMATS = ("csv", "wfdb", "edf", "parquet", "fhir")
MAX_EVERY_MIN = 1440.0
_FULL = 0o700
_NO_ECG = "no ECG: the session was run without --record"


@dataclass(frozen=True, slots=True)
class FhirOptions:
    """Options of ``--to fhir``.

    Attributes:
        subject: Reference to the patient; empty for none.
        every_min: Length of the intervals of which the newest estimate is written, min; 0 writes every hop.
        ecg: Whether to write the ECG.
    """

    subject: str = ""
    every_min: float = EVERY_MIN
    ecg: bool = True


@dataclass(slots=True)
class Export:
    """One export.

    Attributes:
        session: The session.
        folder: Folder for the files.
        waves: Waves that were measured.
        files: Description of each file with ECG, for ``export.json``.
        gaps: Gaps in the ECG.
        notes: What the user must know.
        signal_s: Length of the ECG, s.
        fhir: What only FHIR has.
    """

    session: SessionFolder
    folder: Path
    waves: list[Mark] = field(default_factory=list)
    files: list[dict[str, object]] = field(default_factory=list)
    gaps: list[Missing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    signal_s: float = 0.0
    fhir: FhirOptions = field(default_factory=FhirOptions)

    def segments(self) -> Iterator[Segment]:
        """Yield the segments of the ECG, and note the gaps."""
        for part in read_ecg(self.session, self.folder):
            if isinstance(part, Missing):
                self.gaps.append(part)
                continue
            self.signal_s += part.end_s - part.start_s
            yield part

    def start_unix_s(self, run: int) -> float:
        """Return the Unix time at signal time 0 of a run, s."""
        return self.session.runs[run - 1].start_unix_s


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg export --help``."""
    args = _parser().parse_args(argv)
    fhir = _fhir_options(args)
    session = SessionFolder(args.session)
    if args.baseline is not None:
        if args.to not in {"csv", "parquet", "fhir"}:
            raise UsageError("--baseline is only for --to csv, parquet and fhir", "leave it out")
        session.compare(load_baseline(args.baseline))
    out = args.out or Path(f"{resolved(session.path).name}-{args.to}")
    if args.to in {"wfdb", "edf"} and not session.raw_files():
        raise InputError(
            f"{session.path} holds no raw recording, so no ECG",
            "record with 'anyecg run --session-dir DIR --record'; --to csv writes the rest",
        )
    with _new_folder(out) as folder:
        export = Export(session, folder, notes=_profile_note(session), fhir=fhir)
        if not args.no_waves and args.to != "fhir" and session.raw_files():
            _measure(export)
        _WRITE[args.to](export)
        export.notes += [printable(damage) for damage in session.damage]
        _describe(export, args.to)
    kinds = Counter(mark.kind for mark in export.waves)
    pieces = "1 piece" if len(export.files) == 1 else f"{len(export.files)} pieces"
    ecg = f"{length_text(export.signal_s)} of ECG in {pieces}" if export.files else "no ECG"
    waves = f", {kinds['P']} P waves, {kinds['QRS']} QRS, {kinds['T']} T waves" if export.waves else ""
    sys.stdout.write(f"{out}: {ecg}{waves}\n")
    for note in export.notes:
        sys.stderr.write(f"note: {note}\n")
    return EXIT_OK


def _parser() -> Parser:
    p = Parser(
        "anyecg export",
        "Write the ECG of a session with its gaps, beats, waves, estimates and abstentions for other programs.",
    )
    p.add_argument("session", metavar="SESSION", type=Path, help="folder of 'anyecg run --session-dir'")
    p.add_argument("--to", choices=FORMATS, required=True, help="format")
    p.add_argument("--out", metavar="DIR", type=Path, help="new folder for the files (default: SESSION-FORMAT)")
    p.add_argument(
        "--baseline", metavar="FILE", type=Path, help="write changes against this quiet hour, from 'anyecg baseline'"
    )
    p.add_argument("--no-waves", action="store_true", help="do not measure P, QRS and T, which takes most of the time")
    fhir = p.add_argument_group("only with --to fhir")
    fhir.add_argument("--subject", metavar="REFERENCE", help="the patient, such as Patient/123 (default: none)")
    fhir.add_argument(
        "--every",
        metavar="MINUTES",
        type=_minutes,
        help=f"write the newest estimate of each interval; 0 writes every hop (default: {EVERY_MIN:g})",
    )
    fhir.add_argument("--no-ecg", action="store_true", help="leave out the ECG")
    return p


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0.0 <= minutes <= MAX_EVERY_MIN:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to {MAX_EVERY_MIN:g}")
    return minutes


def _fhir_options(args: Namespace) -> FhirOptions:
    only = {"--subject": args.subject is not None, "--every": args.every is not None, "--no-ecg": args.no_ecg}
    wrong = [name for name, given in only.items() if given]
    if args.to != "fhir" and wrong:
        raise UsageError(f"{wrong[0]} is only for --to fhir", f"leave out {wrong[0]}")
    subject = "" if args.subject is None else patient_reference(args.subject)
    return FhirOptions(subject, EVERY_MIN if args.every is None else args.every, not args.no_ecg)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yield a folder that gets its name when everything is written; nothing is left after an error."""
    if out.exists():
        raise UsageError(f"{out} exists", "name a new folder with --out, or remove it")
    partial = out.parent / f".{out.name}.{os.urandom(4).hex()}.part"
    try:
        partial.mkdir(_FULL)
        yield partial
        partial.rename(out)
    except OSError as error:
        raise output_error(out, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _profile_note(session: SessionFolder) -> list[str]:
    applied = next((e.applied for e in session.estimates() if "device_profile" in e.applied), None)
    if applied is None:
        return []
    file = printable(applied["device_profile"].file)
    return [f"the run applied the device profile {file}; the ECG is written as the device sent it, without the profile"]


def _measure(export: Export) -> None:
    from edge.sessions.waves import measure_waves

    export.waves = list(measure_waves(export.session))


def _describe(export: Export, to: str) -> None:
    session = export.session
    about = {
        "schema": "anyecg.export/1",
        "format": to,
        "session": session.about,
        "runs": [
            {"run": run.number, "session": run.session, "start": utc_of(run.start_unix_s),
             "clock_synced": run.synced}
            for run in session.runs
        ],
        "ecg": export.files,
        "notes": export.notes,
        "notice": NOTICE,
    }  # fmt: skip
    (export.folder / "export.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _piece(export: Export, segment: Segment, file: str, **more: object) -> None:
    export.files.append(
        {
            "file": file,
            "run": segment.run,
            "segment": segment.number,
            "start_s": round(segment.start_s, 6),
            "end_s": round(segment.end_s, 6),
            "start": utc_of(export.start_unix_s(segment.run) + segment.start_s),
            "samples": len(segment.samples),
            "fs_hz": round(segment.fs_hz, 6),
            "unit": segment.unit,
            **more,
        }
    )


def _tables(export: Export, suffix: str, make: Callable[[Path, Columns], Writer]) -> None:
    """Write every table; the ECG into one file for each unit."""
    session, folder = export.session, export.folder
    writers: dict[str, Writer] = {}
    if session.raw_files():
        for segment in export.segments():
            name = "ecg" if segment.unit == "mV" else "ecg_counts"
            if name not in writers:
                writers[name] = make(folder / f"{name}.{suffix}", tables.ecg_columns(segment.unit))
            for rows in tables.ecg_rows(segment):
                writers[name].rows(rows)
            _piece(export, segment, f"{name}.{suffix}")
        for writer in writers.values():
            writer.close()
    else:
        export.notes.append(_NO_ECG)
    columns, held = tables.estimate_columns(session)
    contents = [
        ("runs", tables.RUNS, tables.run_rows(session)),
        ("beats", tables.BEATS, session.beats()),
        ("waves", tables.WAVES, tables.wave_rows(export.waves)),
        ("gaps", tables.SPANS, map(tables.gap_row, export.gaps)),
        ("abstentions", tables.SPANS, tables.abstention_rows(session)),
        ("estimates", columns, tables.estimate_rows(session, held)),
    ]
    for name, shape, found in contents:
        writer = make(folder / f"{name}.{suffix}", shape)
        for some in tables.batches(found):
            writer.rows(some)
        writer.close()


def _csv(export: Export) -> None:
    from edge.sessions.formats.csv_files import CsvWriter

    _tables(export, "csv", CsvWriter)


def _parquet(export: Export) -> None:
    from edge.sessions.formats.parquet_files import ParquetWriter

    _tables(export, "parquet", ParquetWriter)


def _edf(export: Export) -> None:
    from edge.sessions.formats.edf_files import write_edf

    marks = Marks(export.session, export.waves)
    rounded = 0
    for segment in export.segments():
        name = f"run{segment.run}_{segment.number:04d}.edf"
        start_unix_s = export.start_unix_s(segment.run) + segment.start_s
        done = write_edf(
            export.folder / name, segment, start_unix_s, export.session.device, list(marks.within(segment))
        )
        rounded += not done.exact
        _piece(export, segment, name, exact=done.exact, filled_samples=done.filled, step=done.step)
    if rounded:
        export.notes.append(
            f"{rounded} EDF files hold rounded samples: EDF has 16 bits; 'step' in export.json says how"
        )


def _wfdb(export: Export) -> None:
    from edge.sessions.formats.wfdb_files import WfdbRecord

    marks = Marks(export.session, export.waves)
    record: WfdbRecord | None = None
    run, number = 0, 0

    def finish() -> None:
        if record is not None:
            record.finish(export.start_unix_s(run), export.session.device)

    for segment in export.segments():
        if record is None or segment.run != run or not record.fits(segment):
            finish()
            number = number + 1 if segment.run == run else 1
            run = segment.run
            name = f"run{run}" if number == 1 else f"run{run}_{number}"
            record = WfdbRecord(export.folder, name, segment.nominal_hz, segment.unit)
        record.add(segment, marks.within(segment))
        _piece(export, segment, f"{record.name}.hea")
    finish()


def _fhir(export: Export) -> None:
    files = FhirFiles(export.folder, export.session, export.fhir.subject, export.fhir.every_min)
    if export.fhir.ecg and export.session.raw_files():
        for segment in export.segments():
            for file, piece in files.ecg(segment, export.start_unix_s(segment.run)):
                _piece(export, piece, file)
    elif export.fhir.ecg:
        export.notes.append(_NO_ECG)
    count, observations = files.estimates()
    bundles = "1 Bundle" if count == 1 else f"{count} Bundles"
    export.notes.append(f"{observations} Observations of estimates and heart rate in {bundles}")


_WRITE: dict[str, Callable[[Export], None]] = {
    "csv": _csv,
    "wfdb": _wfdb,
    "edf": _edf,
    "parquet": _parquet,
    "fhir": _fhir,
}
