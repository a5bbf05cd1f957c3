"""What tells a video's content from another's: size, time and digest, of a file or of a folder of pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lcdc_extract.files import sha256_of
from lcdc_extract.video.numbering import put_in_order
from lcdc_extract.video.picture_files import open_pictures


class Stamp(NamedTuple):
    """What can be known without reading a video; of a folder, over the pictures that are its frames."""

    size_bytes: int
    """The sum."""
    modified_ns: int
    """The newest modification time, in nanoseconds since 1970."""


def stamp_of(path: Path) -> Stamp:
    """Size and time of a video.

    Raises:
        OSError: it is not there, or cannot be looked at.
        VideoError: it is a folder whose pictures are not, or not any more, the frames of a video.
    """
    statuses = [file.stat() for file in _files(path)]
    return Stamp(sum(status.st_size for status in statuses), max(status.st_mtime_ns for status in statuses))


def digest_of(path: Path, on_block: Callable[[], None] | None = None) -> str:
    """SHA-256 in hexadecimal: of a file's content; of a folder, of what `sha256sum` prints for its frames in order.

    Args:
        on_block: called after every 4 MiB, and every picture.

    Raises:
        OSError, VideoError: see `stamp_of`.
    """
    if not path.is_dir():
        return sha256_of(path, on_block=on_block)
    digest = hashlib.sha256()
    for file in _files(path):
        line = f"{sha256_of(file, on_block=on_block)}  {file.name}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    with open_pictures(path) as contents:
        return [path / picture.file.name for picture in put_in_order(contents.files).pictures]
