"""Events of a run for people (bars or lines on stderr) and for machines (JSON on stdout)."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from lcdc_extract.features import VideoFailed
from lcdc_extract.pipeline import (
    Event,
    Progress,
    RunStarted,
    RunSummary,
    VideoFinished,
    VideoStarted,
)
from lcdc_extract.progress.console import LINE_EVERY_SECONDS, bar, on_terminal, say
from lcdc_extract.terminal import as_options
from lcdc_extract.weights.resolve import DEFAULT


def choose_reporter(json_events: bool) -> JsonLines | Bars | Lines:
    """JSON if asked for, bars on a terminal, otherwise lines."""
    if json_events:
        return JsonLines()
    return Bars() if on_terminal() else Lines()


class JsonLines:
    """One JSON object a line on stdout; its key `event` is the kind of event."""

    def __call__(self, event: Event) -> None:
        """Prints one event."""
        values: dict[str, Any] = {"event": type(event).__name__} | asdict(event)
        print(as_options(json.dumps(values, default=str)), flush=True)

    def close(self) -> None:
        """Nothing to clean up."""


def describe_start(event: RunStarted) -> str:
    """The run in one line."""
    frames = f"{event.fps:g} frames/s" if event.fps is not None else f"every {_ordinal(event.frame_step)}frame"
    rows = f", a row for every {_ordinal(event.stride)}of those" if event.stride > 1 else ""
    skipped = f", {event.already_finished} already finished" if event.already_finished else ""
    videos = "videos" if event.files == event.videos else f"videos and parts, of {event.files} files"
    return (
        f"{event.videos} {videos}{skipped}; {frames}{rows}; weights {event.weights}, {event.device}, "
        f"{event.precision}, operator {event.operator}"
    )


def remarks(event: RunStarted) -> list[str]:
    """What deserves to be said at the start: inputs that were skipped, and weights that are not for real scenes."""
    found = [f"skipped: {text}" for text in event.skipped]
    found += [f"damaged on the disk since an earlier run, made again: {text}" for text in event.damaged]
    if not event.trained:
        found.append(
            "WARNING: the network is untrained, its weights are random numbers. The features have the right shape and "
            "mean nothing; the file is marked trained = false."
        )
    elif event.weights == DEFAULT:
        found.append(
            f"note: {DEFAULT} was trained on drawn shapes, to try things out with. For real scenes give --weights a "
            "network trained on them."
        )
    return found


class _Totals:
    """Frames done and still expected, by video and over all; grows exact as videos are opened."""

    def __init__(self) -> None:
        self.videos = self.files = self.over = self.frames = 0
        self.expected: dict[str, int] = {}
        self.done: dict[str, int] = {}

    def take(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.videos, self.files = event.videos, event.files
        elif isinstance(event, VideoStarted):
            self.frames -= self.done.get(event.id, 0)  # another decoder begins anew
            self.expected[event.id], self.done[event.id] = event.frames_expected or 0, 0
        elif isinstance(event, Progress):
            self.frames += event.frames
            self.done[event.id] += event.frames
        elif isinstance(event, VideoFinished | VideoFailed):
            self.over += 1
            video = (isinstance(event, VideoFinished) and event.video) or event.id
            if video in self.done or video not in self.expected:  # the first of its parts, or it could not be opened
                self.expected[video] = self.done.pop(video, 0)

    @property
    def total(self) -> int:
        """Frames of all videos; those not opened yet count as the mean of the others."""
        known = sum(self.expected.values())
        return round(known * max(self.files / len(self.expected), 1)) if self.expected else 0


class Bars:
    """Two tqdm bars: everything, and one of the videos under way, until it ends."""

    def __init__(self) -> None:
        self._totals = _Totals()
        self._all: tqdm[Any] | None = None
        self._video: tqdm[Any] | None = None
        self._current: str | None = None

    def __call__(self, event: Event) -> None:
        """Draws one event."""
        self._totals.take(event)
        if isinstance(event, RunStarted):
            for text in (describe_start(event), *remarks(event)):
                say(text)
            self._all = bar("frames", title=f"0/{event.videos} videos", position=0)
            self._video = bar("frames", position=1, leave=False)
        elif isinstance(event, RunSummary):
            self.close()
        elif self._all is not None and self._video is not None:
            self._draw(event, self._all, self._video)

    def close(self) -> None:
        """Removes the bars; also after an interruption."""
        for drawn in (self._video, self._all):
            if drawn is not None:
                drawn.close()
        self._all = self._video = None

    def _draw(self, event: Event, everything: tqdm[Any], video: tqdm[Any]) -> None:
        totals = self._totals
        if isinstance(event, VideoFailed):
            say(f"failed: {event.id}: {as_options(event.reason)}")
        elif isinstance(event, VideoFinished):
            for note in event.notes:
                say(f"note: {event.id}: {as_options(note)}")
        elif isinstance(event, Progress):
            everything.update(event.frames)
            if self._current not in totals.done:
                self._current = event.id
                video.reset(totals.expected[event.id] or None)
                video.initial = totals.done[event.id] - event.frames  # done before its turn on the screen
                video.set_description_str(event.id, refresh=False)
            if event.id == self._current:
                video.n = totals.done[event.id]
                video.refresh()
        everything.total = totals.total or None
        everything.set_description_str(f"{totals.over}/{totals.videos} videos", refresh=False)


class Lines:
    """Plain lines, for log files: one a video, and one every half minute."""

    def __init__(self) -> None:
        self._totals = _Totals()
        self._started = self._last = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Prints one event, if it is worth a line."""
        self._totals.take(event)
        now = time.monotonic()
        if isinstance(event, RunStarted):
            self._started = self._last = now
            for text in (describe_start(event), *remarks(event)):
                say(text)
        elif isinstance(event, VideoFinished):
            say(f"finished {event.id}: {event.rows} rows from {event.frames} frames")
            for note in event.notes:
                say(f"note: {event.id}: {as_options(note)}")
        elif isinstance(event, VideoFailed):
            say(f"failed {event.id}: {as_options(event.reason)}")
        elif isinstance(event, Progress) and now - self._last >= LINE_EVERY_SECONDS:
            self._last = now
            totals, rate = self._totals, self._totals.frames / (now - self._started)
            left = max(totals.total - totals.frames, 0) / rate
            say(f"{totals.over}/{totals.videos} videos, {rate:.1f} frames/s, about {left:.0f} s left")

    def close(self) -> None:
        """Nothing to clean up."""


def _ordinal(number: int) -> str:
    """'' for 1, '2nd ', '3rd ', '4th ' and so on."""
    if number == 1:
        return ""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending} "
