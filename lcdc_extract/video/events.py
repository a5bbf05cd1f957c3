"""What a decoder pool reports. Per video: `VideoOpened`, `FrameChunk` ..., `VideoEnded` or `DecodingFailed`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lcdc_extract.video.decoded import Condition
from lcdc_extract.video.discovery import VideoSource


@dataclass(frozen=True)
class VideoInfo:
    """What the container says about a video."""

    width: int
    """Pixels, after rotation."""
    height: int
    fps: float
    """Frames per second, as the stream says or as its packets have it; 0.0 where neither is known."""
    nominal_fps: float
    """Frames per second between most frames, and at least `fps`."""
    frames_expected: int | None
    """Packets in the file whose frame is to be shown: a claim, not a count. None where nobody knows."""
    decoder: str
    """Name and version, e.g. "decord 0.6.0"."""
    decoder_reason: str = ""
    """Why it is not decord, where `decoder` is "auto"."""
    interlaced: bool = False
    """Whether pictures consist of two fields, taken at different times."""
    notes: tuple[str, ...] = ()
    """What is unusual about the file, in words."""


@dataclass(frozen=True)
class VideoOpened:
    """Decoding of `source` begins. A second one takes back every chunk before it: another decoder begins anew."""

    source: VideoSource
    info: VideoInfo


class FrameChunk:
    """Consecutive sampled frames of one video, in memory shared with the decoder.

    Of a video that is wanted in parts, frames that no part needs are left out between two chunks.

    Attributes:
        source: the video.
        rgb: uint8 (T, H, W, 3). Valid until `release`.
        index: int64 (T,), the decoded frame each one is, counted from 0; never falls.
        pts_seconds: float64 (T,), presentation times, counted from the video's first frame.
        damaged: bool (T,), whether a frame, or one it was made from, is damaged.
        place: of the first of these frames among all sampled ones, from 0.
        start_seconds: where the video's first frame is on the clock that players show.
    """

    def __init__(
        self,
        source: VideoSource,
        rgb: npt.NDArray[np.uint8],
        index: npt.NDArray[np.int64],
        pts_seconds: npt.NDArray[np.float64],
        damaged: npt.NDArray[np.bool_],
        *,
        place: int = 0,
        start_seconds: float = 0.0,
        on_release: Callable[[], None] | None = None,
    ) -> None:
        """Checks that the arrays fit together.

        Raises:
            ValueError: a shape or a type is wrong.
        """
        if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[3] != 3:
            raise ValueError(f"rgb is {rgb.dtype} {rgb.shape}; expected uint8 (T, H, W, 3)")
        arrays: tuple[tuple[str, npt.NDArray[Any], type], ...] = (
            ("index", index, np.int64),
            ("pts_seconds", pts_seconds, np.float64),
            ("damaged", damaged, np.bool_),
        )
        for name, array, dtype in arrays:
            if array.dtype != dtype or array.shape != rgb.shape[:1]:
                expected = f"{np.dtype(dtype).name} {rgb.shape[:1]} as rgb is {rgb.shape}"
                raise ValueError(f"{name} is {array.dtype} {array.shape}; expected {expected}")
        self.source = source
        self.rgb = rgb
        self.index = index
        self.pts_seconds = pts_seconds
        self.damaged = damaged
        self.place = place
        self.start_seconds = start_seconds
        self._on_release = on_release

    def __len__(self) -> int:
        return len(self.index)

    def release(self) -> None:
        """Hands the memory back to the decoder, which overwrites it; empties `rgb`. Any thread may call."""
        self.rgb = self.rgb[:0]
        on_release, self._on_release = self._on_release, None
        if on_release is not None:
            on_release()


@dataclass(frozen=True)
class Counts:
    """What was counted while a video was decoded, and which file it was."""

    frames_decoded: int
    frames_sampled: int
    frames_repeated: int
    """Samples that show the same decoded frame as the one before (only with `fps`, at variable frame rate)."""
    frames_damaged: int
    """Decoded frames that are damaged, or were made from such."""
    last_seconds: float
    """When the last decoded frame is shown, after the first."""
    size_bytes: int
    modified_ns: int
    """The file's modification time, in nanoseconds since 1970."""
    sha256: str
    """Of the file's content, in hexadecimal."""


@dataclass(frozen=True)
class VideoEnded:
    """Every frame of `source` was decoded."""

    source: VideoSource
    info: VideoInfo
    counts: Counts
    condition: Condition


@dataclass(frozen=True)
class DecodingFailed:
    """`source` cannot be decoded; chunks delivered before this event are not the whole video."""

    source: VideoSource
    reason: str


VideoEvent = VideoOpened | FrameChunk | VideoEnded | DecodingFailed
