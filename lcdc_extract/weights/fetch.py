"""Getting a registered file over HTTP: resumed, verified, and published by rename. Runs only when asked to."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, build_opener

from lcdc_extract.errors import WeightsError
from lcdc_extract.files import InUseError, acquire, publish, sha256_of
from lcdc_extract.weights.registry import Entry, cache_folder, find_file

BLOCK_BYTES = 1 << 20
TIMEOUT_SECONDS = 60.0
"""Of silence, not of the whole download."""
RESUMED, NOTHING_LEFT, SERVER_IN_TROUBLE = 206, 416, 500
"""Answers of a server: the rest of a file, that there is no rest, and the first of those that may pass."""
PARTIAL, LOCK = ".part", ".lock"
"""Ends of the names of a download that is not complete, which survives whatever ends it, and of its lock."""


def fetch(entry: Entry, on_bytes: Callable[[int], None] = lambda held: None) -> Path:
    """Downloads a file into the user's cache; proxies come from the usual environment variables.

    Args:
        entry: what to get.
        on_bytes: called with the number of bytes held so far.

    Returns:
        The file, whose size and digest are the entry's; where there is one already, nothing is downloaded.

    Raises:
        WeightsError: no address, no answer, a download cut short (a second call resumes it), or another digest.
    """
    found = find_file(entry)
    if found is not None and sha256_of(found) == entry.sha256:
        return found
    if not entry.url:
        raise WeightsError(
            f"{entry.name} has no address to fetch it from: put its file, {entry.file}, in place by hand"
        )
    target = cache_folder() / entry.file
    partial = partial_path(entry)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with acquire(partial.with_suffix(LOCK)):
            _download(entry, partial, on_bytes)
            _check(entry, partial)
            publish(partial, target)
    except InUseError:
        raise WeightsError(f"{entry.name} is being fetched by another process; wait for it") from None
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise WeightsError(
            f"{entry.name} could not be fetched from {entry.url}: {error}. Try again to resume."
        ) from error
    return target


def partial_path(entry: Entry) -> Path:
    """What there is of a download so far; of another file under the same name it would be another."""
    return cache_folder() / f"{entry.file}.{entry.sha256[:12]}{PARTIAL}"


def _download(entry: Entry, path: Path, on_bytes: Callable[[int], None]) -> None:
    """Gets what `path` lacks of the file."""
    with path.open("ab") as partial:
        held = partial.tell()
        if held > entry.size:
            held = _restart(partial)
        if held == entry.size:
            return
        with _open(entry, partial, held) as response:
            if held and not (response.status == RESUMED and _starts_at(response.headers["Content-Range"], held)):
                held = _restart(partial)  # the server sends the whole file again
            while held < entry.size and (block := response.read1(min(BLOCK_BYTES, entry.size - held))):
                partial.write(block)
                held += len(block)
                on_bytes(held)
            if held == entry.size and response.read(1):
                _restart(partial)
                raise WeightsError(f"{entry.url} is longer than the {entry.size:,} bytes the registry expects")


def _open(entry: Entry, partial: BinaryIO, held: int) -> http.client.HTTPResponse:
    """Asks the server for what follows the first `held` bytes."""
    request = Request(entry.url, headers={"Range": f"bytes={held}-"} if held else {})
    try:
        response: http.client.HTTPResponse = build_opener().open(request, timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        if error.code != NOTHING_LEFT:
            later = "Try again later." if error.code >= SERVER_IN_TROUBLE else f"Ask whoever registered {entry.name}."
            raise WeightsError(f"{entry.url} answers {error.code} {error.reason}. {later}") from error
        _restart(partial)
        raise WeightsError(
            f"{entry.url} is shorter than the {held:,} bytes that are here of {entry.size:,}. They were deleted; the "
            "file there is not the one that was registered."
        ) from error
    return response


def _check(entry: Entry, partial: Path) -> None:
    held = partial.stat().st_size
    if held < entry.size:
        raise WeightsError(
            f"{entry.name}: the download stopped after {held:,} of {entry.size:,} bytes. "
            f"Run `lcdc weights fetch {entry.name}` again to resume it."
        )
    found = sha256_of(partial)
    if found != entry.sha256:
        partial.unlink()
        raise WeightsError(
            f"{entry.url} has the SHA-256 {found}, the registry expects {entry.sha256}. The download was deleted; the "
            "file there is not the one that was registered."
        )


def _starts_at(content_range: str | None, held: int) -> bool:
    return (content_range or "").startswith(f"bytes {held}-")


def _restart(partial: BinaryIO) -> int:
    partial.truncate(0)
    partial.seek(0)
    return 0
