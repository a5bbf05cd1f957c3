"""Getting a registered file over HTTP: resumed, verified, and published by rename. Runs only when asked to."""

from __future__ import annotations

import fcntl
import http.client
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import Request, build_opener

from lcdc_extract.errors import WeightsError
from lcdc_extract.files import sha256_of
from lcdc_extract.weights.registry import Entry, cache_folder

BLOCK = 1 << 20
TIMEOUT_SECONDS = 60.0
"""Of silence, not of the whole download."""
RESUMED, NOTHING_LEFT = 206, 416

Report = Callable[[int], None]


def fetch(entry: Entry, report: Report = lambda held: None) -> Path:
    """Downloads a file into the user's cache; proxies come from the usual environment variables.

    Args:
        entry: what to get.
        report: called with the number of bytes held so far.

    Returns:
        The file, whose size and digest are the entry's.

    Raises:
        WeightsError: no address, no answer, a download cut short (a second call resumes it), or another digest.
    """
    if not entry.url:
        raise WeightsError(f"{entry.name} has no address to fetch it from; its file comes with the registry")
    folder = cache_folder()
    target, unfinished = folder / entry.file, folder / (entry.file + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished.open("ab") as part:
            _lock(part, unfinished)
            _download(entry, part, report)
            _check(entry, part, unfinished)
            os.replace(unfinished, target)
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise WeightsError(
            f"{entry.name} could not be fetched from {entry.url}: {error}. Try again to resume."
        ) from error
    return target


def _lock(part: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WeightsError(f"{path} is being fetched by another process; wait for it") from None


def _download(entry: Entry, part: IO[bytes], report: Report) -> None:
    held = part.tell()
    if held > entry.size:
        held = _restart(part)
    if held == entry.size:
        return
    request = Request(entry.url, headers={"Range": f"bytes={held}-"} if held else {})
    try:
        response = build_opener().open(request, timeout=TIMEOUT_SECONDS)  # with the proxies of the environment
    except HTTPError as error:
        if error.code == NOTHING_LEFT and held:  # the file there is shorter than what is held here
            _restart(part)
        raise
    with response:
        if held and not (response.status == RESUMED and _starts_at(response.headers["Content-Range"], held)):
            held = _restart(part)  # the server sends the whole file again
        while held < entry.size and (block := response.read(min(BLOCK, entry.size - held))):
            part.write(block)
            held += len(block)
            report(held)
        part.flush()
        if held == entry.size and response.read(1):
            _restart(part)
            raise WeightsError(f"{entry.url} is longer than the {entry.size:,} bytes the registry expects")


def _check(entry: Entry, part: IO[bytes], path: Path) -> None:
    part.flush()
    held = part.tell()
    if held < entry.size:
        raise WeightsError(
            f"{entry.name}: the download stopped after {held:,} of {entry.size:,} bytes. "
            f"Run `lcdc weights fetch {entry.name}` again to resume it."
        )
    found = sha256_of(path)
    if found != entry.sha256:
        path.unlink()
        raise WeightsError(
            f"{entry.url} has the SHA-256 {found}, the registry expects {entry.sha256}. The download was deleted; the "
            "file there is not the one that was registered."
        )


def _starts_at(content_range: str | None, held: int) -> bool:
    return (content_range or "").startswith(f"bytes {held}-")


def _restart(part: IO[bytes]) -> int:
    part.truncate(0)
    part.seek(0)
    return 0
