"""From what the user typed to a list of videos with unique names."""

from __future__ import annotations

import codecs
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lcdc_extract.errors import VideoError
from lcdc_extract.video.search import VIDEO_EXTENSIONS, Search, VideoFile, printable

_MOST_SKIPPED = 10
"""Named in an error."""


@dataclass(frozen=True)
class VideoSource:
    """One video to decode."""

    id: str
    """Unique name with POSIX slashes, usable as an HDF5 group path."""
    path: Path


@dataclass(frozen=True)
class Found:
    """The videos behind what the user typed."""

    videos: tuple[VideoSource, ...]
    skipped: tuple[str, ...]
    """What may hold videos and could not be looked at, with the reason: "in/closed (Permission denied)"."""


def discover(inputs: Sequence[str], stdin: BinaryIO | None = None) -> Found:
    """Finds the videos behind `inputs`, each file once, in the order given (folders and patterns sorted).

    Links to files and folders are followed; where several ways lead to a file, one without linked folders names it.
    Hidden files and folders only count if they are named. In patterns, `**` spans folders, a folder that matches is
    searched, capitals in extensions do not matter, and a part that is a name as it stands is no pattern.

    Args:
        inputs: each a file, a folder (searched recursively), a pattern, `@list.txt` with one path per line in UTF-8
            (blank lines and lines starting with # skipped), or `-` for such a list on standard input.
        stdin: what `-` reads; standard input when left out.

    Raises:
        VideoError: a path is missing, a list cannot be read, nothing was found, or two videos would share a name.
    """
    search = Search()
    videos: dict[str, VideoFile] = {}
    for item in _expand_lists(inputs, stdin):
        for video in search.find(item):
            videos.setdefault(os.path.realpath(video.path), video)
    skipped = tuple(dict.fromkeys(search.skipped))
    if not videos:
        raise VideoError(_nothing_found(inputs, skipped))
    return Found(_name(list(videos.values())), skipped)


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


def _name(videos: Sequence[VideoFile]) -> tuple[VideoSource, ...]:
    """Names each video without its extension; those that would then be the same keep it."""
    short: defaultdict[str, list[VideoFile]] = defaultdict(list)
    for video in videos:
        short[str(video.name.with_suffix(""))].append(video)
    names: dict[str, Path] = {}
    for video in videos:
        stem = str(video.name.with_suffix(""))
        name = stem if len(short[stem]) == 1 else str(video.name)
        _check_name(name, video.path)
        if name in names:
            raise VideoError(
                f"{printable(names[name])} and {printable(video.path)} would both be called {printable(name)} in the "
                "output; rename one, or give the folder that holds both as the only input"
            )
        names[name] = video.path
    return tuple(VideoSource(name, path) for name, path in names.items())


def _check_name(name: str, path: Path) -> None:
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise VideoError(
            f"{printable(path)} gives the name {printable(name)}, which the output file cannot hold; rename it"
        )
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise VideoError(f"the name of {printable(path)} is not valid UTF-8; rename it") from error


def _nothing_found(inputs: Sequence[str], skipped: Sequence[str]) -> str:
    looked_at = ", ".join(printable(item) for item in inputs) or "nothing: no input was given"
    more = f" and {len(skipped) - _MOST_SKIPPED} more" if len(skipped) > _MOST_SKIPPED else ""
    but = f"; skipped {', '.join(skipped[:_MOST_SKIPPED])}{more}" if skipped else ""
    extensions = " ".join(sorted(VIDEO_EXTENSIONS))
    return f"no videos found; looked at {looked_at}{but}. Extensions that count in folders and patterns: {extensions}"
