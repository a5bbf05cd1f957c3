"""Pictures in a folder or an archive, read where they lie: nothing is unpacked to a disk."""

from __future__ import annotations

import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from lcdc_extract.errors import VideoError
from lcdc_extract.video.printing import printable

PICTURE_EXTENSIONS = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

ARCHIVE_EXTENSIONS = frozenset({".tar", ".zip"})

OTHER_ARCHIVES = frozenset({".7z", ".bz2", ".gz", ".rar", ".tbz2", ".tgz", ".txz", ".xz", ".zst"})
"""Those in which a picture cannot be read without all that comes before it."""

MOST_BYTES = 256 << 20
"""Of one picture's file, which is read into memory as a whole."""

_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, EOFError),
    *(NotImplementedError, OverflowError, ValueError),
)
"""What zipfile and tarfile raise where an archive is not as it should be."""

_ENCRYPTED = 0x1
"""APPNOTE.TXT 4.4.4, bit 0 of the flags of a member."""

_TAR_BLOCK = 512


class BrokenMemberError(Exception):
    """A picture cannot be taken out of its archive; the others can."""


@dataclass(frozen=True)
class PictureFile:
    """A picture in a folder or an archive."""

    name: str
    """Below the folder or archive."""
    read: Callable[[], bytes]
    """Returns its file's content; raises BrokenMemberError where the archive is damaged there, OSError."""


@dataclass(frozen=True)
class Contents:
    """The pictures of an open folder or archive, in no order."""

    files: tuple[PictureFile, ...]
    cut_off: str | None = None
    """What is missing at the end of the archive, in words."""


def holds_pictures(path: Path) -> bool:
    """Whether what is at a path is to be read as pictures, not as a video file.

    Raises:
        VideoError: it is an archive of a kind that is not read.
    """
    extension = path.suffix.lower()
    if extension in OTHER_ARCHIVES and path.is_file():
        raise VideoError(
            f"pictures in a {extension} file cannot be read one by one; unpack it, or pack them anew: "
            "zip -r0 OUT.zip FOLDER"
        )
    return path.is_dir() or extension in ARCHIVE_EXTENSIONS


def is_picture(name: str) -> bool:
    """Whether a name is that of a picture that counts: hidden ones do not, nor what macOS adds to archives."""
    parts = _parts(name)
    hidden = any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in parts)
    return not hidden and PurePosixPath(parts[-1]).suffix.lower() in PICTURE_EXTENSIONS


@contextmanager
def open_pictures(path: Path) -> Iterator[Contents]:
    """The pictures directly in a folder, or anywhere in a .zip or .tar file; the files can be read inside the block.

    Raises:
        VideoError: the archive cannot be read, or holds something that is to do harm.
        OSError: the disk fails, or does not let us.
    """
    if path.is_dir():
        yield Contents(tuple(_in_folder(path)))
        return
    kind = path.suffix.lower().removeprefix(".")
    with ExitStack() as opened:
        try:
            if kind == "zip":
                contents = _in_zip(opened.enter_context(zipfile.ZipFile(path)))
            else:
                contents = _in_tar(opened.enter_context(tarfile.open(path, "r:")))
        except _BROKEN as error:
            why = f"this {kind} file cannot be read ({error}): it is damaged, cut off or of another kind. Copy it again"
            raise VideoError(why) from error
        yield contents


def _in_folder(folder: Path) -> Iterator[PictureFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_picture(entry.name) and entry.is_file():
                _check_size(entry.name, entry.stat().st_size)
                yield PictureFile(entry.name, partial(_read_file, folder / entry.name))


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES)


def _in_zip(archive: zipfile.ZipFile) -> Contents:
    members = [member for member in archive.infolist() if not member.is_dir() and is_picture(member.filename)]
    for member in members:
        name = member.filename
        _check_place(name)
        _check_size(name, member.file_size)
        if member.flag_bits & _ENCRYPTED:
            raise VideoError(f"{printable(name)} in the archive is encrypted; unpack it with its password")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise VideoError(
                f"{printable(name)} in the archive is packed by method {member.compress_type}; expected 0 or 8 (stored "
                "or deflated). Unpack it, or pack it anew: zip -r0 OUT.zip FOLDER"
            )
    return Contents(tuple(PictureFile(member.filename, partial(_read_zip, archive, member)) for member in members))


def _read_zip(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Inflates no more than the size that was announced, and checked."""
    try:
        with archive.open(member) as file:
            content = file.read(member.file_size)
    except (*_BROKEN, RuntimeError) as error:
        raise BrokenMemberError(str(error)) from error
    if len(content) < member.file_size:
        raise BrokenMemberError(f"{len(content)} of {member.file_size} bytes are there")
    return content


def _in_tar(archive: tarfile.TarFile) -> Contents:
    files, cut_off = [], None
    try:
        for member in archive:
            name = member.name
            if member.size < 0:
                raise VideoError(f"{printable(name)} in the archive has a size below 0; pack the pictures anew")
            if not is_picture(name) or member.isdir():
                continue
            _check_place(name)
            _check_size(name, member.size)
            if not member.isreg():
                raise VideoError(
                    f"{printable(name)} in the archive is a link or a device; expected a file. Pack the pictures "
                    "anew: tar --dereference --hard-dereference -cf OUT.tar FOLDER"
                )
            files.append(PictureFile(name, partial(_read_tar, archive, member)))
    except tarfile.TarError as error:
        if not files:
            raise
        cut_off = f"the archive breaks off after {printable(files[-1].name)} ({error})"
    return Contents(tuple(files), cut_off or _end_of_tar(archive, files))


def _end_of_tar(archive: tarfile.TarFile, files: list[PictureFile]) -> str | None:
    """tarfile takes the first header that it cannot read for the end, which is a block of zeros."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    block = archive.fileobj.read(_TAR_BLOCK)
    if files and (len(block) < _TAR_BLOCK or any(block)):
        return f"the archive breaks off after {printable(files[-1].name)}"
    return None


def _read_tar(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    try:
        file = archive.extractfile(member)
        assert file is not None, "it is a file"
        content = file.read()
    except _BROKEN as error:
        raise BrokenMemberError(str(error)) from error
    if len(content) < member.size:
        raise BrokenMemberError(f"{len(content)} of {member.size} bytes are there")
    return content


def _check_place(name: str) -> None:
    parts = _parts(name)
    if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
        raise VideoError(
            f"the archive holds {printable(name)}, a path that leads out of it; pack the pictures anew, with paths "
            "below their folder"
        )


def _check_size(name: str, size_bytes: int) -> None:
    if size_bytes > MOST_BYTES:
        raise VideoError(
            f"{printable(name)} has {size_bytes} bytes; expected at most {MOST_BYTES} of a picture. Make it smaller: "
            "ffmpeg -i IN OUT.png"
        )


def _parts(name: str) -> list[str]:
    """Of a path in an archive; Windows programs write backslashes."""
    return name.replace("\\", "/").split("/")
