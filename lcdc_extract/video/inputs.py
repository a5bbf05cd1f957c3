"""What the user typed, lists read."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from lcdc_extract.errors import VideoError
from lcdc_extract.video.part_list import ListedPart, is_part_list, read_part_list
from lcdc_extract.video.printing import printable


def read_inputs(inputs: Iterable[str], stdin: BinaryIO | None = None) -> Iterator[str | ListedPart]:
    """Each input, or what the list in its place holds: paths, or parts of videos.

    Args:
        inputs: `@list` and `-` are lists, all else is passed on.
        stdin: what `-` reads; standard input when left out.

    Raises:
        VideoError: a list cannot be read.
    """
    for item in inputs:
        if item == "-":
            yield from _listed((stdin or sys.stdin.buffer).read(), "on standard input")
        elif item.startswith("@"):
            name = printable(item[1:])
            try:
                content = Path(item[1:]).read_bytes()
            except OSError as error:
                raise VideoError(f"cannot read the list of videos {name}: {error.strerror}") from error
            yield from _listed(content, name)
        else:
            yield item


def _listed(content: bytes, name: str) -> Iterator[str | ListedPart]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise VideoError(
            f"the list of videos {name} is in UTF-16, or holds zero bytes; expected UTF-8 and one path per line. Save "
            "it as UTF-8 (PowerShell: Out-File -Encoding utf8); let `find` end lines with -print, not -print0"
        )
    text = content.decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    if is_part_list(text):
        yield from read_part_list(text, name)
        return
    for line in map(str.strip, text.split("\n")):
        if line and not line.startswith("#"):
            yield line
