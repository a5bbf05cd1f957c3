"""Encoded frames of one video in, rows of features out: the row plan joined with the streaming head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcdc_extract.config import CENTRE, FEATURE_SIZE, SNIPPET_LENGTH, Sampling
from lcdc_extract.errors import VideoError
from lcdc_extract.network.encoder import EncodedFrames
from lcdc_extract.network.rows import Row, RowPlan, check_length, released_copies
from lcdc_extract.network.streaming import HeadTaps, StreamingHead


@dataclass(frozen=True)
class FeatureRows:
    """Consecutive rows of the output."""

    features: Tensor
    """(R, 1024), on the network's device, in its dtype."""
    frames: list[int]
    """Sampled frame of each row."""
    edges: list[bool]
    """Whether the window around that frame would leave the video."""
    starts: list[int]
    """First frame of the window of 16 that each row shows; with repeated edge frames it may lie before the video."""

    def __post_init__(self) -> None:
        if not len(self.features) == len(self.frames) == len(self.edges) == len(self.starts):
            raise ValueError(
                f"{len(self.features)} rows of features, {len(self.frames)} frames, {len(self.edges)} edge flags, "
                f"{len(self.starts)} starts of windows"
            )

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True)
class Padding:
    """What was repeated to give a video its rows."""

    frames: int
    """Copies of the last frame, appended to a video of fewer than 16."""
    rows_in_front: int
    rows_behind: int
    """Copies of the first and last row (`align="released"` only); a negative number of rows behind is cut off."""

    def stored_rows(self, count: int) -> npt.NDArray[np.int64]:
        """For each row of the output, copies included, which of the `count` rows of the network it shows."""
        total = count + self.rows_in_front + self.rows_behind
        return (np.arange(total) - self.rows_in_front).clip(0, count - 1)


class FeatureStream:
    """Features of one video, or of a stretch of it. `push` its frames in order, then call `finish` once.

    Args:
        first: number of the first frame of the stretch among the video's sampled ones.
        goes_on_before: whether the video goes on before it, so that no window is to end there.
    """

    def __init__(self, taps: HeadTaps, sampling: Sampling, first: int = 0, *, goes_on_before: bool = False) -> None:
        self.sampling = sampling
        self._plan = RowPlan(sampling, first, goes_on_before=goes_on_before)
        self._head = StreamingHead(taps)
        repeats = sampling.edges == "repeat-frame" and not goes_on_before
        self._front = CENTRE if repeats else 0  # copies of the first frame pushed before it
        self._first = first
        self._total = 0

    def push(self, frames: EncodedFrames) -> FeatureRows:
        """Takes the next frames; returns the rows that are now certain, possibly none."""
        if len(frames):
            if not self._total:
                self._repeat(frames[:1], self._front)
            self._head.push(frames)
            self._total += len(frames)
        rows = self._compute(self._plan.ready(self._first + self._total))
        last_window = self._head.arrived - SNIPPET_LENGTH
        self._head.forget(min(self._place(self._plan.earliest_start), last_window))
        return rows

    def finish(self) -> tuple[FeatureRows, Padding]:
        """Returns the remaining rows, and what was repeated.

        Raises:
            VideoError: no frame at all, or fewer than 16 with the released alignment.
        """
        last = self._head.last
        if last is None:
            raise VideoError("no frame was sampled")
        if self.sampling.align == "released":
            check_length(self._total, self.sampling)
            front, behind = released_copies(self._total, self.sampling.stride)
            return self._compute([]), Padding(0, front, behind)
        missing = 0
        if self.sampling.edges == "repeat-frame":
            self._repeat(last, CENTRE - 1)
        else:
            missing = max(SNIPPET_LENGTH - self._total, 0)
            self._repeat(last, missing)
        return self._compute(self._plan.rest(self._first + self._total)), Padding(missing, 0, 0)

    def _repeat(self, frame: EncodedFrames, copies: int) -> None:
        appearance = frame.appearance.expand(copies, -1, -1, -1)
        self._head.push(EncodedFrames(appearance, frame.offsets.expand(copies, -1, -1, -1)))

    def _place(self, frame: int) -> int:
        """Of a frame of the video among those the head was given."""
        return frame - self._first + self._front

    def _compute(self, rows: list[Row]) -> FeatureRows:
        if not rows:
            parameter = self._head.taps.taps1
            return FeatureRows(torch.empty(0, FEATURE_SIZE, dtype=parameter.dtype, device=parameter.device), [], [], [])
        starts = sorted({self._place(row.start) for row in rows})
        features = self._head.windows(starts)
        place = {start: i for i, start in enumerate(starts)}
        chosen = [place[self._place(row.start)] for row in rows]
        if chosen != list(range(len(starts))):
            features = features[chosen]
        frames, edges, windows = zip(*((row.frame, row.edge, row.start) for row in rows), strict=True)
        return FeatureRows(features, list(frames), list(edges), list(windows))
