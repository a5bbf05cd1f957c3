"""A sequence of numbered pictures, in a folder or an archive, as a video."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from lcdc_extract.errors import VideoError
from lcdc_extract.video.damage import MOST_LINES
from lcdc_extract.video.decoded import Condition, DecodedFrame
from lcdc_extract.video.ffmpeg import Complaints, listen_to_errors
from lcdc_extract.video.numbering import Picture, put_in_order
from lcdc_extract.video.orientation import Orientation
from lcdc_extract.video.picture_files import BrokenMemberError, open_pictures
from lcdc_extract.video.printing import printable
from lcdc_extract.video.shortage import in_words
from lcdc_extract.video.shown import Changes, Converter, orientation_of

USUAL_FPS = 25.0
"""Pictures a second where nobody says: ffmpeg's image2 counts so."""

MOST_PIXELS = 1 << 27
"""Of one picture: 16K video has 133 million. A small file can announce far more, and would fill the memory."""

_BEGINNINGS = {
    "mjpeg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG\r\n\x1a\n",
    "webp": rb"RIFF.{4}WEBP",
    "bmp": rb"BM",
    "tiff": rb"II\*\0|MM\0\*",
}
"""How the files of ffmpeg's decoders begin; what the name says does not count."""


@dataclass(frozen=True)
class PictureSequence:
    """A folder or archive whose pictures are the frames of one video, looked at and not decoded yet."""

    path: Path
    width: int
    """Pixels of the first picture, as shown."""
    height: int
    fps: float
    """Pictures a second: a picture with the number k is shown at (k - first) / fps."""
    frames: int
    missing: int
    """Numbers between the first and the last that no picture has."""
    missing_where: tuple[str, ...]
    """In words."""
    cut_off: str | None
    """What is missing at the end of the archive, in words."""
    notes: tuple[str, ...]

    @property
    def nominal_fps(self) -> float:
        """The same as `fps`."""
        return self.fps


def read_pictures(
    path: Path, frames_fps: float | None = None, on_picture: Callable[[], None] = lambda: None
) -> PictureSequence:
    """Puts the pictures of a folder or archive in order, and looks at the first that can be decoded.

    Args:
        path: the folder or archive.
        frames_fps: pictures a second; None counts 25, and notes it.
        on_picture: called now and then, as a sign of life.

    Raises:
        VideoError: the pictures are not the frames of one video, or none can be decoded.
        OSError: the disk fails, or does not let us.
    """
    with open_pictures(path) as contents:
        numbering = put_in_order(contents.files)
        height, width, _ = _first(numbering.pictures, on_picture).shape
    unsaid = (
        f"pictures do not say how many there are in a second: times count {USUAL_FPS:g}, as ffmpeg does; "
        "`frames_fps` sets another rate"
    )
    return PictureSequence(
        path=path,
        width=width,
        height=height,
        fps=frames_fps or USUAL_FPS,
        frames=len(numbering.pictures),
        missing=numbering.missing,
        missing_where=numbering.missing_where,
        cut_off=contents.cut_off,
        notes=(*numbering.missing_where, *numbering.notes, *(() if frames_fps else (unsaid,))),
    )


class PictureVideo:
    """Goes through a sequence once, front to back; see `decoded.OpenVideo`. A picture that is lost harms no other."""

    def __init__(self, sequence: PictureSequence) -> None:
        self._sequence = sequence
        self._start_seconds = 0.0
        self._lost = sequence.missing
        self._complaints: list[str] = []
        self._changes = Changes()
        self._converter = Converter()

    def frames(self) -> Iterator[DecodedFrame]:
        """Every picture that can be decoded, in the order of the numbers; times keep the gaps.

        Raises:
            VideoError: none can be, or one is not there any more.
        """
        first, index = None, 0
        with open_pictures(self._sequence.path) as contents:
            pictures = put_in_order(contents.files).pictures
            for picture in pictures:
                decoded, complaint = _decode(picture)
                self._note(complaint)
                if decoded is None:
                    self._lost += 1
                    continue
                if first is None:
                    first = picture.number
                    self._start_seconds = (first - pictures[0].number) / self._sequence.fps
                self._changes.look_at(decoded, index)
                seconds = (picture.number - first) / self._sequence.fps
                yield DecodedFrame(index, seconds, _upright(decoded, self._converter), damaged=complaint is not None)
                index += 1
        if not index:
            raise VideoError(_none_decoded(len(pictures), self._complaints))

    def condition(self) -> Condition:
        return Condition(
            start_seconds=round(self._start_seconds, 6),
            frames_lost=self._lost,
            cut_off=self._sequence.cut_off,
            complaints=tuple(self._complaints),
            notes=self._changes.notes,
        )

    def _note(self, complaint: str | None) -> None:
        if complaint and len(self._complaints) < MOST_LINES:
            self._complaints.append(complaint)


def _first(pictures: Sequence[Picture], on_picture: Callable[[], None]) -> Any:
    """The first picture that can be decoded: uint8 (H, W, 3)."""
    complaints = []
    for picture in pictures:
        decoded, complaint = _decode(picture)
        if decoded is not None:
            return _upright(decoded, Converter())
        complaints.append(complaint or "")
        on_picture()
    raise VideoError(_none_decoded(len(pictures), complaints[:MOST_LINES]))


def _upright(decoded: Any, converter: Converter) -> Any:
    return (orientation_of(decoded) or Orientation()).apply(converter.rgb(decoded))


def _decode(picture: Picture) -> tuple[Any, str | None]:
    """The decoded picture, None where it is lost; and what is wrong with it, in words."""
    name = printable(picture.file.name)
    try:
        content = picture.file.read()
    except BrokenMemberError as error:
        return None, f"{name}: {error}"
    except OSError as error:
        raise VideoError(f"{name} cannot be read: {in_words(error)}") from error
    codec = next((codec for codec, begin in _BEGINNINGS.items() if re.match(begin, content, re.DOTALL)), None)
    if codec is None:
        return None, f"{name}: " + ("it does not begin like a picture" if content else "it is empty")
    decoded, complaints = _decode_file(content, codec)
    if complaints or decoded is None:
        return decoded, f"{name}: {complaints[0] if complaints else 'no picture comes out'}"
    return decoded, None


def _decode_file(content: bytes, codec: str) -> tuple[Any, list[str]]:
    listen_to_errors()
    decoder: Any = av.CodecContext.create(codec, "r")
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(MOST_PIXELS)}
    with Complaints() as complaints:
        pictures = []
        try:
            for packet in (av.Packet(content), None):
                pictures += decoder.decode(packet)
        except av.FFmpegError as error:
            complaints.add(f"{codec}: {error.strerror}")
        return next(iter(pictures), None), complaints.take()


def _none_decoded(count: int, complaints: Sequence[str]) -> str:
    return f"none of {count} pictures can be decoded ({'; '.join(complaints)}). Copy them again, or convert them to PNG"
