"""One thread that writes rows to disk while the network works on the next batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

WAITING_LIMIT = 16
"""Tasks that may wait; beyond that the caller waits, so memory stays bounded when the disk is slow."""


class BackgroundWriter:
    """Runs tasks one after another in a thread.

    After a task has failed no other runs: what follows may rely on it. The error is raised by the next `submit` or
    `drain`. Leaving the context waits for the tasks that were submitted, also after an exception.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "writer")
        self._waiting: deque[Future[None]] = deque()
        self._error: Exception | None = None

    def submit(self, task: Callable[[], None]) -> None:
        """Queues a task."""
        while len(self._waiting) >= WAITING_LIMIT or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        self._raise()
        self._waiting.append(self._executor.submit(self._run, task))

    def drain(self) -> None:
        """Waits until every task is done."""
        while self._waiting:
            self._waiting.popleft().result()
        self._raise()

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True)

    def _run(self, task: Callable[[], None]) -> None:
        if self._error is None:
            try:
                task()
            except Exception as error:
                self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
