"""From what the user typed to a list of videos with unique names."""

from __future__ import annotations

import codecs
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lcdc_extract.errors import VideoError
from lcdc_extract.video.picture_files import ARCHIVE_EXTENSIONS
from lcdc_extract.video.printing import printable
from lcdc_extract.video.search import VIDEO_EXTENSIONS, Search, VideoFile

_MOST_SKIPPED = 10
"""Named in an error."""


@dataclass(frozen=True)
class VideoSource:
    """One video to decode."""

    id: str
    """Unique name with POSIX slashes, usable as an HDF5 group path."""
    path: Path
    """A file, or a folder of pictures."""


@dataclass(frozen=True)
class RefusedVideo:
    """A video that cannot be taken because of its name; the others can."""

    id: str
    """Its path, in characters that can be printed: it has no id."""
    path: Path
    reason: str


@dataclass(frozen=True)
class Found:
    """The videos behind what the user typed."""

    videos: tuple[VideoSource, ...]
    skipped: tuple[str, ...]
    """What was left out, with the reason: "in/closed (Permission denied)", "b.mp4 (the same file as a.mp4)"."""
    refused: tuple[RefusedVideo, ...] = ()


def discover(inputs: Sequence[str], stdin: BinaryIO | None = None) -> Found:
    """Finds the videos behind `inputs`, each file once, in the order given (folders and patterns sorted).

    A folder that directly holds numbered pictures and no videos is a video itself, as is a .zip or .tar file of such.
    Links to files and folders are followed; where several ways lead to a file, one without linked folders names it.
    Hidden files and folders only count if they are named. In patterns, `**` spans folders, a folder that matches is
    searched, capitals in extensions do not matter, and a part that is a name as it stands is no pattern.

    Args:
        inputs: each a file, a folder (searched recursively), a pattern, `@list.txt` with one path per line in UTF-8
            (blank lines and lines starting with # skipped), or `-` for such a list on standard input.
        stdin: what `-` reads; standard input when left out.

    Raises:
        VideoError: a path is missing, a list cannot be read, nothing (that can be taken) was found, or two
            videos would share a name.
    """
    search, each_once = Search(), _EachOnce()
    for item in _expand_lists(inputs, stdin):
        for video in search.find(item):
            each_once.add(video)
    skipped = tuple(dict.fromkeys([*search.skipped, *each_once.left_out]))
    if not each_once.videos:
        raise VideoError(_nothing_found(inputs, skipped))
    videos, refused = _name(each_once.videos)
    if not videos:
        raise VideoError(_nothing_left(refused))
    return Found(videos, skipped, refused)


class _EachOnce:
    """Keeps the first of the videos that are the same file.

    Attributes:
        videos: those that are kept.
        left_out: the others, in words; a path that comes twice is not worth any.
    """

    def __init__(self) -> None:
        self.videos: list[VideoFile] = []
        self.left_out: list[str] = []
        self._first: dict[object, VideoFile] = {}  # by what tells files apart
        self._places: set[str] = set()

    def add(self, video: VideoFile) -> None:
        marks = _marks(video.path)
        first = next((self._first[mark] for mark in marks if mark in self._first), None)
        place = os.path.join(os.path.realpath(video.path.parent), video.path.name)
        if first is None:
            self.videos.append(video)
        elif place not in self._places:
            self.left_out.append(f"{printable(video.path)} (the same file as {printable(first.path)})")
        self._first |= dict.fromkeys(marks, first or video)
        self._places.add(place)


def _marks(path: Path) -> list[object]:
    """The real path of a file, and where it has several, its number on its disk."""
    marks: list[object] = [os.path.realpath(path)]
    with suppress(OSError):  # gone meanwhile: whoever reads it says so
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            marks.append((status.st_dev, status.st_ino))
    return marks


def _expand_lists(inputs: Iterable[str], stdin: BinaryIO | None) -> Iterator[str]:
    for item in inputs:
        if item == "-":
            yield from _paths_in((stdin or sys.stdin.buffer).read(), "on standard input")
        elif item.startswith("@"):
            name = printable(item[1:])
            try:
                content = Path(item[1:]).read_bytes()
            except OSError as error:
                raise VideoError(f"cannot read the list of videos {name}: {error.strerror}") from error
            yield from _paths_in(content, name)
        else:
            yield item


def _paths_in(content: bytes, name: str) -> Iterator[str]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise VideoError(
            f"the list of videos {name} is in UTF-16, or holds zero bytes; expected UTF-8 and one path per line. Save "
            "it as UTF-8 (PowerShell: Out-File -Encoding utf8); let `find` end lines with -print, not -print0"
        )
    for line in content.decode("utf-8-sig", "surrogateescape").replace("\r", "\n").split("\n"):
        text = line.strip()
        if text and not text.startswith("#"):
            yield text


def _name(videos: Sequence[VideoFile]) -> tuple[tuple[VideoSource, ...], tuple[RefusedVideo, ...]]:
    """Names each video without its extension; those that would then be the same keep it.

    Raises:
        VideoError: two would still share a name.
    """
    stems = Counter(video.stem for video in videos)
    named: dict[str, Path] = {}
    sources, refused = [], []
    for video in videos:
        name = video.stem if stems[video.stem] == 1 else str(video.name)
        if name in named:
            raise VideoError(
                f"{printable(named[name])} and {printable(video.path)} would both be called {printable(name)} in the "
                "output; rename one, or give the folder that holds both as the only input"
            )
        named[name] = video.path
        if reason := _why_refused(name, video.path):
            refused.append(RefusedVideo(printable(video.path), video.path, reason))
            continue
        sources.append(VideoSource(id=name, path=video.path))
    return tuple(sources), tuple(refused)


def _why_refused(name: str, path: Path) -> str | None:
    if any(part in ("", ".", "..") for part in name.split("/")):
        return f"{printable(path)} gives the name {printable(name)}, which the output file cannot hold; rename it"
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return f"the name of {printable(path)} is not valid UTF-8; rename it"
    return None


def _nothing_left(refused: Sequence[RefusedVideo]) -> str:
    more = f". {len(refused) - 1} more cannot be taken either" if len(refused) > 1 else ""
    return f"{refused[0].reason}{more}"


def _nothing_found(inputs: Sequence[str], skipped: Sequence[str]) -> str:
    looked_at = ", ".join(printable(item) for item in inputs) or "nothing: no input was given"
    more = f" and {len(skipped) - _MOST_SKIPPED} more" if len(skipped) > _MOST_SKIPPED else ""
    but = f"; skipped {', '.join(skipped[:_MOST_SKIPPED])}{more}" if skipped else ""
    extensions = " ".join(sorted(VIDEO_EXTENSIONS | ARCHIVE_EXTENSIONS))
    return (
        f"no videos found; looked at {looked_at}{but}. Extensions that count in folders and patterns: {extensions}; "
        "and folders of pictures whose names end in numbers"
    )
