"""Renders small test clips with PyAV: a moving pattern whose top rows spell each frame's number in black and white.

The pictures are deterministic, and `read_number` gets a frame's number back from a decoded picture, so that a test can
tell a wrong frame from a slightly different one.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

BLOCK = 8
"""Pixels along one side of a block that carries one bit of the frame number."""

BITS = 12
_BITS_PER_ROW = 6


def draw_frame(number: int, width: int = 64, height: int = 48) -> Picture:
    """The picture of frame `number`: uint8 (height, width, 3); at least 48 by 32 pixels, or it carries no number."""
    y, x = np.mgrid[0:height, 0:width]
    red = (3 * x + 5 * number) % 256
    green = (4 * y + 7 * number) % 256
    blue = (2 * x + 2 * y + 3 * number) % 256
    picture = np.stack([red, green, blue], axis=-1).astype(np.uint8)
    if width >= BLOCK * _BITS_PER_ROW and height >= 4 * BLOCK:
        for bit in range(BITS):
            row, column = divmod(bit, _BITS_PER_ROW)
            block = (slice(row * BLOCK, (row + 1) * BLOCK), slice(column * BLOCK, (column + 1) * BLOCK))
            picture[block] = 235 if number >> bit & 1 else 20
    return picture


def read_number(picture: Picture) -> int:
    """The number `draw_frame` wrote, from a decoded picture (any rotation undone)."""
    number = 0
    for bit in range(BITS):
        row, column = divmod(bit, _BITS_PER_ROW)
        y, x = row * BLOCK, column * BLOCK
        inner = picture[y + 2 : y + BLOCK - 2, x + 2 : x + BLOCK - 2]
        number |= int(inner.mean() > 127) << bit
    return number


def render_clip(
    path: Path,
    *,
    num_frames: int = 30,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    rate: int | Fraction = 25,
    ticks: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    pix_fmt: str = "yuv420p",
    b_frames: int = 2,
    gop: int = 12,
    rotation: int = 0,
    audio: bool = False,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Writes a clip and returns its path; the suffix chooses the container.

    Args:
        path: where to write; folders are made.
        num_frames: frames 0 .. num_frames - 1 of `draw_frame`.
        codec: name of the ffmpeg encoder.
        size: (width, height) in pixels.
        rate: frames per second, for constant frame rate.
        ticks: presentation times in units of `time_base`, for variable frame rate or a late start; one per frame.
        time_base: seconds per tick; 1 / rate when left out.
        pix_fmt: pixel format of the stream.
        b_frames: B frames between two reference frames, for encoders that have them.
        gop: frames from one key frame to the next.
        rotation: 0, 90, 180 or 270; clockwise turn a player must apply. MP4 and MOV only.
        audio: adds a silent AAC stream.
        options: further encoder options.
        container_options: muxer options.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    base = time_base or 1 / Fraction(rate)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options=_encoder_options(codec, options))
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.gop_size = gop
        stream.codec_context.thread_count = 1
        if codec in ("libx264", "libx265", "mpeg4", "mpeg2video"):
            stream.codec_context.max_b_frames = b_frames
        stream.time_base = stream.codec_context.time_base = base
        if audio:
            _add_silence(container, num_frames / Fraction(rate))
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(draw_frame(number, *size), format="rgb24").reformat(format=pix_fmt)
            frame.pts = ticks[number] if ticks is not None else number
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if rotation:
        set_rotation(path, rotation)
    return path


def render_audio(path: Path, seconds: int = 1) -> Path:
    """An audio file without a video stream."""
    with av.open(str(path), "w") as container:
        _add_silence(container, Fraction(seconds))
    return path


def set_rotation(path: Path, rotation: int) -> None:
    """Writes a clockwise rotation into the display matrix of the first track header of an MP4 file."""
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[rotation]
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 4
    version = data[header]
    matrix = header + (52 if version == 1 else 40)  # after version, flags, times, id, duration, layer and volume
    values = (cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(data)


def _encoder_options(codec: str, options: dict[str, str] | None) -> dict[str, str]:
    """One thread everywhere, so that the same clip comes out on every machine."""
    base = {
        "libx264": {"x264-params": "threads=1"},
        "libx265": {"x265-params": "pools=none:frame-threads=1:log-level=none"},
    }
    return {"threads": "1", **base.get(codec, {}), **(options or {})}


def _add_silence(container: av.container.OutputContainer, seconds: Fraction) -> None:
    stream = container.add_stream("aac", rate=16000, layout="mono")
    for start in range(0, int(seconds * 16000), 1024):
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.planes[0].update(bytes(4 * 1024))
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
