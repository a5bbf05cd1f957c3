"""One thread that writes rows to disk while the network works on the next batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

WAITING_LIMIT = 16
"""Tasks that may wait; beyond that the caller waits, so memory stays bounded when the disk is slow."""


class BackgroundWriter:
    """Runs tasks one after another in a thread. An error in a task is raised by the next `submit` or `drain`."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "writer")
        self._waiting: deque[Future[None]] = deque()

    def submit(self, task: Callable[[], None]) -> None:
        """Queues a task."""
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= WAITING_LIMIT):
            self._waiting.popleft().result()
        self._waiting.append(self._executor.submit(task))

    def drain(self) -> None:
        """Waits until every task is done."""
        while self._waiting:
            self._waiting.popleft().result()

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
