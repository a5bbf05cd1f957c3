"""What every kind of video gives, whoever reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class DecodedFrame:
    """One picture, as it is shown."""

    index: int
    """Frames decoded before it."""
    pts_seconds: float
    """Presentation time since the first decoded frame."""
    rgb: npt.NDArray[np.uint8]
    """Contiguous (H, W, 3). The size may change in the middle of a video."""
    damaged: bool = False
    """Whether it, or a frame it was made from, is damaged."""


@dataclass(frozen=True)
class Condition:
    """What became known of a video while it was decoded."""

    start_seconds: float = 0.0
    """Where the first decoded frame is on the clock that players show, to the microsecond."""
    frames_lost: int = 0
    """Frames of the video that could not be decoded; of numbered pictures, those that are missing too."""
    gaps: int = 0
    """Places between packets where ffmpeg found the file damaged: frames may be missing that nobody can count."""
    cut_off: str | None = None
    """What is missing at the end, in words."""
    complaints: tuple[str, ...] = ()
    """What ffmpeg said of the damage: the first lines."""
    notes: tuple[str, ...] = ()
    """What else is unusual, in words."""

    @property
    def incomplete(self) -> bool:
        """Whether frames of the video are missing."""
        return bool(self.frames_lost or self.gaps or self.cut_off)


def what_is_wrong(condition: Condition, frames_damaged: int) -> str:
    """What is wrong with a video, in words; "" where nothing is."""
    found = [f"the file is cut off: {condition.cut_off}"] if condition.cut_off else []
    if frames_damaged:
        found.append(f"{frames_damaged} frames are damaged")
    if condition.frames_lost:
        found.append(f"{condition.frames_lost} frames are lost")
    if condition.gaps:
        found.append(f"data is missing or damaged in {condition.gaps} places between packets")
    if found and condition.complaints:
        found[-1] += f" (ffmpeg: {'; '.join(condition.complaints)})"
    return "; ".join(found)


class OpenVideo(Protocol):
    """A video, and the decoder that reads it."""

    def frames(self) -> Iterator[DecodedFrame]:
        """Every frame once, in presentation order; can be run through once.

        Raises:
            VideoError: from here on this decoder cannot be trusted with the video.
        """

    def condition(self) -> Condition:
        """What is known at the end of `frames`; `start_seconds` is from the first frame on."""
