"""ffmpeg's libraries, through PyAV: opening a file as we need it, and hearing what ffmpeg complains about."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from types import TracebackType
from typing import Any

import av

from lcdc_extract.errors import VideoError

_INVALID_UTF8 = "replace"

_FORMATS = (
    *("apng", "asf", "av1", "avi", "avs2", "avs3", "cavsvideo", "cdxl", "cine", "dirac", "dnxhd", "dv", "dxa", "evc"),
    *("film_cpk", "flic", "flv", "live_flv", "gif", "gxf", "h261", "h263", "h264", "hevc", "ivf", "ivr", "lxf", "m4v"),
    *("matroska", "mjpeg", "mjpeg_2000", "mov", "mpeg", "mpegts", "mpegtsraw", "mpegvideo", "mpjpeg", "mv", "mxf"),
    *("nsv", "nut", "obu", "ogg", "pva", "r3d", "rm", "smjpeg", "smk", "swf", "vc1", "vc1test", "vivo", "vvc", "wtv"),
    *("yuv4mpegpipe", "bmp_pipe", "gif_pipe", "jpeg_pipe", "png_pipe", "tiff_pipe", "webp_pipe"),
    *("aac", "ac3", "aiff", "amr", "ape", "caf", "dts", "eac3", "flac", "loas", "mp3", "tta", "w64", "wav", "wv"),
)
"""ffmpeg's readers of video and sound that read the file they are given, and no other: not those of playlists, concat
scripts, session descriptions, manifests or numbered pictures, which would open what these name."""

_LISTS = re.compile(
    rb"\s*(#EXTM3U|ffconcat|\[playlist\]|v=0\s|(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<(MPD|playlist|smil|asx)\b)",
    re.IGNORECASE | re.DOTALL,
)
"""How files begin that name others: playlists, concat scripts, session descriptions and manifests."""

_HEAD_BYTES = 4096

_ONLY_THE_FILE = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"}


def open_file(path: Path) -> Any:
    """An open container, a context manager; times are those of the file, none is made up. It opens no other file.

    Raises:
        VideoError: ffmpeg does not know the file as a video.
    """
    listen_to_errors()
    with path.open("rb") as file:
        if _LISTS.match(file.read(_HEAD_BYTES).removeprefix(codecs.BOM_UTF8)):
            raise VideoError("this is a list of other files, not a video; they are not opened. Give them instead")
    try:
        container: Any = av.open(str(path), metadata_errors=_INVALID_UTF8, options=_ONLY_THE_FILE)
    except av.FFmpegError as error:
        raise VideoError(_why_not_opened(path, error)) from error
    container.flags = container.flags & ~av.container.Flags.gen_pts.value
    return container


def listen_to_errors() -> None:
    """Has ffmpeg log every error, for `Complaints` to hear."""
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)


class Complaints:
    """What ffmpeg writes to its log as errors, in this thread. A context manager.

    `add` is for what it reports in other ways.
    """

    def __init__(self) -> None:
        self._capture: Any = av.logging.Capture()
        self._lines: list[tuple[int, str, str]] = []
        self._added: list[str] = []

    def __enter__(self) -> Complaints:
        self._lines = self._capture.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.__exit__(kind, error, trace)

    def add(self, text: str) -> None:
        """Notes one that is not in the log."""
        self._added.append(text)

    def take_of(self, source: str) -> list[str]:
        """Those since the last call that a certain part of ffmpeg made; the others are forgotten.

        While a file is opened its reader may already go through all of it. Its decoders try frames then, too, out of
        their context; what they say comes again when the video is decoded.
        """
        return [complaint for complaint in self.take() if complaint.startswith(f"{source}: ")]

    def take(self) -> list[str]:
        """Those since the last call: "h264: error while decoding MB 5 3"."""
        if not self._lines and not self._added:
            return []
        found = [
            f"{source}: {text.strip().rstrip('.')}" for level, source, text in self._lines if level <= av.logging.ERROR
        ]
        found += self._added
        self._lines.clear()
        self._added.clear()
        return found


def _why_not_opened(path: Path, error: Any) -> str:
    with path.open("rb") as file:
        is_mp4 = file.read(12)[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip")
    if is_mp4:
        return (
            "this MP4 file cannot be opened: it is probably cut off, an unfinished recording or download whose index "
            "(the moov box at the end) is missing. Copy it again"
        )
    return (
        f"not recognised as a video ({error.strerror}); if a player shows it, convert it: ffmpeg -i IN OUT.mp4, "
        "otherwise copy it again"
    )
