"""What a run would do, without doing it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcdc_extract.config import SNIPPET_LENGTH, ExtractConfig, Sampling
from lcdc_extract.errors import VideoError
from lcdc_extract.features import check_output, peek
from lcdc_extract.network.feature_stream import FeatureRows, FeatureStream
from lcdc_extract.pipeline.engine import Engine, memory_errors
from lcdc_extract.pipeline.record import run_record
from lcdc_extract.pipeline.run import sampled_frames, unfinished
from lcdc_extract.pipeline.setup import set_up
from lcdc_extract.video import VideoInfo, VideoSource, check_rate, discover, probe


@dataclass(frozen=True)
class PlannedVideo:
    """One line of the plan; counts are what the container announces, None where it does not."""

    id: str
    frames: int | None
    """Frames the network would see."""
    rows: int | None
    remark: str


@dataclass(frozen=True)
class Plan:
    """What a run would do."""

    videos: tuple[PlannedVideo, ...]
    device: str
    frames_per_second: float
    """Of the network alone, measured on a random batch."""
    seconds: float
    complete: bool
    """Whether every container announces its frames; otherwise `seconds` is too short."""


def plan(config: ExtractConfig) -> Plan:
    """Checks everything a run would check, reads the videos' headers, and times the network on one batch.

    Raises:
        LcdcError: what the run itself would raise before its first frame.
    """
    check_output(config.out)
    sources = list(discover(config.inputs).videos)
    setup = set_up(config)
    finished = peek(config.out, run_record(config, setup), overwrite=config.overwrite)
    todo = unfinished(sources, finished, config.out)
    found = probe(todo, decoder=config.decoder, decoders=config.decoders, timeout_seconds=config.decode_timeout_seconds)
    videos = tuple(_planned(source, found.get(source.id), setup.sampling) for source in sources)
    with memory_errors(config):
        engine = Engine[str](config, setup, on_rows=_ignore_rows, on_end=_ignore_end)
        speed = _frames_per_second(engine)
    known = [video.frames for video in videos if video.frames is not None]
    return Plan(videos, str(setup.device), speed, sum(known) / speed, complete=len(known) == len(videos))


def _planned(source: VideoSource, found: Any, sampling: Sampling) -> PlannedVideo:
    if found is None:
        return PlannedVideo(source.id, 0, 0, "already finished")
    if not isinstance(found, VideoInfo):
        return PlannedVideo(source.id, 0, 0, f"cannot be read: {found.reason}")
    try:
        check_rate(sampling.fps, found.fps)
    except VideoError as error:
        return PlannedVideo(source.id, 0, 0, f"will fail: {error}")
    frames = sampled_frames(found, sampling)
    rows = None if frames is None else -(-frames // sampling.stride)
    if frames is not None and sampling.align == "released":
        if frames < SNIPPET_LENGTH:
            return PlannedVideo(source.id, 0, 0, f"will fail: --align released needs {SNIPPET_LENGTH} frames")
        rows = frames // sampling.stride
    return PlannedVideo(source.id, frames, rows, f"{found.width}x{found.height}, {found.fps:.2f} frames/s")


def _frames_per_second(engine: Engine[str]) -> float:
    """Steady speed: the first batch warms up, the second is timed."""
    generator = np.random.default_rng(0)
    batch = generator.integers(0, 256, (engine.batch_size, 240, 320, 3), dtype=np.uint8)
    engine.add("", batch)
    engine.synchronize()
    started = time.monotonic()
    engine.add("", batch)
    engine.synchronize()
    return engine.batch_size / (time.monotonic() - started)


def _ignore_rows(key: str, rows: FeatureRows, frames: int) -> None:
    pass


def _ignore_end(key: str, stream: FeatureStream) -> None:
    pass
