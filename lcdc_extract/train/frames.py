"""The frames of every video, decoded once and kept on disk at the largest size that training crops from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from lcdc_extract.config import Decoder
from lcdc_extract.errors import TrainingError, VideoError
from lcdc_extract.video import (
    DecoderPool,
    DecodingFailed,
    FrameChunk,
    VideoEnded,
    VideoOpened,
    VideoSource,
    probe,
)

SIDE = 246
"""Height and width of a kept frame, in pixels."""
FRAME_BYTES = SIDE * SIDE * 3


@dataclass(frozen=True)
class VideoFrames:
    """One video as it is kept; `n` frames, every `frame_step`-th of those decoded."""

    rgb: npt.NDArray[np.uint8]
    """(n, 246, 246, 3), a memory map."""
    seconds: npt.NDArray[np.float64]
    """(n,): presentation times, from the video's first frame."""
    decoded: int
    """How many frames the video has."""


class FrameCache:
    """`<id>.npy` and `<id>.json` for each video below one directory; the second is written last, and says of which
    file the first was made. A video whose file, frame step or decoder is another one by now is decoded again.
    """

    def __init__(self, directory: Path, frame_step: int, decoder: Decoder) -> None:
        self._directory = directory
        self._made_with: dict[str, Any] = {"frame_step": frame_step, "decoder": decoder, "side": SIDE}

    def fill(self, videos: Sequence[VideoSource], report: Callable[[dict[str, Any]], None]) -> None:
        """Decodes the videos that are not there yet; those that are finished stay, whatever happens to the others.

        Args:
            report: called with {"video": id, "number": how many are done, "of": all to be done}.

        Raises:
            VideoError: some cannot be decoded; all others are.
            TrainingError: the disk has no room, or fails.
        """
        missing = [video for video in videos if self._facts(video) is None]
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

    def open(self, video: VideoSource) -> VideoFrames:
        """A video that `fill` has seen."""
        facts = self._facts(video)
        assert facts is not None, video.id
        rgb = np.load(self._path(video, ".npy"), mmap_mode="r")
        return VideoFrames(rgb, np.array(facts["seconds"]), facts["decoded"])

    def _facts(self, video: VideoSource) -> dict[str, Any] | None:
        """What is known of the kept frames of a video, or None where there are none or they are out of date."""
        with suppress(OSError, ValueError, KeyError, TypeError):  # a damaged card, or one of another version
            facts: dict[str, Any] = json.loads(self._path(video, ".json").read_text())
            status = video.path.stat()
            wanted = self._made_with | {"size_bytes": status.st_size, "modified_ns": status.st_mtime_ns}
            kept = self._path(video, ".npy").stat().st_size >= FRAME_BYTES * len(facts["seconds"])
            if kept and all(facts[name] == value for name, value in wanted.items()):
                return facts
        return None

    def _path(self, video: VideoSource, suffix: str) -> Path:
        return self._directory / (video.id + suffix)

    def _probe(self, videos: Sequence[VideoSource]) -> tuple[list[VideoSource], list[DecodingFailed]]:
        """The videos that open, for whose frames there is room, and the others."""
        self._directory.mkdir(parents=True, exist_ok=True)
        infos = probe(videos, decoder=self._made_with["decoder"])
        failures = [info for info in infos.values() if isinstance(info, DecodingFailed)]
        announced = sum(info.frames_expected or 0 for info in infos.values() if not isinstance(info, DecodingFailed))
        needed, free = announced // self._made_with["frame_step"] * FRAME_BYTES, shutil.disk_usage(self._directory).free
        if needed > free:
            raise TrainingError(
                f"the frames of {len(videos)} videos need {needed / 1e9:.1f} GB in {self._directory}, where "
                f"{free / 1e9:.1f} GB are free. Make room, choose an OUT on another disk, or a larger --frame-step."
            )
        return [video for video in videos if not isinstance(infos[video.id], DecodingFailed)], failures

    def _decode(self, videos: Sequence[VideoSource], report: Callable[[dict[str, Any]], None]) -> list[DecodingFailed]:
        writers: dict[str, _Writer] = {}
        failures: list[DecodingFailed] = []
        done = 0
        options = {name: self._made_with[name] for name in ("frame_step", "decoder")}
        try:
            with DecoderPool(videos, **options) as pool:
                for event in pool:
                    if isinstance(event, VideoOpened):
                        writers[event.source.id] = _Writer(self._path(event.source, ".npy"))
                    elif isinstance(event, FrameChunk):
                        writers[event.source.id].add(event)
                        event.release()
                    elif isinstance(event, VideoEnded):
                        self._finish(writers.pop(event.source.id), event)
                        done += 1
                        report({"video": event.source.id, "number": done, "of": len(videos)})
                    else:
                        failures.append(event)
        finally:
            for writer in writers.values():
                writer.discard()
        return failures

    def _finish(self, writer: _Writer, video: VideoEnded) -> None:
        facts = self._made_with | {
            "size_bytes": video.counts.size_bytes,
            "modified_ns": video.counts.modified_ns,
            "decoded": video.counts.frames_decoded,
            "seconds": writer.seconds,
        }
        path = self._path(video.source, ".json")
        path.unlink(missing_ok=True)  # while the frames change, nothing vouches for them
        writer.finish()
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_text(json.dumps(facts))
        os.replace(unfinished, path)


class _Writer:
    """An .npy file of frames that grows; it has its name once it is complete."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.seconds: list[float] = []
        self._path = path
        self._unfinished = path.with_name(path.name + ".part")
        self._file: BinaryIO = self._unfinished.open("wb")
        self._write_header()

    def add(self, chunk: FrameChunk) -> None:
        """Appends frames, resized."""
        kept = resize(torch.from_numpy(chunk.rgb), SIDE).permute(0, 2, 3, 1).contiguous()
        self._file.write(kept.numpy().data)
        self.seconds += chunk.pts_seconds.tolist()

    def finish(self) -> None:
        """Completes the file."""
        self._file.seek(0)
        self._write_header()
        self._file.close()
        os.replace(self._unfinished, self._path)

    def discard(self) -> None:
        """Removes what there is."""
        with suppress(OSError):  # closing writes what is left, for which there may be no room
            self._file.close()
        self._unfinished.unlink(missing_ok=True)

    def _write_header(self) -> None:
        """NumPy pads the header so that the number of rows may grow in place."""
        shape = (len(self.seconds), SIDE, SIDE, 3)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


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
        f"{len(failures)} videos cannot be decoded; replace them, or leave them out by --split. Those that are "
        f"decoded stay.\n{reasons}"
    )
