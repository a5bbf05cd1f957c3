"""How files come to be: written aside, forced onto the disk, renamed. So a file is there completely or not at all.

Everything this package leaves on a disk goes through here; so do locks and digests.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

UNFINISHED = ".unfinished"
"""End of the name of a file that is being written; a killed process may leave one behind."""

_BLOCK_BYTES = 4 << 20
_LOCK_SECONDS = 0.2
"""For a second try where the process before removes the lock's file between our opening and our locking it."""
_NO_DIRECTORY_SYNC = (errno.EINVAL, errno.ENOTSUP)
"""What some network file systems answer when a directory is to be forced onto the disk."""


class InUseError(Exception):
    """Another process holds a lock; whoever asked for it says what that means."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives the block a path beside `path` to write to, which becomes `path` when the block ends well.

    The content is on the disk before the name is. After an error, `path` is as it was and the new file is gone.

    Raises:
        OSError: the disk is full, or fails.
    """
    unfinished = unfinished_path(path)
    try:
        yield unfinished
        publish(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def unfinished_path(path: Path) -> Path:
    """Where `replacing` has `path` written."""
    return path.with_name(path.name + UNFINISHED)


def publish(unfinished: Path, path: Path) -> None:
    """Renames a complete file, or folder, to `path` and waits until both it and its name are on the disk."""
    sync(unfinished)
    os.replace(unfinished, path)
    sync(path.absolute().parent)


def write_text(path: Path, text: str) -> None:
    """Replaces a small UTF-8 file, all or nothing."""
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Waits until a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (path.is_dir() and error.errno in _NO_DIRECTORY_SYNC):
            raise
    finally:
        os.close(descriptor)


class Lock:
    """A lock that is held; made by `acquire`. `release` it, or use it as a context manager."""

    def __init__(self, held: BaseFileLock) -> None:
        self._held = held

    def release(self) -> None:
        """Lets others have it; its file stays."""
        self._held.release()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def acquire(path: Path) -> Lock:
    """Locks `path`, a file of its own that is made for it.

    The lock ends with the process, however that ends.

    Raises:
        InUseError: another process holds it.
        OSError: the file cannot be made.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=_LOCK_SECONDS, poll_interval=_LOCK_SECONDS / 4)
    except Timeout:
        raise InUseError(str(path)) from None
    return Lock(lock)


def sha256_of(*paths: Path, on_block: Callable[[], None] | None = None) -> str:
    """SHA-256 of the content of a file, or of several one after the other, in hexadecimal.

    `on_block` is called after every 4 MiB: large files take their time.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                if on_block is not None:
                    on_block()
    return digest.hexdigest()
