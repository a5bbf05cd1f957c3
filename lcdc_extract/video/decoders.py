"""The two decoders behind one interface. The only module that imports decord or PyAV, and only when one is opened."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lcdc_extract.config import Decoder
from lcdc_extract.errors import VideoError
from lcdc_extract.video.events import VideoInfo

NUM_THREADS = 1
"""Per decoder: several videos decode side by side instead."""

DECORD_FAULT_TOLERANCE = 1e-9
"""A fraction of the frames. Unless it is positive, decord replaces missing frames by copies of the one before, and 0
counts as unset. This small it rounds down to "no copies at all"."""

_SIZE_CHANGE_LOG = "frame properties on the fly"
"""What ffmpeg inside decord logs when a later frame has another size; decord itself rescales it and says nothing."""

_UNKNOWN_CODEC = "(-1128613112 vs. 0)"
"""In decord's error where a video stream is there, but ffmpeg inside decord has no decoder for it."""

_LONGEST_SECONDS = 1e9
_AV = "`decoder='av'`"
_TRY_AV = f"{_AV} may still read it"
_SALVAGE = f"{_AV} skips damaged packets and keeps the rest"
_NO_VIDEO_STREAM = (
    "the file holds no video stream: it is an audio file to leave out, or, if a player shows pictures, one to convert: "
    "ffmpeg -i IN OUT.mp4"
)


@dataclass(frozen=True)
class DecodedFrame:
    """One picture, upright."""

    index: int
    """Frames decoded before it."""
    pts_seconds: float
    """Presentation time since the first decoded frame."""
    rgb: npt.NDArray[np.uint8]
    """Contiguous (H, W, 3)."""


class OpenVideo(Protocol):
    """A video, and the decoder that reads it."""

    info: VideoInfo
    damaged_packets: int

    def frames(self) -> Iterator[DecodedFrame]:
        """Every frame once, in presentation order; can be run through once.

        Raises:
            VideoError: from here on the video cannot be trusted.
        """


def open_video(path: Path, decoder: Decoder, log: Callable[[], str] = str) -> OpenVideo:
    """Opens a video with one of the two decoders.

    Args:
        path: the file.
        decoder: which one.
        log: returns what native code wrote to standard error since the video was opened; decord reports some faults
            only there.

    Raises:
        VideoError: the file is no video this decoder reads, or the decoder is not installed.
    """
    return DecordVideo(path, log) if decoder == "decord" else AvVideo(path)


class DecordVideo:
    """decord, read strictly front to back: its seeking and skipping return wrong frames (dmlc/decord#77, #252).

    decord finds all packets when it opens a file and gives them times, but does not say which packet a picture came
    from. Times are therefore only known where every packet gave one picture; anything else fails here.
    """

    damaged_packets = 0

    def __init__(self, path: Path, log: Callable[[], str] = str) -> None:
        try:
            import decord
        except (ImportError, OSError) as error:
            raise VideoError(f"decord cannot be loaded ({error}); `pip install decord`, or use {_AV}") from error
        self._log = log
        self._drained = decord._ffi.base.DECORDLimitReachedError
        self._damaged = decord.DECORDError
        decord.logging.set_level(decord.logging.INFO)
        try:
            self._reader: Any = decord.VideoReader(
                str(path), ctx=decord.cpu(0), num_threads=NUM_THREADS, fault_tol=DECORD_FAULT_TOLERANCE
            )
        except (decord.DECORDError, RuntimeError, AssertionError) as error:
            raise VideoError(_why_unreadable(path, str(error), "decord")) from error
        fps = _known_rate(self._reader.get_avg_fps())
        self._times, note = _decord_times(self._reader, fps)
        self._first = self._next(0)
        if self._first is None:
            raise VideoError(f"no frame could be decoded of {len(self._times)} announced. {_TRY_AV}")
        height, width, _ = self._first.shape
        self.info = VideoInfo(width, height, fps, len(self._times), f"decord {decord.__version__}{note}")

    def frames(self) -> Iterator[DecodedFrame]:
        rgb, index = self._first, 0
        self._first = None
        while rgb is not None:
            if index == len(self._times):
                raise VideoError(_uncertain(f"more pictures than the {index} its packets announce"))
            yield DecodedFrame(index, float(self._times[index]), rgb)
            index += 1
            rgb = self._next(index)
        if index < len(self._times):
            raise VideoError(_uncertain(f"only {index} pictures in {len(self._times)} packets"))
        if _SIZE_CHANGE_LOG in self._log():
            raise VideoError(_size_change(f"{self.info.width}x{self.info.height}"))

    def _next(self, index: int) -> npt.NDArray[np.uint8] | None:
        """The picture after `index` others, None after the last."""
        try:
            rgb: npt.NDArray[np.uint8] = self._reader.next().asnumpy()
        except (StopIteration, self._drained):  # the latter: packets without a picture remain
            return None
        except self._damaged as error:  # may come before the last good frames are handed out
            announced = len(self._times)
            raise VideoError(f"damaged: decord stopped after {index} of {announced} frames. {_SALVAGE}") from error
        height, width, channels = rgb.shape
        if channels != 3:  # rows padded to a multiple of the width come out as further channels
            rgb = rgb.reshape(height, width * channels)[:, : width * 3].reshape(height, width, 3)
        return np.ascontiguousarray(rgb)


class AvVideo:
    """PyAV: skips damaged packets, counts them, and keeps each frame's own time."""

    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError as error:
            raise VideoError("PyAV is not installed; run `pip install lcdc-extract[av]`") from error
        self._av = av
        self.damaged_packets = 0
        try:
            self._container: Any = av.open(str(path))
        except av.FFmpegError as error:
            raise VideoError(_why_unreadable(path, str(error), "PyAV")) from error
        if not self._container.streams.video:
            raise VideoError(_NO_VIDEO_STREAM)
        self._stream: Any = self._container.streams.video[0]
        self._stream.codec_context.thread_count = NUM_THREADS
        self._pictures = self._decode()
        first = next(self._pictures, None)
        if first is None:
            raise VideoError(f"no frame could be decoded; {self.damaged_packets} packets are damaged")
        self._first = first
        self._damaged_at_start = self.damaged_packets > 0
        height, width, _ = self._first[1].shape
        fps = _known_rate(float(self._stream.average_rate or 0))
        self.info = VideoInfo(width, height, fps, self._stream.frames or None, f"av {av.__version__}")

    def frames(self) -> Iterator[DecodedFrame]:
        start_seconds = self._first[0]
        if self._damaged_at_start and self._stream.start_time is not None:
            start_seconds = float(self._stream.start_time * self._stream.time_base)  # the first frames are lost
        pictures = itertools.chain([self._first], self._pictures)
        for index, (seconds, rgb) in enumerate(pictures):
            if rgb.shape != self._first[1].shape:
                raise VideoError(_size_change(f"{self.info.width}x{self.info.height}", index))
            yield DecodedFrame(index, seconds - start_seconds, rgb)

    def _decode(self) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
        """Yields (container time in seconds, upright rgb) of frames that can be shown."""
        seconds, interval = -math.inf, 1 / float(self._stream.average_rate or 25)
        for frame in self._raw_frames():
            before = seconds
            seconds = max(0.0, before + interval) if frame.pts is None else float(frame.pts * self._stream.time_base)
            if self.damaged_packets and seconds <= before:  # after damage some frames come too late to be shown
                self.damaged_packets += 1
                seconds = before
                continue
            yield seconds, _upright(frame)

    def _raw_frames(self) -> Iterator[Any]:
        for packet in self._packets():
            try:
                yield from self._stream.codec_context.decode(packet)
            except self._av.FFmpegError:
                self.damaged_packets += 1

    def _packets(self) -> Iterator[Any]:
        """The video's packets, then None, which makes the decoder hand out the frames it still holds."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except self._av.FFmpegError:
                self.damaged_packets += 1
                break
            if packet.size:
                yield packet
        yield None


def _known_rate(fps: float) -> float:
    return fps if math.isfinite(fps) and fps > 0 else 0.0


def _decord_times(reader: Any, fps: float) -> tuple[npt.NDArray[np.float64], str]:
    """Presentation times (N,) of the frames that are shown, from 0; and what to tell about them.

    decord counts from the stream's start. Packets before it are decoded but not shown (edit lists), yet decord lists
    them. Packets without a time, as AVI has for B frames, come out as huge negative numbers; such containers have a
    constant rate, so the times follow from it.
    """
    times: npt.NDArray[np.float64] = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(np.float64)
    if not np.all(np.abs(times) < _LONGEST_SECONDS):
        if not fps:
            raise VideoError(f"the file has neither frame times nor a frame rate. {_TRY_AV}")
        return np.arange(len(times)) / fps, ", times from the frame rate"
    half_frame = 0.5 / fps if fps else 0.0
    shown = times[times > -half_frame]
    return shown - shown[:1], ""


def _upright(frame: Any) -> npt.NDArray[np.uint8]:
    """RGB (H, W, 3), converted as ffmpeg's own scale filter does, with the display rotation applied."""
    rgb = frame.reformat(format="rgb24", interpolation="BICUBIC").to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


def _uncertain(found: str) -> str:
    return (
        f"decord found {found}, so it cannot tell which time belongs to which frame. "
        f"{_AV} reads the time of each frame from the file"
    )


def _size_change(size: str, index: int | None = None) -> str:
    where = "in the middle of the video" if index is None else f"at frame {index}"
    scale = size.replace("x", ":")
    return f"the frame size changes from {size} {where}; convert it first: ffmpeg -i IN -vf scale={scale} OUT.mp4"


def _why_unreadable(path: Path, error: str, decoder: str) -> str:
    if _UNKNOWN_CODEC in error:
        return f"{decoder} does not know the codec of this video (AV1, for one). {_TRY_AV}"
    if "cannot find video stream" in error:
        return _NO_VIDEO_STREAM
    if "av_read_frame failed" in error:
        return f"the file breaks off or is damaged before its end; copy it again, or: {_SALVAGE}"
    if "Check failed" in error or "Invalid frame count" in error:
        return f"{decoder} cannot start: the beginning is damaged, or it does not know the format. {_TRY_AV}"
    with path.open("rb") as file:
        is_mp4 = file.read(12)[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip")
    if is_mp4:
        return (
            f"{decoder} cannot open this MP4 file: it is probably cut off, an unfinished recording or download whose "
            "index (the moov box at the end) is missing. Copy it again"
        )
    return f"{decoder} does not recognise this as a video; if a player shows it, convert it: ffmpeg -i IN OUT.mp4"
