"""The writer's thread: order, bounded waiting, and nothing after a failure."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from lcdc_extract.pipeline.writer import WAITING_LIMIT, BackgroundWriter


def test_tasks_run_in_order_and_all_of_them() -> None:
    done: list[int] = []
    with BackgroundWriter() as writer:
        for number in range(100):
            writer.submit(partial(done.append, number))
    assert done == list(range(100))


def test_nothing_runs_after_a_failure() -> None:
    done: list[int] = []
    gate = threading.Event()

    def fail() -> None:
        raise OSError("disk full")

    with BackgroundWriter() as writer:
        writer.submit(gate.wait)
        writer.submit(partial(done.append, 1))
        writer.submit(fail)
        writer.submit(partial(done.append, 2))
        gate.set()
        with pytest.raises(OSError, match="disk full"):
            writer.drain()
        with pytest.raises(OSError, match="disk full"):
            writer.submit(partial(done.append, 3))
    assert done == [1]


def test_leaving_by_an_interrupt_finishes_what_was_submitted() -> None:
    done: list[int] = []

    def work() -> None:
        with BackgroundWriter() as writer:
            for number in range(WAITING_LIMIT):
                writer.submit(partial(slowly, done, number))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == list(range(WAITING_LIMIT))


def test_a_slow_disk_makes_the_caller_wait() -> None:
    gate = threading.Event()
    submitted: list[int] = []

    def feed(writer: BackgroundWriter) -> None:
        for number in range(3 * WAITING_LIMIT):
            writer.submit(gate.wait)
            submitted.append(number)

    with BackgroundWriter() as writer:
        feeder = threading.Thread(target=feed, args=(writer,))
        feeder.start()
        while len(submitted) < WAITING_LIMIT:
            time.sleep(0.01)
        time.sleep(0.2)  # for one too many
        assert len(submitted) == WAITING_LIMIT
        gate.set()
        feeder.join()


def slowly(done: list[int], number: int) -> None:
    time.sleep(0.005)
    done.append(number)
