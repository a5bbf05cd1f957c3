"""A video decoded by decord, which is only trusted with files that are whole and say when each frame is shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt

from lcdc_extract.errors import VideoError
from lcdc_extract.video.container import NUM_THREADS, Container
from lcdc_extract.video.decoded import Condition, DecodedFrame

FAULT_TOLERANCE = 1e-9
"""A fraction of the frames. Unless it is positive, decord replaces missing frames by copies of the one before, and 0
counts as unset. This small it rounds down to "no copies at all"."""

CODECS = ("h264", "hevc", "mpeg4", "vp8", "vp9")
"""Those with which decord's frames are ffmpeg's, bit by bit: docs/decoding.md."""

FORMATS = ("avi", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2")

PIXEL_FORMATS = ("gray", "yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p")
"""8 bits a channel, colours at the full, half or quarter resolution."""

_SIZE_CHANGE = "frame properties on the fly"
"""What ffmpeg inside decord logs when a later frame has another size; decord itself rescales it and says nothing."""

_HARMLESS = (
    "EOI missing, emulating",
    "Failed to parse extradata",
    "No accelerated colorspace conversion",
    "deprecated pixel format used",
)
"""Lines that ffmpeg inside decord writes about good files."""


def doubts(container: Container) -> str | None:
    """Why decord should not read a file that something else can, in words; None where its frames are as good."""
    reasons = (
        (container.codec not in CODECS, f"the codec is {container.codec}"),
        (container.format not in FORMATS, f"the container is {container.format}"),
        (container.pixel_format not in PIXEL_FORMATS, f"the pixel format is {container.pixel_format}"),
        (_cuts_colours(container), f"{container.width}x{container.height} is no whole number of its colours' pixels"),
    )
    return why_not(container) or next((text for doubtful, text in reasons if doubtful), None)


def _cuts_colours(container: Container) -> bool:
    """Whether colours have half the resolution of an odd size, which decord makes RGB of in another way."""
    halves_height = "420" in container.pixel_format
    halves_width = halves_height or "422" in container.pixel_format
    return (halves_width and container.width % 2 == 1) or (halves_height and container.height % 2 == 1)


def why_not(container: Container) -> str | None:
    """Why decord would give wrong frames or times, in words; None where it would not."""
    reasons = (
        (container.cut_off is not None, f"the file is cut off: {container.cut_off}"),
        (bool(container.faults), f"the file is damaged: {'; '.join(container.faults[:1])}"),
        (not container.orientation.upright, "players turn or mirror the pictures"),
        (container.streams > 1, f"the file has {container.streams} video streams, cover pictures included"),
        (bool(container.hidden), "an edit list hides some frames"),
        (not container.clock.tells_when_shown, "packets do not say when their frames are shown"),
        (bool(container.clock.restarts), "the clock of the file starts again"),
    )
    return next((text for wrong, text in reasons if wrong), None)


def decord_name() -> str:
    """Name and version, without loading it."""
    for name in ("decord", "decord2"):
        with suppress(PackageNotFoundError):
            return f"{name} {version(name)}"
    return "decord"


class DecordVideo:
    """Read strictly front to back: decord's seeking and skipping return wrong frames (dmlc/decord#77, #252).

    decord does not say which packet a picture came from. Times are therefore only known where every packet gave one
    picture; anything else fails here, and so does everything that ffmpeg inside decord complains about.
    """

    def __init__(self, container: Container, log: Callable[[], str]) -> None:
        """Opens the file.

        Args:
            log: returns what native code wrote to standard error since the video was opened: decord reports most
                faults only there.

        Raises:
            VideoError: decord is not installed, or cannot read the file.
        """
        try:
            import decord
        except (ImportError, OSError) as error:
            raise VideoError(
                f"decord cannot be loaded ({error}); `pip install decord`, or use `decoder='av'`"
            ) from error
        self._container, self._log = container, log
        self._drained = decord._ffi.base.DECORDLimitReachedError
        self._damaged = decord.DECORDError
        decord.logging.set_level(decord.logging.INFO)
        try:
            self._reader: Any = decord.VideoReader(
                os.fspath(container.path), ctx=decord.cpu(0), num_threads=NUM_THREADS, fault_tol=FAULT_TOLERANCE
            )
        except (decord.DECORDError, RuntimeError, AssertionError) as error:
            raise VideoError("decord cannot open the file") from error

    def frames(self) -> Iterator[DecodedFrame]:
        """Every frame, in the order in which they are shown.

        Raises:
            VideoError: the file is not what it promised, or ffmpeg inside decord complains.
        """
        clock, index = self._container.clock, 0
        while (rgb := self._next(index)) is not None:
            if index == len(clock):
                raise VideoError(f"decord finds more pictures than the {index} packets")
            yield DecodedFrame(index, clock.at(index) - clock.at(0), rgb)
            index += 1
        if index < len(clock):
            raise VideoError(f"decord finds only {index} pictures in {len(clock)} packets")
        self._check_log(index)

    def condition(self) -> Condition:
        start_seconds = self._container.clock.at(0) - self._container.player_zero_seconds
        return Condition(start_seconds=round(start_seconds, 6))

    def _next(self, index: int) -> npt.NDArray[np.uint8] | None:
        """The picture after `index` others, None after the last."""
        try:
            rgb: npt.NDArray[np.uint8] = self._reader.next().asnumpy()
        except (StopIteration, self._drained):  # the latter: packets without a picture remain
            return None
        except self._damaged as error:
            raise VideoError(f"decord stopped after {index} of {len(self._container.clock)} frames") from error
        self._check_log(index)
        height, width, channels = rgb.shape
        if channels != 3:  # rows padded to a multiple of the width come out as further channels
            rgb = rgb.reshape(height, width * channels)[:, : width * 3].reshape(height, width, 3)
        return np.ascontiguousarray(rgb)

    def _check_log(self, index: int) -> None:
        for line in self._log().split("\n")[:-1]:  # decord's own thread may be in the middle of the last one
            if _SIZE_CHANGE in line:
                raise VideoError(f"the frame size changes near frame {index}")
            if line.strip() and not any(text in line for text in _HARMLESS):
                raise VideoError(f"ffmpeg inside decord complains near frame {index}: {line.strip()}")
