"""The main job: videos in, one feature file out. Decoding, network and writing overlap."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lcdc_extract import ops
from lcdc_extract.config import ExtractConfig, Sampling
from lcdc_extract.errors import OutputError, VideoError
from lcdc_extract.features import Failure, FeatureStore, check_ids, check_output
from lcdc_extract.features.part import PartWriter
from lcdc_extract.files import sha256_of
from lcdc_extract.network.feature_stream import FeatureRows, FeatureStream, Padding
from lcdc_extract.pipeline.engine import Engine, memory_errors
from lcdc_extract.pipeline.events import (
    Progress,
    Reporter,
    RunStarted,
    RunSummary,
    VideoFailed,
    VideoFinished,
    VideoStarted,
    silent,
)
from lcdc_extract.pipeline.record import made_by, notes, run_record, video_attributes
from lcdc_extract.pipeline.setup import Setup, set_up
from lcdc_extract.pipeline.writer import BackgroundWriter
from lcdc_extract.video import (
    DecoderPool,
    DecodingFailed,
    FrameChunk,
    VideoEnded,
    VideoInfo,
    VideoOpened,
    VideoSource,
    discover,
)


def extract(config: ExtractConfig, report: Reporter = silent) -> RunSummary:
    """Writes the features of every video to `config.out`.

    A video that cannot be read is listed in the summary and in the file; the others go on. Videos that the output
    already holds, from an earlier run of the same settings, are skipped.

    Args:
        report: called with each event of `pipeline.events` as it happens.

    Returns:
        What was done. `summary.ok` is false when a video failed.

    Raises:
        LcdcError: nothing could be started, or the output cannot be written; finished videos are kept.
        KeyboardInterrupt: stopped from outside; finished videos are kept.
    """
    started = time.monotonic()
    check_output(config.out)
    sources = list(discover(config.inputs).videos)
    check_ids(source.id for source in sources)
    setup = set_up(config)
    record = run_record(config, setup)
    with disk_errors(config), FeatureStore(config.out, record, overwrite=config.overwrite) as store:
        todo = unfinished(sources, store.finished(), config.out)
        waiting = {source.id for source in todo}
        skipped = tuple(source.id for source in sources if source.id not in waiting)
        report(_started(config, setup, len(todo), len(skipped)))
        with memory_errors(config):
            run = _Run(config, setup, store, report)
            run.work(todo)
        held = store.publish(run.failures) if todo or store.has_parts() else len(store.finished())
    seconds = time.monotonic() - started
    summary = RunSummary(config.out, tuple(run.finished), skipped, tuple(run.failures), held, run.frames, seconds)
    report(summary)
    return summary


@contextmanager
def disk_errors(config: ExtractConfig) -> Iterator[None]:
    """A full or failing disk becomes an error that says what is kept.

    Raises:
        OutputError: instead of the system's own.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read our events is gone; no disk is to blame
    except OSError as error:
        raise OutputError(
            f"writing {config.out} failed: {error}. Finished videos are kept: make room, or repair the disk, and give "
            "the same command again."
        ) from error


def unfinished(sources: list[VideoSource], finished: dict[str, dict[str, Any]], out: Path) -> list[VideoSource]:
    """The videos the output does not hold yet; `finished` is id -> attributes.

    Raises:
        OutputError: the output holds another video, or an older version, under the same id, or ids clash.
    """
    check_ids([*finished, *(source.id for source in sources)])
    todo = []
    for source in sources:
        held = finished.get(source.id)
        if held is None:
            todo.append(source)
        elif not _same_content(source, held):
            raise OutputError(
                f"{out} already holds {source.id!r}, from {held['source']}, other content than {source.path}. "
                "Choose another --out, or --overwrite to start anew."
            )
    return todo


def sampled_frames(info: VideoInfo, sampling: Sampling) -> int | None:
    """How many frames the network will see, if the container tells the truth; None where it says nothing."""
    if info.frames_expected is None:
        return None
    if sampling.fps is None:
        return -(-info.frames_expected // sampling.frame_step)
    return round(info.frames_expected / info.fps * sampling.fps) if info.fps else None


@dataclass
class _Video:
    """What is known of one video while it goes through."""

    source: VideoSource
    info: VideoInfo
    part: PartWriter
    index: array[int] = field(default_factory=lambda: array("q"))  # decoded index of each sampled frame
    seconds: array[float] = field(default_factory=lambda: array("d"))
    ended: VideoEnded | None = None
    finite: bool = True  # whether all its features are numbers

    def rows(self, rows: FeatureRows) -> dict[str, npt.NDArray[Any]]:
        """Everything of these rows but the features."""
        return {
            "frame_index": np.array([self.index[frame] for frame in rows.frames], dtype=np.int64),
            "time_seconds": np.array([self.seconds[frame] for frame in rows.frames], dtype=np.float64),
            "edge": np.array(rows.edges, dtype=np.bool_),
        }


class _Run:
    """One run: the callbacks that connect decoders, engine and files; `_in_thread` ones run in the writer's thread."""

    def __init__(self, config: ExtractConfig, setup: Setup, store: FeatureStore, report: Reporter) -> None:
        self.config, self.sampling, self.store, self.report = config, setup.sampling, store, report
        self.finished: list[VideoFinished] = []
        self.failures: list[Failure] = []
        self.frames = 0
        self._made_by = made_by(config, setup.device)
        self._engine = Engine[str](config, setup, on_rows=self._on_rows, on_end=self._on_end)
        self._writer = BackgroundWriter()
        self._videos: dict[str, _Video] = {}
        self._written: SimpleQueue[VideoFinished | Failure] = SimpleQueue()  # from the writer's thread to ours

    def work(self, todo: list[VideoSource]) -> None:
        """Takes every video of `todo` to a finished part or a failure."""
        config = self.config
        pool = DecoderPool(
            todo,
            frame_step=self.sampling.frame_step,
            fps=self.sampling.fps,
            decoder=config.decoder,
            decoders=config.decoders,
            timeout_seconds=config.decode_timeout_seconds,
        )
        try:
            with self._writer, pool:
                for event in pool:
                    self._take(event)
                    self._report_written()
                self._engine.flush()
                self._writer.drain()
                self._report_written()
        finally:
            for video in self._videos.values():
                video.part.discard()

    def _take(self, event: VideoOpened | FrameChunk | VideoEnded | DecodingFailed) -> None:
        source = event.source
        if isinstance(event, VideoOpened):
            self._videos[source.id] = _Video(source, event.info, self.store.writer(source.id))
            self.report(VideoStarted(source.id, sampled_frames(event.info, self.sampling)))
        elif isinstance(event, FrameChunk):
            video = self._videos[source.id]
            video.index.extend(event.index.tolist())
            video.seconds.extend(event.pts_seconds.tolist())
            self._engine.add(source.id, event.rgb)
            event.release()
        elif isinstance(event, VideoEnded):
            self._videos[source.id].ended = event
            self._engine.end(source.id)
        else:
            self._engine.drop(source.id)
            self._fail(source, event.reason)

    def _on_rows(self, video_id: str, rows: FeatureRows, frames: int) -> None:
        self.frames += frames
        self.report(Progress(video_id, frames))
        self._write(self._videos[video_id], rows)

    def _on_end(self, video_id: str, stream: FeatureStream) -> None:
        video = self._videos[video_id]
        try:
            rows, padding = stream.finish()
        except VideoError as error:
            self._fail(video.source, str(error))
            return
        self._write(video, rows)
        self._writer.submit(partial(self._in_thread_finish, self._videos.pop(video_id), padding))

    def _write(self, video: _Video, rows: FeatureRows) -> None:
        if len(rows):
            self._writer.submit(partial(_in_thread_write, video, rows.features, video.rows(rows)))

    def _fail(self, source: VideoSource, reason: str) -> None:
        video = self._videos.pop(source.id, None)
        if video is not None:
            self._writer.submit(video.part.discard)  # behind the rows that are still to be written
        self.failures.append(Failure(source.id, str(source.path), reason))
        self.report(VideoFailed(source.id, reason))

    def _in_thread_finish(self, video: _Video, padding: Padding) -> None:
        ended = video.ended
        assert ended is not None
        if not video.finite:
            video.part.discard()
            hint = "Try --precision bfloat16 or float32." if self.config.precision == "float16" else "Are they damaged?"
            reason = f"the network gave features that are not numbers, with these weights in {self.config.precision}. "
            self._written.put(Failure(video.source.id, str(video.source.path), reason + hint))
            return
        attributes = video_attributes(ended, padding) | self._made_by
        rows = video.part.finish(attributes, padding.rows_in_front, padding.rows_behind)
        remarks = notes(ended, padding)
        self._written.put(VideoFinished(video.source.id, rows, ended.counts.frames_sampled, remarks))

    def _report_written(self) -> None:
        while not self._written.empty():
            done = self._written.get()
            if isinstance(done, Failure):
                self.failures.append(done)
                self.report(VideoFailed(done.id, done.reason))
            else:
                self.finished.append(done)
                self.report(done)


def _in_thread_write(video: _Video, features: Tensor, rows: dict[str, npt.NDArray[Any]]) -> None:
    numbers = features.float().cpu().numpy()  # waits for the GPU here, not in the thread that feeds it
    video.finite = video.finite and bool(np.isfinite(numbers).all())
    video.part.append(rows | {"features": numbers})


def _started(config: ExtractConfig, setup: Setup, videos: int, skipped: int) -> RunStarted:
    return RunStarted(
        videos=videos,
        already_finished=skipped,
        weights=setup.weights.name,
        trained=setup.weights.info.trained,
        device=str(setup.device),
        precision=config.precision,
        operator=ops.implementation(setup.device.type),
        frame_step=setup.sampling.frame_step,
        fps=setup.sampling.fps,
        stride=setup.sampling.stride,
    )


def _same_content(source: VideoSource, held: dict[str, Any]) -> bool:
    try:
        status = source.path.stat()
        if status.st_size != held["source_size_bytes"]:
            return False
        unchanged: bool = status.st_mtime_ns == held["source_modified_ns"]
        return unchanged or sha256_of(source.path) == held["source_sha256"]
    except OSError as error:
        raise VideoError(f"{source.path} cannot be read to compare it with the output: {error.strerror}") from error
