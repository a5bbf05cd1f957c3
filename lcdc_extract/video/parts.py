"""Parts of videos: which frames belong to one, and which others its windows see."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lcdc_extract.config import CENTRE, SNIPPET_LENGTH
from lcdc_extract.video.decoded import DecodedFrame

Unit = Literal["seconds", "frames"]

PART_ATTRIBUTES = ("part_start", "part_end", "part_unit")
"""Names under which a feature file says which part of a video it holds."""

SLACK_SECONDS = 1e-6
"""A frame this much before a limit counts as on it: times that are written in decimals are rounded."""


@dataclass(frozen=True)
class Part:
    """What is wanted of a video: the frames from `start` up to, and without, `end`."""

    id: str
    """Unique name, usable as an HDF5 group path."""
    start: float = -math.inf
    end: float = math.inf
    unit: Unit = "seconds"
    """Of both: seconds on the clock that players show, or decoded frames, counted from 0."""

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the video."""
        return self.start == -math.inf and self.end == math.inf

    @property
    def attributes(self) -> dict[str, Any]:
        """`PART_ATTRIBUTES`, as a feature file has them; a whole video has none."""
        values = (self.start, self.end, self.unit)
        return {} if self.is_whole else dict(zip(PART_ATTRIBUTES, values, strict=True))

    @property
    def limits(self) -> tuple[float, float]:
        """What a place is compared with: it belongs to the part where first <= place < second."""
        slack = SLACK_SECONDS if self.unit == "seconds" else 0.0
        return self.start - slack, self.end - slack

    def holds(self, index: npt.NDArray[np.int64], player_seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which frames belong to it: (T,), (T,) -> (T,)."""
        places: npt.NDArray[Any] = index if self.unit == "frames" else player_seconds
        first, behind = self.limits
        return (places >= first) & (places < behind)

    def __str__(self) -> str:
        """The stretch, for names and messages: "2s-3.5s", "50f-80f", "2s-end"."""
        letter = self.unit[0]
        start = "start" if self.start == -math.inf else f"{self.start:.15g}{letter}"
        end = "end" if self.end == math.inf else f"{self.end:.15g}{letter}"
        return f"{start}-{end}"


class Needed:
    """Passes on the sampled frames of a video that its parts need, with their places among the sampled ones.

    Those are the frames of the parts, and where windows see beyond them, so many around each that all its windows are
    there: 7 behind it, at the beginning of a video as many as the first window has, and 15 before it, because so far
    reaches the window of a video's last frame.
    """

    def __init__(self, parts: Sequence[Part], see_beyond: bool) -> None:
        """Starts a video; without parts every frame is needed."""
        self._everything = not parts
        self._stretches = [_Stretches([part.limits for part in parts if part.unit == unit]) for unit in _UNITS]
        self._before: deque[tuple[int, DecodedFrame]] = deque(maxlen=SNIPPET_LENGTH - 1 if see_beyond else 0)
        self._see_beyond = see_beyond
        self._behind = 0
        self._count = 0

    def take(self, frame: DecodedFrame, start_seconds: float) -> Iterator[tuple[int, DecodedFrame]]:
        """Takes the next sampled frame; yields (place, frame) of those that turn out to be needed.

        Args:
            start_seconds: where the first decoded frame is on the clock that players show.
        """
        place = self._count
        self._count += 1
        seconds, frames = self._stretches
        if self._everything or seconds.hold(frame.pts_seconds + start_seconds) or frames.hold(frame.index):
            yield from self._before
            self._before.clear()
            self._behind = max(CENTRE - 1, SNIPPET_LENGTH - 1 - place) if self._see_beyond else 0
            yield place, frame
        elif self._behind:
            self._behind -= 1
            yield place, frame
        else:
            self._before.append((place, frame))


_UNITS: tuple[Unit, ...] = ("seconds", "frames")


class _Stretches:
    """The union of intervals."""

    def __init__(self, limits: Sequence[tuple[float, float]]) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []
        for start, end in sorted(limits):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def hold(self, place: float) -> bool:
        at = bisect_right(self._starts, place) - 1
        return at >= 0 and place < self._ends[at]
