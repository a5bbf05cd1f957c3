"""What a run tells the outside while it goes, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lcdc_extract.features import VideoFailed


@dataclass(frozen=True)
class RunStarted:
    """Everything is checked and loaded; decoding begins."""

    videos: int
    """Those to do, each part of a video counted as one."""
    files: int
    """Videos to decode for them."""
    already_finished: int
    weights: str
    trained: bool
    device: str
    precision: str
    operator: str
    frame_step: int
    fps: float | None
    stride: int
    skipped: tuple[str, ...] = ()
    """What was left out of the inputs, with the reason."""
    damaged: tuple[str, ...] = ()
    """Videos that an earlier run had finished, and whose rows were damaged on the disk since: they are made again."""


@dataclass(frozen=True)
class VideoStarted:
    """A video was opened."""

    id: str
    frames_expected: int | None
    """Sampled frames according to the container, which may be wrong; None when it does not say."""


@dataclass(frozen=True)
class Progress:
    """More frames of a video went through the network."""

    id: str
    frames: int


@dataclass(frozen=True)
class VideoFinished:
    """A video's features are safe on disk."""

    id: str
    rows: int
    frames: int
    notes: tuple[str, ...] = ()
    """Anything unusual, in words: damage, missing frames, repeated frames, which decoder and why."""
    incomplete: bool = False
    """Whether frames of the video are missing, at its end or in between."""
    video: str = ""
    """Id of the video that was started, where this is a part of it; "" where it is the same."""


@dataclass(frozen=True)
class RunSummary:
    """The end of a run."""

    out: Path
    finished: tuple[VideoFinished, ...]
    already_finished: tuple[str, ...]
    incomplete_before: tuple[str, ...]
    """Those of them of which frames are missing."""
    failures: tuple[VideoFailed, ...]
    videos_in_file: int
    frames: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every video has all its features."""
        return not (self.failures or self.incomplete_before or any(video.incomplete for video in self.finished))


Event = RunStarted | VideoStarted | Progress | VideoFinished | VideoFailed | RunSummary
Reporter = Callable[[Event], None]


def silent(event: Event) -> None:
    """Reports nothing."""
