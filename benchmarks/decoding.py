"""Videos as the ffmpeg program decodes them, and as the pool does."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from lcdc_extract.config import Decoder
from lcdc_extract.video import (
    Condition,
    DecoderPool,
    DecodingFailed,
    FrameChunk,
    Reading,
    VideoEnded,
    VideoInfo,
    VideoOpened,
    VideoSource,
)

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""

_EVERY_FRAME = ("-an", "-sn", "-dn", "-fps_mode", "passthrough", "-enc_time_base", "filter", "-pix_fmt", "rgb24", "-f")
"""As RGB, at the time the file says."""


class Truth(NamedTuple):
    """What a decoder should find."""

    pictures: list[Picture]
    seconds: npt.NDArray[np.float64]
    """Presentation times since the first picture."""
    complaints: str = ""
    """What the ffmpeg program wrote."""


@dataclass
class Outcome:
    """What the pool found."""

    refused: str = ""
    info: VideoInfo | None = None
    pictures: list[Picture] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """Presentation times since the first picture."""
    damaged: list[bool] = field(default_factory=list)
    condition: Condition = field(default_factory=Condition)

    @property
    def told(self) -> bool:
        """Whether the user hears that something is wrong with the file."""
        return bool(self.refused) or any(self.damaged) or self.condition.incomplete


def versions() -> dict[str, str]:
    """Of the ffmpeg program and both decoders."""
    return {
        "ffmpeg": imageio_ffmpeg.get_ffmpeg_version(),
        "av": version("av"),
        "decord": version("decord"),
    }


def ffmpeg(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Runs the ffmpeg program in a folder; it writes errors only."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False)


def by_ffmpeg(path: Path) -> Truth:
    """Every picture of a video of one size, and its time, as the ffmpeg program gives them."""
    with TemporaryDirectory() as folder:
        times, raw = Path(folder, "times"), Path(folder, "raw")
        source = ("-copyts", "-i", str(path.absolute()))
        run = ffmpeg(
            [*source, *_EVERY_FRAME, "rawvideo", str(raw), *_EVERY_FRAME, "framecrc", str(times)], Path(folder)
        )
        header, rows = _framecrc(times.read_text() if times.exists() else "")
        complaints = run.stderr.decode("utf-8", "replace")
        if not rows:
            return Truth([], np.empty(0), complaints or "no picture")
        width, height = (int(side) for side in header["dimensions"].split("x"))
        pictures = np.fromfile(raw, np.uint8).reshape(-1, height, width, 3)
    numerator, denominator = (int(part) for part in header["tb"].split("/"))
    seconds = np.array([int(row.split(",")[2]) for row in rows]) * (numerator / denominator)
    return Truth(list(pictures), seconds - seconds[0], complaints)


def by_pool(paths: Mapping[str, Path], decoder: Decoder) -> Iterator[tuple[str, Outcome]]:
    """What becomes of each video, by name, in the order in which they end."""
    outcomes: dict[str, Outcome] = {}
    sources = [VideoSource(name, path) for name, path in paths.items()]
    with DecoderPool(sources, Reading(decoder=decoder)) as pool:
        for event in pool:
            name = event.source.id
            if isinstance(event, VideoOpened):
                outcomes[name] = Outcome(info=event.info)
            elif isinstance(event, FrameChunk):
                outcomes[name].pictures += list(event.rgb.copy())
                outcomes[name].seconds += event.pts_seconds.tolist()
                outcomes[name].damaged += event.damaged.tolist()
                event.release()
            elif isinstance(event, VideoEnded):
                outcomes[name].condition = event.condition
                yield name, outcomes.pop(name)
            elif isinstance(event, DecodingFailed):
                yield name, Outcome(refused=event.reason)


def difference(found: Picture, right: Picture) -> float:
    """Mean distance of two pictures' values, 0 to 255; infinite where the sizes differ."""
    if found.shape != right.shape:
        return float("inf")
    return float(np.abs(found.astype(np.int16) - right).mean())


def without_addresses(text: str) -> str:
    """ffmpeg's lines name places in memory, which differ from run to run."""
    return re.sub(r" @ 0x[0-9a-f]+", "", text)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _framecrc(text: str) -> tuple[dict[str, str], list[str]]:
    """The values in the header, by name, and the rows: stream, dts, pts, duration, bytes, checksum."""
    lines = text.splitlines()
    header = {line[1:].split(" 0: ")[0]: line.split(" 0: ")[1] for line in lines if " 0: " in line and line[0] == "#"}
    return header, [line for line in lines if not line.startswith("#")]
