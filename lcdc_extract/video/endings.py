"""Whether a file ends where its container says it does. ffmpeg only notices for some formats."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lcdc_extract.video.transport_stream import PACKET_BYTES

_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_HEAD_BYTES = 1 << 16
_BOX_HEADER, _LARGE_BOX_HEADER = 8, 16


def missing_end(path: Path, container: str, frame_bytes: int) -> str | None:
    """What the container says of its end that the file does not keep, in words; None where nothing is known to miss.

    Args:
        path: the file.
        container: ffmpeg's name of its format.
        frame_bytes: size of the first frame's packet.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if container in _EQUAL_FRAMES and frame_bytes:
            header_bytes, frame_header_bytes = _EQUAL_FRAMES[container](file)
            rest = (size - header_bytes) % (frame_header_bytes + frame_bytes)
            return f"the last frame of {frame_header_bytes + frame_bytes} bytes has only {rest}" if rest else None
        check = _CHECKS.get(container)
        return check(file, size) if check else None


def _boxes(file: BinaryIO, size: int) -> str | None:
    """ISO/IEC 14496-12, 4.2: a box is its size, its type and its content; a size of 0 is "to the end"."""
    place = 0
    while place + _BOX_HEADER <= size:
        file.seek(place)
        header = file.read(_LARGE_BOX_HEADER)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length == 0 or not header[4:8].isalnum():
            return None
        if length < _BOX_HEADER:
            return None
        place += length
    if place > size:
        return _shorter(size, place)
    file.seek(place)
    rest = file.read(_BOX_HEADER)  # zeros are padding
    return f"the last box has only {len(rest)} bytes of its header" if any(rest) else None


def _riff(file: BinaryIO, size: int) -> str | None:
    """A RIFF file is "RIFF", the size of the rest, and the rest; larger AVI files are several of them."""
    header = file.read(8)
    announced = int.from_bytes(header[4:8], "little") + 8
    return _shorter(size, announced) if size < announced - 1 else None  # some leave out the last padding byte


def _asf(file: BinaryIO, size: int) -> str | None:
    """The file properties object: its name, its size, the file's name, the file's size."""
    head = file.read(_HEAD_BYTES)
    place = head.find(_ASF_FILE_PROPERTIES)
    announced = int.from_bytes(head[place + 40 : place + 48], "little") if place >= 0 else 0
    return _shorter(size, announced) if size < announced else None


def _transport_stream(file: BinaryIO, size: int) -> str | None:
    """Packets of one size, of which the last is whole."""
    head = file.read(_HEAD_BYTES)
    for length in PACKET_BYTES:
        syncs = [head[place] == 0x47 for place in range(length - 188 if length == 192 else 0, len(head), length)]
        if len(syncs) > 4 and all(syncs):
            rest = size % length
            return f"the last packet of {length} bytes has only {rest}" if rest else None
    return None


def _gif(file: BinaryIO, size: int) -> str | None:
    file.seek(max(0, size - 64))
    return None if b";" in file.read().rstrip(b"\0")[-1:] else "the trailer byte is missing"


def _ogg(file: BinaryIO, size: int) -> str | None:
    """The last page of a stream says that it is the last."""
    file.seek(max(0, size - _HEAD_BYTES))
    tail = file.read()
    page = tail.rfind(b"OggS")
    ended = page >= 0 and len(tail) > page + 5 and tail[page + 5] & 4
    return None if ended else "the page that ends the stream is missing"


def _raw_frames(file: BinaryIO) -> tuple[int, int]:
    """DV is nothing but frames."""
    return 0, 0


def _y4m(file: BinaryIO) -> tuple[int, int]:
    """A line of text, and one before each frame, all alike."""
    return len(file.readline(_HEAD_BYTES)), len(file.readline(_HEAD_BYTES))


def _shorter(size: int, announced: int) -> str:
    return f"the file has {size} bytes, its header announces {announced}"


_EQUAL_FRAMES: dict[str, Callable[[BinaryIO], tuple[int, int]]] = {"dv": _raw_frames, "yuv4mpegpipe": _y4m}
"""Formats whose frames all have one size; bytes of the file's header, and of each frame's."""

_CHECKS: dict[str, Callable[[BinaryIO, int], str | None]] = {
    "mov,mp4,m4a,3gp,3g2,mj2": _boxes,
    "avi": _riff,
    "asf": _asf,
    "mpegts": _transport_stream,
    "gif": _gif,
    "ogg": _ogg,
}
