"""Which decoded frames become sampled frames, decided while they stream by."""

from __future__ import annotations

import math

from lcdc_extract.errors import VideoError

FPS_SLACK = 1.001
"""30 frames/s may be asked of a video at 29.97."""

TIE_SECONDS = 1e-3
"""Two frames whose distances to a target differ by no more than this are equally near. Matroska rounds times to
milliseconds; without a margin that rounding would decide."""

TIE_FRACTION = 0.25
"""Of the distance of two frames: the margin is never larger, or it would move the choice among very fast frames."""


def check_rate(fps: float | None, video_fps: float) -> None:
    """Refuses to sample faster than the video runs; a video of unknown rate (0) passes.

    Args:
        fps: wanted.
        video_fps: frames per second between most frames of the video. Where a camera drops some, the mean is lower.

    Raises:
        VideoError: names both rates.
    """
    if fps is not None and 0 < video_fps * FPS_SLACK < fps:
        raise VideoError(
            f"`fps={fps:g}` is more than the video's {video_fps:g} frames per second, so frames would be copies; "
            f"give at most {video_fps:g}"
        )


class FrameSelector:
    """Chooses frames by step or by rate, one decoded frame late: only the next frame tells which of two is nearer.

    `frame_step` N keeps the decoded frames 0, N, 2N, ...
    `fps` F keeps, for k = 0, 1, 2, ..., the frame nearest in time to first + k / F, the earlier of two equally near,
    as long as first + k / F is not more than half the last frame interval beyond the last frame.
    """

    def __init__(self, frame_step: int = 1, fps: float | None = None, longest_gap_seconds: float = math.inf) -> None:
        """Starts a video.

        Args:
            longest_gap_seconds: two frames farther apart than this are refused with `fps`: copies of the first would
                fill the gap.
        """
        self._frame_step = frame_step
        self._fps = fps
        self._longest_gap_seconds = longest_gap_seconds
        self._times_seen = 0
        self._first = self._last = self._last_interval = 0.0
        self._targets_met = 0

    def feed(self, pts_seconds: float) -> int:
        """Takes the next decoded frame's time; returns how often the frame *before* it is sampled (0 at the first).

        Raises:
            VideoError: the gap between the two is too long.
        """
        if self._times_seen == 0:
            self._first = pts_seconds
            count = 0
        elif self._fps is None:
            count = self._due_by_step()
        else:
            # nearer to the last frame than to this one: below the middle between the two
            self._check_gap(pts_seconds - self._last)
            count = self._meet_targets((self._last + pts_seconds) / 2 + _tie(pts_seconds - self._last) / 2)
        self._last_interval = max(0.0, pts_seconds - self._last) if self._times_seen else 0.0
        self._last = pts_seconds
        self._times_seen += 1
        return count

    def finish(self) -> int:
        """No more frames; returns how often the last one is sampled."""
        if self._times_seen == 0:
            return 0
        if self._fps is None:
            return self._due_by_step()
        return self._meet_targets(self._last + self._last_interval / 2 + _tie(self._last_interval) / 2)

    def _check_gap(self, seconds: float) -> None:
        if self._fps is not None and seconds > max(self._longest_gap_seconds, 1 / self._fps):
            raise VideoError(
                f"frame {self._times_seen} comes {seconds:.1f} s after the one before, of which `fps={self._fps:g}` "
                f"would make {round(seconds * self._fps)} copies. Sample by `frame_step`, or allow such gaps with "
                f"`longest_gap_seconds={math.ceil(seconds)}`"
            )

    def _due_by_step(self) -> int:
        return int((self._times_seen - 1) % self._frame_step == 0)

    def _meet_targets(self, limit_seconds: float) -> int:
        """Counts the targets not yet met up to `limit_seconds`."""
        assert self._fps is not None
        met_before = self._targets_met
        while self._first + self._targets_met / self._fps <= limit_seconds:
            self._targets_met += 1
        return self._targets_met - met_before


def _tie(interval_seconds: float) -> float:
    return min(TIE_SECONDS, TIE_FRACTION * interval_seconds) if interval_seconds > 0 else TIE_SECONDS
