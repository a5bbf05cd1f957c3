"""How far a set of synthetic videos is."""

from __future__ import annotations

from collections import Counter

from lcdc_extract.progress.console import Steps, on_terminal, say
from lcdc_extract.synth.events import FramesEncoded


class SetProgress:
    """A bar over the frames of all videos on a terminal; in a log a line a video, and one every half minute."""

    def __init__(self, num_videos: int) -> None:
        self._num_videos = num_videos
        self._lengths: dict[str, int] = {}
        self._encoded: Counter[str] = Counter()
        self._steps = Steps("frames")

    def __call__(self, event: FramesEncoded) -> None:
        """Shows one event; videos not begun yet count as the mean of the others."""
        self._lengths[event.video] = event.length
        self._encoded[event.video] += event.frames
        finished = sum(self._encoded[name] == length for name, length in self._lengths.items())
        self._steps.title = f"{finished}/{self._num_videos} videos"
        self._steps.total = round(sum(self._lengths.values()) / len(self._lengths) * self._num_videos)
        self._steps.advance(event.frames)
        if self._encoded[event.video] == event.length and not on_terminal():
            say(f"{event.video}: {event.length} frames")

    def close(self) -> None:
        """Leaves the bar as it stands."""
        self._steps.close()
