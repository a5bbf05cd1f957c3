"""The two ways to show progress on standard error: bars on a terminal, lines in a log. One look for every command."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

LINE_EVERY_SECONDS = 30.0
"""From one line of a log to the next."""


def on_terminal() -> bool:
    """Whether somebody watches, so that bars make sense."""
    return sys.stderr.isatty()


def say(text: str) -> None:
    """A line above the bars on a terminal; with the time of day in a log."""
    if on_terminal():
        tqdm.write(text, file=sys.stderr)
    else:
        print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def bar(unit: str, total: int | None = None, title: str = "", **options: Any) -> tqdm[Any]:
    """A tqdm bar as all commands draw it, for a terminal."""
    return tqdm(total=total, unit=f" {unit}", desc=title or None, dynamic_ncols=True, file=sys.stderr, **options)


class Steps:
    """Progress of one thing with countable steps: a bar on a terminal, else a line every `LINE_EVERY_SECONDS`.

    Args:
        unit: what is counted, in the plural: epochs, frames.
        total: how many there will be; None where nobody knows yet.
        title: what it is.
        done: how many were done before; they do not count in the rate.
        options: of the bar, as tqdm takes them.
    """

    def __init__(self, unit: str, total: int | None = None, title: str = "", done: int = 0, **options: Any) -> None:
        self.unit, self.total, self.title, self.done = unit, total, title, done
        self._before = done
        self._bar = bar(unit, total, title, initial=done, **options) if on_terminal() else None
        self._started = self._printed = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """`count` more steps are done."""
        self.done += count
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.set_description_str(self.title, refresh=False)
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._printed >= LINE_EVERY_SECONDS:
            self._printed = now
            say(self._line((self.done - self._before) / (now - self._started)))

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _line(self, rate: float) -> str:
        of, left = "", ""
        if self.total is not None:
            of = f" of {self.total}"
            left = f", about {max(self.total - self.done, 0) / rate:.0f} s left" if rate > 0 else ""
        title = f"{self.title}: " if self.title else ""
        return f"{title}{self.done}{of} {self.unit}, {rate:.3g} {self.unit}/s{left}"
