"""From what the user typed to a list of videos with unique names."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from lcdc_extract.errors import VideoError
from lcdc_extract.video.inputs import read_inputs
from lcdc_extract.video.part_list import ListedPart
from lcdc_extract.video.parts import Part
from lcdc_extract.video.picture_files import ARCHIVE_EXTENSIONS
from lcdc_extract.video.printing import printable
from lcdc_extract.video.search import VIDEO_EXTENSIONS, Search, VideoFile

_MOST_SKIPPED = 10
"""Named in an error."""

_NO_STEPS = ("", ".", "..")
"""Between the slashes of a name."""


@dataclass(frozen=True)
class VideoSource:
    """One video to decode."""

    id: str
    """Unique name with POSIX slashes, usable as an HDF5 group path."""
    path: Path
    """A file, or a folder of pictures."""
    parts: tuple[Part, ...] = ()
    """What is wanted of it, each under an id of its own; all of it, under `id`, where there are none."""

    @property
    def wanted(self) -> tuple[Part, ...]:
        """What is to be written of it: its parts, or the whole."""
        return self.parts or (Part(self.id),)


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
            (blank lines and lines starting with # skipped), `@parts.csv` with parts of videos (see `part_list`), or
            `-` for such a list on standard input.
        stdin: what `-` reads; standard input when left out.

    Raises:
        VideoError: a path is missing, a list cannot be read, nothing (that can be taken) was found, or two
            videos or parts would share a name.
    """
    search, each_once = Search(), _EachOnce()
    for item in read_inputs(inputs, stdin):
        if isinstance(item, ListedPart):
            each_once.add_part(item, search)
        else:
            for video in search.find(item):
                each_once.add(video)
    skipped = tuple(dict.fromkeys([*search.skipped, *each_once.left_out]))
    if not each_once.videos:
        raise VideoError(_nothing_found(inputs, skipped))
    videos, refused = _name(each_once.videos)
    if not videos:
        raise VideoError(_nothing_left(refused))
    return Found(videos, skipped, refused)


@dataclass
class _Wanted:
    """A video, and what is wanted of it."""

    file: VideoFile
    whole: bool = False
    parts: list[ListedPart] = field(default_factory=list)


class _EachOnce:
    """Keeps the first of the videos that are the same file.

    Attributes:
        videos: those that are kept.
        left_out: the others, in words; a path that comes twice is not worth any.
    """

    def __init__(self) -> None:
        self.videos: list[_Wanted] = []
        self.left_out: list[str] = []
        self._first: dict[object, _Wanted] = {}  # by what tells files apart
        self._places: set[str] = set()
        self._listed: dict[str, _Wanted] = {}  # by the path that a list of parts gives

    def add(self, video: VideoFile) -> None:
        self._keep(video).whole = True

    def add_part(self, item: ListedPart, search: Search) -> None:
        if item.path not in self._listed:
            found = list(search.find(item.path))
            if len(found) != 1:
                raise VideoError(f"{item.place}: {item.path} holds {len(found)} videos; expected the path of one")
            self._listed[item.path] = self._keep(found[0])
        wanted = self._listed[item.path]
        if item.part.is_whole and not item.part.id:
            wanted.whole = True
        else:
            wanted.parts.append(item)

    def _keep(self, video: VideoFile) -> _Wanted:
        marks = _marks(video.path)
        first = next((self._first[mark] for mark in marks if mark in self._first), None)
        place = os.path.join(os.path.realpath(video.path.parent), video.path.name)
        if first is None:
            first = _Wanted(video)
            self.videos.append(first)
        elif place not in self._places:
            self.left_out.append(f"{printable(video.path)} (the same file as {printable(first.file.path)})")
        self._first |= dict.fromkeys(marks, first)
        self._places.add(place)
        return first


def _marks(path: Path) -> list[object]:
    """The real path of a file, and where it has several, its number on its disk."""
    marks: list[object] = [os.path.realpath(path)]
    with suppress(OSError):  # gone meanwhile: whoever reads it says so
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            marks.append((status.st_dev, status.st_ino))
    return marks


def _name(videos: Sequence[_Wanted]) -> tuple[tuple[VideoSource, ...], tuple[RefusedVideo, ...]]:
    """Names each video without its extension; those that would then be the same keep it.

    Raises:
        VideoError: two videos or parts would still share a name, or a list gives one that cannot be used.
    """
    stems = Counter(video.file.stem for video in videos)
    named: dict[str, Path] = {}
    part_ids: dict[str, str] = {}
    sources, refused = [], []
    for video in videos:
        file = video.file
        name = file.stem if stems[file.stem] == 1 else str(file.name)
        if video.whole or not all(item.part.id for item in video.parts):
            _check_name_is_free(name, file.path, named)
            if reason := _why_refused(name, file.path):
                refused.append(RefusedVideo(printable(file.path), file.path, reason))
                continue
        parts = [Part(name)] * video.whole + [_named_part(item, name, part_ids) for item in video.parts]
        sources.append(VideoSource(id=name, path=file.path, parts=() if parts == [Part(name)] else tuple(parts)))
    _check_parts_differ(part_ids, named)
    return tuple(sources), tuple(refused)


def _check_name_is_free(name: str, path: Path, named: dict[str, Path]) -> None:
    if name in named:
        raise VideoError(
            f"{printable(named[name])} and {printable(path)} would both be called {printable(name)} in the output; "
            "rename one, or give the folder that holds both as the only input (in a list of parts: give each an id, in "
            "a column `id`)"
        )
    named[name] = path


def _named_part(item: ListedPart, name: str, known: dict[str, str]) -> Part:
    part_id = item.part.id or f"{name}@{item.part}"
    if part_id in known:
        raise VideoError(
            f"{item.place} and {known[part_id]} would both be called {printable(part_id)} in the output; expected "
            "every part once, and an id of its own where there is a column `id`"
        )
    if any(step in _NO_STEPS for step in part_id.split("/")):
        raise VideoError(f"{item.place}: the id {part_id} is none that the output file can hold; give it another")
    known[part_id] = item.place
    return replace(item.part, id=part_id)


def _check_parts_differ(part_ids: Mapping[str, str], named: Mapping[str, Path]) -> None:
    for name in part_ids.keys() & named.keys():
        raise VideoError(
            f"{part_ids[name]} and the video {printable(named[name])} would both be called {printable(name)} in the "
            "output; give the part another id, in a column `id`"
        )


def _why_refused(name: str, path: Path) -> str | None:
    if any(step in _NO_STEPS for step in name.split("/")):
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
