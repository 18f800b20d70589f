"""One run of ``anyecg run`` in virtual time; the process that ``run.py`` starts and ends with an account in JSON."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from virtual_time import VirtualClock

START_NS = 1_000_000_000


def main() -> int:
    """Run until the signal ends or a signal of the system ends it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="new folder for the session, the progress and the account")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--reconnections", type=int, required=True)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--keep", required=True)
    options = parser.parse_args()
    clock = VirtualClock(START_NS)
    clock.install()

    import planted

    import edge.sources
    from edge.cli.main import main as anyecg

    virtual, seen = planted.patch(options.seconds, options.reconnections, options.seed), planted.Seen()
    session = options.folder / "session"
    source = planted.planted(virtual, options.seconds, clock, session, options.folder / "progress.json", seen)
    planted.open_planted = planted.opener(source)
    edge.sources.SCHEMES["planted"] = "planted:open_planted"
    words = ["run", "--source", "planted:", "--session-dir", str(session), "--record", "--view", "none"]
    code = anyecg([*words, "--keep", options.keep])
    account = {"code": code, "planted": virtual.account(), "seen": asdict(seen)}
    (options.folder / "account.json").write_text(json.dumps(account))
    return code


if __name__ == "__main__":
    sys.exit(main())
