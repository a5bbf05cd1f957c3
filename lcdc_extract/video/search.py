"""Which files stand behind a file, a folder or a pattern."""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lcdc_extract.errors import VideoError
from lcdc_extract.video.numbering import may_be_frames
from lcdc_extract.video.picture_files import ARCHIVE_EXTENSIONS, open_pictures
from lcdc_extract.video.printing import printable

VIDEO_EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("3gp", "asf", "avi", "divx", "f4v", "flv", "m2ts", "m2v", "m4v", "mjpeg", "mjpg", "mkv", "mov", "mp4"),
        *("mpeg", "mpg", "mts", "mxf", "ogm", "ogv", "rm", "rmvb", "ts", "vob", "webm", "wmv"),
    )
)
"""What counts as a video in folders and patterns, besides pictures that are its frames, in a folder or an archive; a
file named outright is taken whatever it is called."""


@dataclass(frozen=True)
class VideoFile:
    """A video as it was found."""

    path: Path
    name: PurePosixPath
    """Relative to the input it came from, extension included."""
    is_folder: bool = False
    """Whether it is a folder of pictures."""

    @property
    def stem(self) -> str:
        """Its name without extension, which folders do not have."""
        return str(self.name if self.is_folder else self.name.with_suffix(""))


class Search:
    """Finds the videos of one input after the other.

    Attributes:
        skipped: what may hold videos and could not be looked at, with the reason, in words.
    """

    def __init__(self) -> None:
        self.skipped: list[str] = []
        self._searched: set[str] = set()  # real paths of folders

    def find(self, item: str) -> Iterator[VideoFile]:
        """The videos of an input, but those in folders that were searched before.

        Raises:
            VideoError: nothing is there.
        """
        path = Path(item)
        if os.path.isdir(path):
            yield from self._in_folder(path, path)
        elif os.path.isfile(path):
            yield VideoFile(path, PurePosixPath(path.name))
        elif glob.has_magic(item) and not os.path.lexists(path):
            yield from self._matching(path)
        else:
            raise VideoError(_why_no_input(path))

    def _matching(self, pattern: Path) -> Iterator[VideoFile]:
        """Names are relative to the folder in front of the first wildcard; what links lead to comes last."""
        fixed, parts = Path(), pattern.parts
        while len(parts) > 1 and os.path.isdir(fixed / parts[0]):
            fixed, parts = fixed / parts[0], parts[1:]
        for match in sorted(self._expand(fixed, parts), key=lambda path: _through_link(path, fixed)):
            if os.path.isdir(match):
                yield from self._in_folder(match, fixed)
            elif self._is_video(match):
                yield VideoFile(match, PurePosixPath(match.relative_to(fixed)))

    def _expand(self, path: Path, parts: Sequence[str]) -> Iterator[Path]:
        """Every path below `path` that the parts of a pattern stand for."""
        if not parts:
            yield path
        elif parts[0] == "**":
            for folder, _ in self._walk(path, set()):
                yield from self._expand(folder, parts[1:])
        else:
            for name in self._entries(path, parts[0]):
                yield from self._expand(path / name, parts[1:])

    def _entries(self, folder: Path, part: str) -> list[str]:
        """The names in a folder that one part stands for."""
        if os.path.lexists(folder / part):
            return [part]
        try:
            return sorted(name for name in os.listdir(folder) if _matches(name, part))
        except NotADirectoryError:
            return []
        except OSError as error:
            self._skip(error)
            return []

    def _in_folder(self, folder: Path, top: Path) -> Iterator[VideoFile]:
        """The videos in and below a folder; names are relative to `top`."""
        for parent, files in self._walk(folder, self._searched):
            videos = [path for path in (parent / name for name in files) if self._is_video(path)]
            for path in videos:
                yield VideoFile(path, PurePosixPath(path.relative_to(top)))
            if not videos and may_be_frames(files):
                yield VideoFile(parent, PurePosixPath(_name_below(parent, top)), is_folder=True)

    def _walk(self, top: Path, seen: set[str]) -> Iterator[tuple[Path, list[str]]]:
        """A folder and those below, each with its files; the folders that links lead to come last.

        No folder comes twice, so links in a circle end; `seen` holds the real paths of those that came.
        """
        tops = deque([top])
        while tops:
            for parent, folders, files in os.walk(tops.popleft(), onerror=self._skip):
                folder, real = Path(parent), os.path.realpath(parent)
                folders[:] = [] if real in seen else _shown(folders)
                tops.extend(folder / name for name in folders if os.path.islink(folder / name))
                if real not in seen:
                    seen.add(real)
                    self._skip_broken_links(folder / name for name in files if "." not in name)
                    yield folder, _shown(files)

    def _skip_broken_links(self, paths: Iterable[Path]) -> None:
        """For names without extension, which may be those of folders on a disk that is not there."""
        for path in paths:
            if os.path.islink(path) and not os.path.exists(path):
                self._note(path, _BROKEN)

    def _is_video(self, path: Path) -> bool:
        extension = path.suffix.lower()
        if extension in ARCHIVE_EXTENSIONS:
            return self._is_file(path) and self._holds_frames(path)
        return extension in VIDEO_EXTENSIONS and self._is_file(path)

    def _holds_frames(self, archive: Path) -> bool:
        try:
            with open_pictures(archive) as contents:
                found = may_be_frames(file.name for file in contents.files)
        except (VideoError, OSError):
            return True  # whoever is to decode it says what is wrong
        if not found:
            self._note(archive, "an archive without numbered pictures")
        return found

    def _is_file(self, path: Path) -> bool:
        try:
            is_file = stat.S_ISREG(path.stat().st_mode)
        except OSError as error:
            self._skip(error)
            return False
        if not is_file:
            self._note(path, "neither a file nor a folder")
        return is_file

    def _skip(self, error: OSError) -> None:
        path = Path(os.fsdecode(error.filename))
        broken = error.errno in (errno.ENOENT, errno.ELOOP) and os.path.islink(path)
        self._note(path, _BROKEN if broken else error.strerror or str(error))

    def _note(self, path: Path, reason: str) -> None:
        self.skipped.append(f"{printable(path)} ({reason})")


_BROKEN = "a link to nothing"


def _shown(names: Iterable[str]) -> list[str]:
    """Sorted, without hidden ones."""
    return sorted(name for name in names if not name.startswith("."))


def _name_below(folder: Path, top: Path) -> str:
    """A path relative to `top`, which itself has its own name."""
    return os.path.basename(os.path.abspath(top)) if folder == top else str(folder.relative_to(top))


def _through_link(path: Path, top: Path) -> bool:
    """Whether a folder between the two, or `path` if it is one, is a link."""
    folder = path if os.path.isdir(path) else path.parent
    return Path(os.path.realpath(folder)) != Path(os.path.realpath(top), folder.relative_to(top))


def _matches(name: str, part: str) -> bool:
    """Whether one part of a pattern stands for a name: hidden ones only if it begins with a dot itself."""
    if name.startswith(".") and not part.startswith("."):
        return False
    return fnmatch.fnmatchcase(name, part) or fnmatch.fnmatchcase(_lower_extension(name), _lower_extension(part))


def _lower_extension(name: str) -> str:
    """Cameras write .MP4, in folders it counts as .mp4, and so it does in patterns."""
    stem, dot, extension = name.rpartition(".")
    return stem + dot + extension.lower() if dot else name


def _why_no_input(path: Path) -> str:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            target = printable(os.readlink(path))
            return f"{printable(path)} is a link to {target}, which is not there; mount its disk, or make the link anew"
        return f"{printable(path)} does not exist; check the spelling, and quote names that contain spaces"
    except OSError as error:
        return f"{printable(path)} cannot be looked at: {error.strerror}; expected a file or folder you may read"
    return f"{printable(path)} is neither a file nor a folder; name a video file or a folder that holds some"
