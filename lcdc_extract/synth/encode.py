"""H.264 files. Imports PyAV, and only when a video is written."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from lcdc_extract.errors import OutputError

OPTIONS = {"preset": "medium", "crf": "16", "threads": "1"}
"""x264's own; one thread, so that the same frames give the same file everywhere."""


def load_av() -> Any:
    """PyAV, if it can write H.264.

    Raises:
        OutputError: it is not installed, or built without x264.
    """
    try:
        import av
    except ImportError as error:
        raise OutputError("PyAV is not installed, and writing videos needs it; run `pip install av`") from error
    if "libx264" not in av.codecs_available:
        raise OutputError(f"PyAV {av.__version__} was built without libx264; `pip install --force-reinstall av`")
    return av


def encode_mp4(path: Path, chunks: Iterable[Tensor], pixels: int, frames_per_second: float) -> None:
    """Writes frames as an MP4 file, whatever its suffix.

    Args:
        path: the file.
        chunks: frames in order, each (n, 3, pixels, pixels) uint8 RGB.
        pixels: even.
        frames_per_second: constant.

    Raises:
        OutputError: see `load_av`.
        OSError: the file cannot be written.
    """
    av = load_av()
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(frames_per_second), options=OPTIONS)
        stream.width, stream.height, stream.pix_fmt = pixels, pixels, "yuv420p"
        for chunk in chunks:
            for picture in chunk.permute(0, 2, 3, 1).contiguous().cpu().numpy():
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
