"""The frames of every video, decoded once and kept on disk in the size that training or validation needs."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from lcdc_extract.config import Decoder, PreprocessConfig
from lcdc_extract.errors import TrainingError, VideoError
from lcdc_extract.files import publish, unfinished_path, write_text
from lcdc_extract.network.preprocess import preprocess
from lcdc_extract.train.events import Reporter, VideoDecoded
from lcdc_extract.video import (
    DecoderPool,
    DecodingFailed,
    FrameChunk,
    Reading,
    VideoEnded,
    VideoOpened,
    VideoSource,
    probe,
    stamp_of,
)

TRAINING_SIDE = 246
"""Height and width, in pixels, of a frame that training resizes again and crops."""
VALIDATION_SIDE = 224
"""Of one that the network sees as it is, because extraction sees it so; see `as_extracted`."""


@dataclass(frozen=True)
class VideoFrames:
    """One video as it is kept; `n` frames, every `frame_step`-th of those decoded."""

    rgb: npt.NDArray[np.uint8]
    """(n, side, side, 3), a memory map."""
    seconds: npt.NDArray[np.float64]
    """(n,): presentation times on the clock that players show."""
    decoded: int
    """How many frames the video has."""


@dataclass(frozen=True)
class Card:
    """What stands in `<id>.json`: what the frames in `<id>.npy` were made of, and how."""

    frame_step: int
    decoder: str
    side: int
    size_bytes: int
    modified_ns: int
    """The video file's modification time, in nanoseconds since 1970."""
    decoded: int
    seconds: list[float]


class FrameCache:
    """`<id>.npy` and `<id>.json` for each video below one directory; the second is written last. A video whose file,
    frame step, decoder or side is another one by now, or whose frames are damaged, is decoded again.
    """

    def __init__(self, directory: Path, frame_step: int, decoder: Decoder) -> None:
        self._directory = directory
        self._reading = Reading(frame_step=frame_step, decoder=decoder, on_damage="fail")

    def fill(self, sides: Mapping[VideoSource, int], report: Reporter) -> None:
        """Decodes the videos that are not there yet; those that are finished stay, whatever happens to the others.

        Args:
            sides: the side of each video's frames, `TRAINING_SIDE` or `VALIDATION_SIDE`.

        Raises:
            VideoError: some cannot be decoded; all others are.
            TrainingError: the disk has no room, or fails.
        """
        missing = {video: side for video, side in sides.items() if self._find(video, side) is None}
        if not missing:
            return
        try:
            readable, failures = self._probe(missing)
            failures += self._decode(readable, report)
        except OSError as error:
            raise TrainingError(
                f"writing frames to {self._directory} failed: {error}. Finished videos are kept: make room, or repair "
                "the disk, and give the same command again."
            ) from error
        if failures:
            raise _cannot_decode(failures)

    def open(self, video: VideoSource, side: int) -> VideoFrames:
        """A video that `fill` has seen, in this process or another.

        Raises:
            TrainingError: it is not there.
        """
        frames = self._find(video, side)
        if frames is None:
            raise TrainingError(
                f"the frames of {video.path} are not in {self._directory}. Leave the video as it is while training "
                "runs; processes on several machines need a directory that all of them see."
            )
        return frames

    def _find(self, video: VideoSource, side: int) -> VideoFrames | None:
        with suppress(Exception):  # a damaged file can go wrong in any way, and is made again
            card = Card(**json.loads(self._path(video, ".json").read_text()))
            stamp = stamp_of(video.path)
            made_of = (card.frame_step, card.decoder, card.side, card.size_bytes, card.modified_ns)
            rgb = np.load(self._path(video, ".npy"), mmap_mode="r")
            seconds = np.array(card.seconds, np.float64)
            if (
                made_of == (self._reading.frame_step, self._reading.decoder, side, *stamp)
                and (rgb.dtype, rgb.shape) == (np.uint8, (*seconds.shape, side, side, 3))
                and isinstance(card.decoded, int)
            ):
                return VideoFrames(rgb, seconds, card.decoded)
        return None

    def _path(self, video: VideoSource, suffix: str) -> Path:
        return self._directory / (video.id + suffix)

    def _probe(self, sides: Mapping[VideoSource, int]) -> tuple[dict[VideoSource, int], list[DecodingFailed]]:
        """The videos that open, for whose frames there is room, and the others."""
        self._directory.mkdir(parents=True, exist_ok=True)
        readable: dict[VideoSource, int] = {}
        failures: list[DecodingFailed] = []
        infos = probe(list(sides), self._reading)
        needed = 0
        for video, side in sides.items():
            info = infos[video.id]
            if isinstance(info, DecodingFailed):
                failures.append(info)
            else:
                readable[video] = side
                needed += (info.frames_expected or 0) // self._reading.frame_step * side * side * 3
        free = shutil.disk_usage(self._directory).free
        if needed > free:
            raise TrainingError(
                f"the frames of {len(sides)} videos need {needed / 1e9:.1f} GB in {self._directory}, where "
                f"{free / 1e9:.1f} GB are free. Make room, train in a directory on another disk, or use a larger "
                "`frame_step`."
            )
        return readable, failures

    def _decode(self, sides: Mapping[VideoSource, int], report: Reporter) -> list[DecodingFailed]:
        writers: dict[str, _Writer] = {}
        failures: list[DecodingFailed] = []
        done = 0
        try:
            with DecoderPool(list(sides), self._reading) as pool:
                for event in pool:
                    if isinstance(event, VideoOpened):
                        if event.source.id in writers:  # another decoder begins anew
                            writers.pop(event.source.id).discard()
                        writers[event.source.id] = _Writer(self._path(event.source, ".npy"), sides[event.source])
                    elif isinstance(event, FrameChunk):
                        writers[event.source.id].add(event)
                        event.release()
                    elif isinstance(event, VideoEnded):
                        self._finish(writers.pop(event.source.id), event)
                        done += 1
                        report(VideoDecoded(event.source.id, done, len(sides)))
                    else:
                        failures.append(event)
        finally:
            for writer in writers.values():
                writer.discard()
        return failures

    def _finish(self, writer: _Writer, video: VideoEnded) -> None:
        path = self._path(video.source, ".json")
        path.unlink(missing_ok=True)  # while the frames change, nothing vouches for them
        writer.finish()
        card = Card(
            frame_step=self._reading.frame_step,
            decoder=self._reading.decoder,
            side=writer.side,
            size_bytes=video.counts.size_bytes,
            modified_ns=video.counts.modified_ns,
            decoded=video.counts.frames_decoded,
            seconds=[seconds + video.condition.start_seconds for seconds in writer.seconds],
        )
        write_text(path, json.dumps(dataclasses.asdict(card)))


class _Writer:
    """An .npy file of frames that grows; it has its name once it is complete."""

    def __init__(self, path: Path, side: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.side = side
        self.seconds: list[float] = []
        self._path, self._unfinished = path, unfinished_path(path)
        self._file: BinaryIO = self._unfinished.open("wb")
        self._write_header()

    def add(self, chunk: FrameChunk) -> None:
        """Appends frames, resized."""
        rgb = torch.from_numpy(chunk.rgb)
        kept = as_extracted(rgb) if self.side == VALIDATION_SIDE else resize(rgb, self.side)
        self._file.write(kept.permute(0, 2, 3, 1).contiguous().numpy().data)
        self.seconds += chunk.pts_seconds.tolist()

    def finish(self) -> None:
        """Completes the file."""
        self._file.seek(0)
        self._write_header()
        self._file.close()
        publish(self._unfinished, self._path)

    def discard(self) -> None:
        """Removes what there is."""
        with suppress(OSError):  # closing writes what is left, for which there may be no room
            self._file.close()
        self._unfinished.unlink(missing_ok=True)

    def _write_header(self) -> None:
        """NumPy pads the header so that the number of rows may grow in place."""
        shape = (len(self.seconds), self.side, self.side, 3)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


def as_extracted(rgb: Tensor) -> Tensor:
    """Frames as extraction resizes them, rounded, so that they are off by at most half a grey level.

    Args:
        rgb: (T, H, W, 3) uint8.

    Returns:
        (T, 3, 224, 224) uint8.
    """
    return preprocess(rgb, PreprocessConfig(mean=(0.0, 0.0, 0.0)), torch.float32).round_().to(torch.uint8)


def resize(rgb: Tensor, size: int) -> Tensor:
    """Bilinear with half-pixel centres, without anti-aliasing, ignoring the aspect ratio.

    Args:
        rgb: (T, H, W, 3) uint8.

    Returns:
        (T, 3, size, size) uint8, rounded.
    """
    frames = rgb.permute(0, 3, 1, 2)
    if frames.shape[-2:] == (size, size):
        return frames
    resized = functional.interpolate(frames.float(), (size, size), mode="bilinear", align_corners=False)
    return resized.round_().to(torch.uint8)


def _cannot_decode(failures: Sequence[DecodingFailed]) -> VideoError:
    reasons = "\n".join(f"  {failure.source.path}: {failure.reason}" for failure in failures)
    return VideoError(
        f"{len(failures)} videos cannot be decoded; replace them, or leave them out by `split`. Those that are "
        f"decoded stay.\n{reasons}"
    )
