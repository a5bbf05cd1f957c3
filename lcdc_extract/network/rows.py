"""Which window each row of the output shows, as plain arithmetic.

Sampled frames of a video are numbered 0 .. n-1; a window is named by its first frame and holds 16 frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lcdc_extract.config import CENTRE, SNIPPET_LENGTH, Sampling
from lcdc_extract.errors import VideoError


@dataclass(frozen=True)
class Row:
    """One row of the output, and the window it shows."""

    frame: int
    """Sampled frame the row stands for."""
    start: int
    """First frame of its window; with repeated edge frames it may lie before the stretch."""
    edge: bool
    """Whether the centred window would leave the video (exact), or the row is a copy (released)."""


class RowPlan:
    """Hands out the rows of a stretch of frames in order, as soon as the frames they need have arrived.

    Args:
        first: the first frame of the stretch; rows stand for the same frames whether a stretch holds them or all.
        goes_on_before: whether the video goes on before it: then there is no row whose window would need that.
    """

    def __init__(self, sampling: Sampling, first: int = 0, *, goes_on_before: bool = False) -> None:
        self.stride = sampling.stride
        self.released = sampling.align == "released"
        self.repeat = sampling.edges == "repeat-frame"
        self._first = first
        earliest = first + CENTRE if goes_on_before or self.released else first
        self._next = earliest if self.released else -(-earliest // self.stride) * self.stride  # frame of the next row

    @property
    def earliest_start(self) -> int:
        """No later row needs a window that starts before this one, apart from a stretch's last window."""
        start = self._next - CENTRE
        return start if self.repeat else max(start, self._first)

    def ready(self, end: int) -> list[Row]:
        """Rows whose window lies in the frames before `end`, whatever follows."""
        rows = []
        least = self._first + (1 if self.repeat else SNIPPET_LENGTH)
        while end >= max(least, self._next + CENTRE):
            rows.append(Row(self._next, self.earliest_start, edge=self._next < self._first + CENTRE))
            self._next += self.stride
        return rows

    def rest(self, end: int) -> list[Row]:
        """The remaining rows of a stretch that ends before frame `end`; of a video exactly ceil(end / stride) in all.

        Shorter ones count as 16 frames when windows are clamped: the caller repeats their last frame.
        The released alignment has none: its copies are made by `released_copies`.
        """
        if self.released:
            return []
        last_start = max(end - SNIPPET_LENGTH, self._first)
        rows = []
        for frame in range(self._next, end, self.stride):
            start = frame - CENTRE if self.repeat else min(max(frame - CENTRE, self._first), last_start)
            rows.append(Row(frame, start, edge=True))
        self._next = end
        return rows


def row_count(total: int, sampling: Sampling) -> int:
    """Rows of a video of `total` sampled frames, copies included: what `RowPlan` hands out, or the authors' script.

    Raises:
        VideoError: see `check_length`.
    """
    check_length(total, sampling)
    return total // sampling.stride if sampling.align == "released" else -(-total // sampling.stride)


def check_length(total: int, sampling: Sampling) -> None:
    """Refuses a video of `total` sampled frames that the sampling cannot serve.

    Raises:
        VideoError: the released alignment has no window for fewer than 16 frames.
    """
    if sampling.align == "released" and total < SNIPPET_LENGTH:
        raise VideoError(
            f"{total} sampled frames; `align='released'` needs at least {SNIPPET_LENGTH}, as the authors' extractor "
            "does. `align='exact'` takes videos of any length"
        )


def released_copies(total: int, stride: int) -> tuple[int, int]:
    """Copies of the first row in front and of the last row behind that give the authors' total // stride rows.

    A negative second number is how many rows are cut off the end.
    """
    windows = (total - SNIPPET_LENGTH) // stride + 1
    missing = total // stride - windows
    front = max(-(-missing // 2), 0)
    return front, missing - front


def as_ranges(values: Iterable[int]) -> Iterator[range]:
    """Rising integers as the fewest arithmetic progressions a greedy reading finds, so tensors can be sliced."""
    run: list[int] = []
    for value in values:
        if len(run) >= 2 and value - run[-1] != run[1] - run[0]:
            yield range(run[0], run[-1] + 1, run[1] - run[0])
            run = []
        run.append(value)
    if run:
        yield range(run[0], run[-1] + 1, run[1] - run[0] if len(run) > 1 else 1)
