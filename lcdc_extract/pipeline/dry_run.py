"""What a run would do, without doing it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from lcdc_extract.config import ExtractConfig, Sampling
from lcdc_extract.errors import VideoError
from lcdc_extract.extractor import Extractor
from lcdc_extract.features import peek
from lcdc_extract.network.rows import row_count
from lcdc_extract.pipeline.prepare import prepare, sampled_frames
from lcdc_extract.pipeline.record import run_record
from lcdc_extract.video import DecodingFailed, Part, VideoInfo, check_rate, probe


@dataclass(frozen=True)
class PlannedVideo:
    """One line of a dry run; counts are what the container announces, None where it does not."""

    id: str
    frames: int | None
    """Frames the network would see."""
    rows: int | None
    remark: str


@dataclass(frozen=True)
class DryRun:
    """What a run would do."""

    videos: tuple[PlannedVideo, ...]
    skipped: tuple[str, ...]
    """What was left out of the inputs, with the reason."""
    device: str
    frames_per_second: float
    """Of the network alone, measured on a random batch; 0 where nothing is left to do."""
    seconds: float
    complete: bool
    """Whether every container announces its frames; otherwise `seconds` is too short."""


def dry_run(config: ExtractConfig) -> DryRun:
    """Checks everything a run would check, reads the videos' headers, and times the network on one batch.

    Raises:
        LcdcError: what the run itself would raise before its first frame.
    """
    prepared = prepare(config)
    todo = prepared.unfinished(peek(config.out, run_record(prepared), overwrite=config.overwrite))
    found = probe(todo, prepared.reading, decoders=config.decoders, timeout_seconds=config.decode_timeout_seconds)
    left = {part.id for video in todo for part in video.wanted}
    planned = [
        _planned(part, found[video.id], prepared.sampling)
        if part.id in left
        else PlannedVideo(part.id, 0, 0, "already finished")
        for video in prepared.videos
        for part in video.wanted
    ]
    refused = [PlannedVideo(video.id, 0, 0, f"will fail: {video.reason}") for video in prepared.refused]
    videos = (*planned, *refused)
    known = [video.frames for video in videos if video.frames is not None]
    speed = _frames_per_second(prepared.extractor()) if todo else 0.0
    seconds = sum(known) / speed if todo else 0.0
    complete = len(known) == len(videos)
    return DryRun(videos, prepared.skipped, str(prepared.device), speed, seconds, complete)


def _planned(part: Part, found: VideoInfo | DecodingFailed, sampling: Sampling) -> PlannedVideo:
    if isinstance(found, DecodingFailed):
        return PlannedVideo(part.id, 0, 0, f"cannot be read: {found.reason}")
    frames = sampled_frames(found, sampling, part)
    try:
        check_rate(sampling.fps, found.nominal_fps)
        rows = None if frames is None else row_count(frames, sampling)
    except VideoError as error:
        return PlannedVideo(part.id, 0, 0, f"will fail: {error}")
    return PlannedVideo(part.id, frames, rows, f"{found.width}x{found.height}, {found.fps:.2f} frames/s")


def _frames_per_second(extractor: Extractor) -> float:
    """Steady speed: the first batch warms up, the second is timed."""
    stream = extractor.feature_stream()
    batch = np.random.default_rng(0).integers(0, 256, (extractor.batch_size, 240, 320, 3), dtype=np.uint8)
    for _ in range(2):
        started = time.monotonic()
        with extractor.running():
            stream.push(extractor.encode(extractor.preprocess(batch)))
            extractor.synchronize()
    return extractor.batch_size / (time.monotonic() - started)
