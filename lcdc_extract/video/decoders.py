"""What kind of video a path leads to, which decoder reads it, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lcdc_extract.errors import VideoError
from lcdc_extract.video.av_video import AvVideo, av_name
from lcdc_extract.video.container import Container, read_container
from lcdc_extract.video.decoded import Condition, OpenVideo, what_is_wrong
from lcdc_extract.video.decord_video import DecordVideo, decord_name, doubts, why_not
from lcdc_extract.video.events import VideoInfo
from lcdc_extract.video.picture_files import holds_pictures
from lcdc_extract.video.pictures import PictureSequence, PictureVideo, read_pictures
from lcdc_extract.video.reading import Reading

Footage = Container | PictureSequence
"""A video that was looked at and not decoded yet: a file, or pictures."""


def open_footage(path: Path, reading: Reading, on_progress: Callable[[], None]) -> Footage:
    """Looks at what a path leads to.

    Args:
        on_progress: called now and then, as a sign of life.

    Raises:
        VideoError: it is no video, or cannot be read in the way that is asked for.
    """
    if not path.exists():
        raise VideoError("the file is no longer there")
    if holds_pictures(path):
        _check_reading_of_pictures(reading)
        return read_pictures(path, reading.frames_fps, on_progress)
    with path.open("rb") as file:
        if not file.read(1):
            raise VideoError("the file is empty (0 bytes); copy it again")
    return read_container(path, reading.video_stream, on_progress)


def chooses_decord(footage: Footage, reading: Reading, distrust: str) -> bool:
    """Whether decord is the one to begin with.

    Args:
        distrust: why it is not to be tried again, "" where it may be.
    """
    return reading.decoder == "decord" or (reading.decoder == "auto" and not _reason(footage, reading, distrust))


def open_decord(footage: Footage, log: Callable[[], str]) -> OpenVideo:
    """A video read by decord.

    Args:
        log: returns what native code wrote to standard error since the video was opened.

    Raises:
        VideoError: decord would give wrong frames or times, cannot open the file, or is not installed.
    """
    if isinstance(footage, PictureSequence):
        raise VideoError(_NOT_BY_DECORD)
    if reason := why_not(footage):
        raise VideoError(f"decord cannot be trusted with this file: {reason}")
    return DecordVideo(footage, log)


def open_av(footage: Footage, reading: Reading) -> OpenVideo:
    """A video read by PyAV."""
    if isinstance(footage, PictureSequence):
        return PictureVideo(footage)
    return AvVideo(footage, deinterlace=_deinterlaces(footage, reading))


def describe(footage: Footage, reading: Reading, distrust: str) -> VideoInfo:
    """What is known of a video before it is decoded."""
    if isinstance(footage, PictureSequence):
        return _describe_pictures(footage)
    return _describe_file(footage, reading, distrust)


def _describe_pictures(sequence: PictureSequence) -> VideoInfo:
    return VideoInfo(
        width=sequence.width,
        height=sequence.height,
        fps=sequence.fps,
        nominal_fps=sequence.nominal_fps,
        frames_expected=sequence.frames,
        decoder=av_name(deinterlace=False),
        notes=sequence.notes,
    )


def _describe_file(container: Container, reading: Reading, distrust: str) -> VideoInfo:
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


def damaged_video(footage: Footage, condition: Condition, frames_damaged: int) -> str:
    """Why a video fails with `on_damage="fail"`."""
    missing = footage.missing_where if isinstance(footage, PictureSequence) else ()
    wrong = "; ".join([what_is_wrong(condition, frames_damaged), *missing])
    return f"{wrong}. Copy it again, or keep what can be decoded, marked row by row: `on_damage='mark'`"


def _deinterlaces(container: Container, reading: Reading) -> bool:
    return reading.deinterlace and container.interlaced


def _reason(footage: Footage, reading: Reading, distrust: str) -> str:
    """Why "auto" does not take decord; "" where it does."""
    if isinstance(footage, PictureSequence):
        return "the video is a sequence of pictures"
    if _deinterlaces(footage, reading):
        return "deinterlacing needs PyAV"
    return distrust or doubts(footage) or ""


def _check_reading_of_pictures(reading: Reading) -> None:
    if reading.decoder == "decord":
        raise VideoError(_NOT_BY_DECORD)
    if reading.video_stream:
        raise VideoError(f"`video_stream={reading.video_stream}`: pictures are one video stream, number 0")
    if reading.fps is not None and reading.frames_fps is None:
        raise VideoError(
            f"`fps={reading.fps:g}` needs times, and pictures have none; say how many there are in a second, for "
            "example `frames_fps=25`, or sample by `frame_step`"
        )


_NOT_BY_DECORD = "decord does not read pictures; `decoder='auto'` does"
