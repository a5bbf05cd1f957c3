"""Which decoder reads a video, and why."""

from __future__ import annotations

from collections.abc import Callable

from lcdc_extract.errors import VideoError
from lcdc_extract.video.av_video import AvVideo, av_name
from lcdc_extract.video.container import Container
from lcdc_extract.video.decoded import Condition, DecodedFrame, OpenVideo, what_is_wrong
from lcdc_extract.video.decord_video import DecordVideo, decord_name, doubts, why_not
from lcdc_extract.video.events import VideoInfo
from lcdc_extract.video.reading import Reading


def chooses_decord(container: Container, reading: Reading, distrust: str) -> bool:
    """Whether decord is the one to begin with.

    Args:
        distrust: why it is not to be tried again, "" where it may be.
    """
    return reading.decoder == "decord" or (reading.decoder == "auto" and not _reason(container, reading, distrust))


def open_decord(container: Container, log: Callable[[], str]) -> OpenVideo:
    """A video read by decord.

    Args:
        log: returns what native code wrote to standard error since the video was opened.

    Raises:
        VideoError: decord would give wrong frames or times, cannot open the file, or is not installed.
    """
    if reason := why_not(container):
        raise VideoError(f"decord cannot be trusted with this file: {reason}")
    return DecordVideo(container, log)


def open_av(container: Container, reading: Reading) -> OpenVideo:
    """A video read by PyAV."""
    return AvVideo(container, deinterlace=_deinterlaces(container, reading))


def describe(container: Container, reading: Reading, distrust: str) -> VideoInfo:
    """What is known of a video before it is decoded."""
    by_decord = chooses_decord(container, reading, distrust)
    notes = list(container.notes)
    if container.interlaced and not reading.deinterlace:
        notes.append("the pictures are interlaced: two fields each, taken at different times; see `deinterlace=True`")
    return VideoInfo(
        width=container.width,
        height=container.height,
        fps=container.fps,
        nominal_fps=container.nominal_fps,
        frames_expected=len(container.clock) or None,
        decoder=decord_name() if by_decord else av_name(_deinterlaces(container, reading)),
        decoder_reason=_reason(container, reading, distrust) if reading.decoder == "auto" else "",
        interlaced=container.interlaced,
        notes=tuple(notes),
    )


def damaged_video(condition: Condition, frames_damaged: int) -> str:
    """Why a video fails with `on_damage="fail"`."""
    return (
        f"{what_is_wrong(condition, frames_damaged)}. Copy it again, or keep what can be decoded, marked row by row: "
        "`on_damage='mark'`"
    )


def too_large(container: Container, frame: DecodedFrame) -> str:
    """Why a video fails whose frames grow beyond the memory that was set aside for them."""
    height, width, _ = frame.rgb.shape
    size = f"{container.width}x{container.height}"
    return (
        f"the frame size grows from {size} to {width}x{height} at frame {frame.index}, more than the memory set aside; "
        f"convert it first: ffmpeg -i IN -vf scale={width}:{height} OUT.mp4"
    )


def _deinterlaces(container: Container, reading: Reading) -> bool:
    return reading.deinterlace and container.interlaced


def _reason(container: Container, reading: Reading, distrust: str) -> str:
    """Why "auto" does not take decord; "" where it does."""
    if _deinterlaces(container, reading):
        return "deinterlacing needs PyAV"
    return distrust or doubts(container) or ""
