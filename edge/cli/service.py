"""``anyecg service``: install, show and remove the systemd service of a patch."""

from __future__ import annotations

import argparse
import json
import shlex
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.config import parse_with_config
from edge.cli.parser import Parser, add_json, write_json
from edge.cli.run import parser as run_parser
from edge.cli.run import several_patches
from edge.cli.run.inputs import source_url
from edge.service.install import install, remove, where
from edge.service.place import Place, checked_name, instance, may_write, need_systemd, read
from edge.service.status import State, status
from edge.service.unit import HIDDEN, lies_in, render
from edge.sources import SourceUrl, open_source
from firmware_bridge.errors import EXIT_OK, OutputError, UsageError

if TYPE_CHECKING:
    from edge.station.options import PatchOptions

NOT_RUNNING = 1
"""Exit code of ``status`` if an instance does not run."""
FILES = ("bundle", "trusted", "device_profile", "person", "baseline")
"""Options that name a file or folder which the service reads."""
REFUSED = ("out", "picture", "session_dir")
"""Options for which the unit has a place of its own."""
Files = tuple[str | None, str | None, str | None]
"""Device profile, person's file and baseline of a patch."""
MIN_PORT = 1024
"""Lowest port that a program without capabilities may use."""


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg service --help``."""
    parser = Parser("anyecg service", "Run 'anyecg run' as a systemd service that starts at boot: one for each patch.")
    parser.add_argument("action", choices=["install", "status", "remove"])
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="name of the patch, such as bedroom: anyecg@NAME.service"
    )
    parser.add_argument("--source", metavar="URL", help="install: the patch, as 'anyecg scan' prints it")
    parser.add_argument("--config", type=Path, metavar="FILE", help="install: options of 'anyecg run' as TOML")
    parser.add_argument("--force", action="store_true", help="install: replace what was changed by hand")
    parser.add_argument("--no-start", action="store_true", help="install: start it at the next boot, not now")
    parser.add_argument("--print", action="store_true", dest="show", help="install: print the files, change nothing")
    parser.add_argument("--root", type=Path, metavar="DIR", help="write below DIR, the system of another computer")
    add_json(parser)
    args = parser.parse_args(argv)
    if args.json and args.action != "status":
        raise UsageError("--json is only for status", "leave it out")
    place = Place() if args.root is None else Place(args.root, live=False)
    if args.action == "status":
        return _status(place, args.name, as_json=args.json)
    if args.name is None:
        raise UsageError(f"anyecg service {args.action} needs a name", f"anyecg service {args.action} bedroom")
    name = checked_name(args.name)
    if args.action == "remove":
        _need_rights(place, argv)
        _say(remove(place, name))
        return EXIT_OK
    options = _options(place, name, args.source, args.config)
    if args.show:
        _say([f"# {place.unit}", render(groups=place.groups()), f"# {place.options(name)}", options])
        return EXIT_OK
    _need_rights(place, argv)
    given = args.source is not None or args.config is not None
    _say(install(place, name, options if given else None, force=args.force, start=not args.no_start))
    return EXIT_OK


def check_options(path: Path) -> None:
    """Check a file of options as ``anyecg run`` does, without opening a device or writing anything.

    Raises:
        UsageError: An option is wrong, or does not suit a service.
        AnyEcgError: The bundle, the device profile, the person's file or the baseline cannot be used.
    """
    args = parse_with_config(run_parser(), ["--config", str(path)])
    if not args.source and not args.patches:
        raise UsageError(f"{path} names no source", 'add source = "URL"; anyecg scan prints it')
    for option in REFUSED:
        if getattr(args, option) is not None:
            raise UsageError(f"{path}: a service has its own folder for results", f"remove the option '{option}'")
    if args.record:
        raise UsageError(f"{path}: a service records into its own folder", 'write record = ""')
    people = [(args.device_profile, args.person, args.baseline)]
    if several_patches(args):
        people = _check_patches(path, args)
    else:
        _check_source(path, source_url(args.source[0], args.speed, None, wait=True))
    for option in FILES:
        value = getattr(args, option)
        if value is not None and value != "demo":
            _visible(path, option, Path(value))
    if args.mqtt is not None:
        _check_mqtt(path, args.mqtt)
    if args.http is not None:
        _check_http(path, args.http, args.http_token_file)
    _load(args, people)


def _check_source(path: Path, url: SourceUrl) -> None:
    if url.scheme == "record":
        raise UsageError(f"{path}: a service records into its own folder", 'name the device, and write record = ""')
    if url.scheme == "replay":
        raise UsageError(f"{path}: a service reads a patch, not a recording", "use anyecg run")
    open_source(url)


def _check_patches(path: Path, args: argparse.Namespace) -> list[Files]:
    """Check the patches of a station; return the device profile, the person's file and the baseline of each."""
    from edge.cli.run.station import check_station, patch_url, patches_of

    args.wait, args.session_dir = True, "."  # as the unit sets them
    patches = patches_of(args)
    check_station(args, patches)
    args.session_dir = None
    for patch in patches:
        if patch.session_dir is not None:
            fix = f"remove session-dir of {patch.name}"
            raise UsageError(f"{path}: a service has its own folder for results", fix)
        _check_source(path, patch_url(args, patch))
        for option, value in _files_of(patch):
            if value is not None:
                _visible(path, option, Path(value))
    return [(patch.device_profile, patch.person, patch.baseline) for patch in patches]


def _files_of(patch: PatchOptions) -> tuple[tuple[str, str | None], ...]:
    return ("device-profile", patch.device_profile), ("person", patch.person), ("baseline", patch.baseline)


def _check_mqtt(config: Path, url: str) -> None:
    from edge.sinks.mqtt.sink import check_mqtt

    broker = check_mqtt(url)
    if broker.ca is not None:
        _visible(config, "ca in mqtt", broker.ca)
    if broker.password_file is not None:
        # Whatever the service's user may read by its name, all users may read.
        raise UsageError(
            f"{config}: a service gets the password of its broker from systemd, not from a file that it names",
            "remove password_file=; docs/mqtt.md has the two lines for LoadCredential",
        )


def _check_http(config: Path, address: str, token_file: str | None) -> None:
    from edge.http.address import HttpAddress

    if token_file is not None:
        raise UsageError(
            f"{config}: a service gets the token of its page from systemd, not from a file that it names",
            "remove http_token_file; docs/page.md has the two lines for LoadCredential",
        )
    if HttpAddress.parse(address).port < MIN_PORT:
        raise UsageError(f"{config}: a service may not use the port of the page", "name one from 1024 to 65535")


def _load(args: argparse.Namespace, files: Sequence[Files]) -> None:
    """Load the bundle, and the device profile, the person's file and the baseline of each patch."""
    from edge.session import load

    loaded = load(args.bundle, args.backend, args.trusted)
    for profile, person, baseline in files:
        if profile is not None:
            from edge.device_profile import load_profile

            load_profile(Path(profile))
        if person is not None:
            from edge.person import Anchoring, load_person

            Anchoring(load_person(Path(person)), loaded.bundle)
        if baseline is not None:
            from edge.baseline.file import load_baseline

            load_baseline(Path(baseline))


def _visible(config: Path, option: str, path: Path) -> None:
    fix = f"copy it to /etc/anyecg or /opt, readable by all, and name it there as {option}"
    if not path.is_absolute():
        raise UsageError(f"{config}: '{option}' needs an absolute path, not {path}", fix)
    if lies_in(path, HIDDEN):
        raise UsageError(f"{config}: the service cannot see {path}", fix)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UsageError(f"{config}: {path}: {error.strerror}", fix) from None
    needed = 0o005 if stat.S_ISDIR(mode) else 0o004
    if mode & needed != needed:
        raise UsageError(f"{config}: the service may not read {path}", f"sudo chmod -R o+rX {shlex.quote(str(path))}")


def _options(place: Place, name: str, source: str | None, config: Path | None) -> str:
    """Return the checked text of the options."""
    if source is not None and config is not None:
        raise UsageError("--source and --config exclude each other", "write the source into the file")
    if source is not None:
        SourceUrl.parse(source)
        text = _new(name, source)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.toml"
            path.write_text(text, encoding="utf-8")
            check_options(path)
        return text
    path = config or place.options(name)
    if config is None and not path.exists():
        raise UsageError(f"{path} does not exist", "add --source URL; anyecg scan prints it")
    check_options(path)
    return read(path) or ""


def _new(name: str, source: str) -> str:
    # A JSON string is a TOML string, too, but for DEL and for surrogates, which no URL has.
    return (
        f"# Options of {instance(name)}, named as those of 'anyecg run'; after a change:\n"
        f"# sudo systemctl restart {instance(name)}\n"
        f"source = {json.dumps(source, ensure_ascii=False)}\n"
        'bundle = "demo"\n'
        "hop = 5.0\n"
        '# The oldest recordings go when all of them take more than this; also an age: "30d", or both: "2GB,30d".\n'
        'keep = "2GB"\n'
    )


def _need_rights(place: Place, argv: Sequence[str]) -> None:
    need_systemd(place)
    if not may_write(place):
        script = Path(sys.argv[0]).resolve()
        command = str(script) if script.name == "anyecg" else f"{sys.executable} -m edge.cli"
        raise OutputError("only root may change services", f"sudo {command} {shlex.join(['service', *argv])}")


def _status(place: Place, name: str | None, *, as_json: bool = False) -> int:
    need_systemd(place)
    if not place.live:
        raise UsageError("--root has no running services", "leave it out")
    names = place.names() if name is None else [checked_name(name)]
    if not names:
        raise UsageError("no service is installed", "anyecg service install NAME --source URL")
    states = [status(place, one) for one in names]
    if as_json:
        write_json({"services": [_facts(place, state) for state in states]})
    else:
        for state in states:
            _say([*_described(state), *where(place, state.name)[1:]])
    return EXIT_OK if all(state.running for state in states) else NOT_RUNNING


def _facts(place: Place, state: State) -> dict[str, object]:
    return {
        "name": state.name,
        "running": state.running,
        "state": state.lines[0],
        "status": " ".join(state.lines[1:]) or None,
        "places": where(place, state.name),
    }


def _described(state: State) -> list[str]:
    return [f"{state.name}: {state.lines[0]}", *(f"  {line}" for line in state.lines[1:])]


def _say(lines: Sequence[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
