"""The first signal asks to stop, others within a second change nothing, a later one ends the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from edge.process import signals
from edge.process.signals import Stopper


def test_repeats_are_ignored_and_handlers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    asked: list[signal.Signals] = []
    stopper = Stopper(asked.append)
    stopper.install()
    try:
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
        assert asked == [signal.SIGTERM]
        stopper.remove()
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number in signals.EXIT_CODES:
            signal.signal(number, before if number == signal.SIGTERM else signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_without_a_signal_the_handlers_from_before_return() -> None:
    before = [signal.getsignal(number) for number in signals.EXIT_CODES]
    stopper = Stopper(lambda number: None)
    stopper.install()
    stopper.remove()
    assert [signal.getsignal(number) for number in signals.EXIT_CODES] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_later_one_ends_the_process(number: signal.Signals) -> None:
    code = (
        "import os, sys, time; from edge.process import signals; signals.REPEAT_S = 0.05;"
        "signals.Stopper(lambda n: None).install();"
        f"os.kill(os.getpid(), {int(number)}); time.sleep(0.2); os.kill(os.getpid(), {int(number)}); time.sleep(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == -number
