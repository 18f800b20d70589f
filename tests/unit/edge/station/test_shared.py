"""What patches share: windows in the order of arrival, and one sink for all."""

from __future__ import annotations

import threading

import numpy as np

from edge.model import ConstantModel
from edge.sinks import BaseSink
from edge.station.shared import FairLock, SharedModel, SharedSink


def test_threads_get_the_lock_in_the_order_in_which_they_ask() -> None:
    lock, order, threads = FairLock(), list[int](), list[threading.Thread]()

    def work(number: int) -> None:
        with lock:
            order.append(number)

    with lock:
        for number in range(20):
            thread = threading.Thread(target=work, args=(number,))
            thread.start()
            threads.append(thread)
            while len(lock._waiting) <= number:
                pass
    for thread in threads:
        thread.join()
    assert order == list(range(20))


def test_one_window_at_a_time_reaches_the_model() -> None:
    inside, most = [0], [0]

    class Watched(ConstantModel):
        def run(self, window):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            out = super().run(window)
            threading.Event().wait(0.001)
            inside[0] -= 1
            return out

    model = SharedModel(Watched(np.array([1, 2], dtype=np.int8)))
    threads = [threading.Thread(target=lambda: [model.run(np.zeros(4, np.int8)) for _ in range(5)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert model.backend == "constant"


def test_a_shared_sink_opens_with_the_first_patch_and_closes_after_the_last() -> None:
    calls: list[str] = []

    class Noting(BaseSink):
        def open(self):
            calls.append("open")

        def estimate(self, e):
            calls.append(e)

        def close(self, summary):
            calls.append("close")

    shared = SharedSink(Noting())
    first, second, third = (shared.patch() for _ in range(3))
    first.open()
    second.open()
    first.estimate("a")
    third.close(None)  # it was never open
    first.close(None)
    second.estimate("b")
    first.close(None)
    second.close(None)
    assert calls == ["open", "a", "b", "close"]
