"""Workers take turns; one that hangs delays the others for a moment only."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge.station import worker_turns as module
from edge.station.worker_turns import WorkerTurns


def run_all(works: list[Callable[[], int]]) -> list[int]:
    """Run each work in a thread of its own, in turns."""

    async def main() -> list[int]:
        loop, turns = asyncio.get_running_loop(), WorkerTurns()
        with ThreadPoolExecutor(len(works)) as threads:
            return await asyncio.gather(
                *(turns.run(lambda work=work: loop.run_in_executor(threads, work)) for work in works)
            )

    return asyncio.run(main())


def test_pieces_of_work_run_one_after_another_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_S", 60.0)
    began, ended = list[int](), list[int]()

    def work(number: int) -> int:
        assert len(began) == len(ended)
        began.append(number)
        time.sleep(0.002)
        ended.append(number)
        return number

    assert run_all([lambda number=number: work(number) for number in range(20)]) == list(range(20))
    assert began == list(range(20))


def test_a_piece_of_work_that_hangs_does_not_hold_up_the_others() -> None:
    others = threading.Event()

    def hang() -> int:
        assert others.wait(60.0)
        return 1

    def last() -> int:
        others.set()
        return 2

    assert run_all([hang, last]) == [1, 2]


def test_an_error_reaches_its_owner_and_the_next_turn_comes() -> None:
    async def main() -> list[int | BaseException]:
        loop, turns = asyncio.get_running_loop(), WorkerTurns()

        def fail() -> int:
            raise ValueError("broken")

        def start(work: Callable[[], int]) -> asyncio.Future[int]:
            return loop.run_in_executor(None, work)

        pieces = [turns.run(lambda: start(fail)), turns.run(lambda: start(lambda: 2))]
        return await asyncio.gather(*pieces, return_exceptions=True)

    failed, result = asyncio.run(main())
    assert isinstance(failed, ValueError)
    assert result == 2
