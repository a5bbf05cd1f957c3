"""From what the user typed to a list of videos with unique names."""

from __future__ import annotations

import glob
import itertools
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TextIO

from lcdc_extract.errors import VideoError

VIDEO_EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("3gp", "asf", "avi", "divx", "f4v", "flv", "m2ts", "m2v", "m4v", "mjpeg", "mjpg", "mkv", "mov", "mp4"),
        *("mpeg", "mpg", "mts", "mxf", "ogm", "ogv", "rm", "rmvb", "ts", "vob", "webm", "wmv"),
    )
)
"""What counts as a video in folders and patterns; a file named outright is taken whatever it is called."""


@dataclass(frozen=True)
class VideoSource:
    """One video to decode."""

    id: str
    """Unique name with POSIX slashes, usable as an HDF5 group path."""
    path: Path


@dataclass(frozen=True)
class _Found:
    path: Path
    name: PurePosixPath
    """Relative to the input it came from, extension included."""


def discover(inputs: Sequence[str], stdin: TextIO | None = None) -> list[VideoSource]:
    """Finds the videos behind `inputs`, each file once, in the order given (folders and patterns sorted).

    Args:
        inputs: each a file, a folder (searched recursively), a pattern (`**` spans folders), `@list.txt` with one path
            per line (blank lines and lines starting with # skipped), or `-` for such a list on standard input.
        stdin: what `-` reads; sys.stdin when left out.

    Raises:
        VideoError: a path is missing, nothing was found, or two videos would share a name.
    """
    found: dict[Path, _Found] = {}
    for item in _expand_lists(inputs, stdin or sys.stdin):
        for video in _find(item):
            found.setdefault(_real_path(video.path), video)
    if not found:
        raise VideoError(_nothing_found(inputs))
    return _name(list(found.values()))


def _expand_lists(inputs: Iterable[str], stdin: TextIO) -> Iterator[str]:
    for item in inputs:
        if item == "-":
            yield from _paths_in(stdin)
        elif item.startswith("@"):
            try:
                with open(item[1:], encoding="utf-8", errors="surrogateescape") as file:
                    yield from list(_paths_in(file))
            except OSError as error:
                raise VideoError(f"cannot read the list of videos {_show(item[1:])}: {error.strerror}") from error
        else:
            yield item


def _paths_in(lines: TextIO) -> Iterator[str]:
    for line in lines:
        text = line.strip()
        if text and not text.startswith("#"):
            yield text


def _find(item: str) -> Iterator[_Found]:
    path = Path(item)
    if path.is_dir():
        yield from _in_folder(path)
    elif path.is_file():
        yield _Found(path, PurePosixPath(path.name))
    elif glob.has_magic(item):
        yield from _matching(item)
    elif os.path.lexists(path):
        raise VideoError(f"{_show(item)} is neither a file nor a folder; name a video file or a folder that holds some")
    else:
        raise VideoError(f"{_show(item)} does not exist; check the spelling, and quote names that contain spaces")


def _in_folder(folder: Path) -> Iterator[_Found]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if _is_video(path):
                yield _Found(path, PurePosixPath(path.relative_to(folder)))


def _matching(pattern: str) -> Iterator[_Found]:
    folders = Path(pattern).parts[:-1]
    fixed = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), folders))
    for match in sorted(glob.glob(pattern, recursive=True)):
        path = Path(match)
        if _is_video(path):
            yield _Found(path, PurePosixPath(path.relative_to(fixed)))


def _is_video(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() in VIDEO_EXTENSIONS and path.is_file()


def _real_path(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _name(videos: Sequence[_Found]) -> list[VideoSource]:
    """Names each video without its extension; those that would then be the same keep it."""
    short: defaultdict[str, list[_Found]] = defaultdict(list)
    for video in videos:
        short[str(video.name.with_suffix(""))].append(video)
    names: dict[str, Path] = {}
    for video in videos:
        stem = str(video.name.with_suffix(""))
        name = stem if len(short[stem]) == 1 else str(video.name)
        _check_name(name, video.path)
        if name in names:
            raise VideoError(
                f"{_show(names[name])} and {_show(video.path)} would both be called {_show(name)} in the output; "
                "rename one, or give the folder that holds both as the only input"
            )
        names[name] = video.path
    return [VideoSource(name, path) for name, path in names.items()]


def _check_name(name: str, path: Path) -> None:
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise VideoError(f"{_show(path)} gives the name {_show(name)}, which the output file cannot hold; rename it")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise VideoError(f"the name of {_show(path)} is not valid UTF-8; rename it") from error


def _nothing_found(inputs: Sequence[str]) -> str:
    looked_at = ", ".join(_show(item) for item in inputs) or "nothing: no input was given"
    extensions = " ".join(sorted(VIDEO_EXTENSIONS))
    return f"no videos found; looked at {looked_at}. Extensions that count in folders and patterns: {extensions}"


def _show(text: object) -> str:
    """For messages: bytes that are no UTF-8 become escapes, so that any terminal can print them."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
