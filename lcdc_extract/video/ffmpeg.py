"""ffmpeg's libraries, through PyAV: opening a file as we need it, and hearing what ffmpeg complains about."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import av

from lcdc_extract.errors import VideoError

_INVALID_UTF8 = "replace"


def open_file(path: Path) -> Any:
    """An open container, a context manager; times are those of the file, none is made up.

    Raises:
        VideoError: ffmpeg does not know the file as a video.
    """
    listen_to_errors()
    try:
        container: Any = av.open(str(path), metadata_errors=_INVALID_UTF8)
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
