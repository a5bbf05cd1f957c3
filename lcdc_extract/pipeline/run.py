"""The main job: videos in, one feature file out. Decoding, network and writing overlap."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcdc_extract.config import ExtractConfig, Sampling
from lcdc_extract.errors import DeviceError, OutputError, VideoError
from lcdc_extract.features import Failure, FeatureStore, check_ids, check_output
from lcdc_extract.features.part import PartWriter
from lcdc_extract.network.feature_stream import FeatureRows, FeatureStream, Padding
from lcdc_extract.pipeline.engine import Engine, choose_device
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
from lcdc_extract.pipeline.record import notes, run_record, video_attributes
from lcdc_extract.pipeline.writer import BackgroundWriter
from lcdc_extract.video import DecoderPool, FrameChunk, VideoEnded, VideoInfo, VideoOpened, VideoSource, discover
from lcdc_extract.video import VideoFailed as DecodingFailed
from lcdc_extract.weights.file import sha256_of
from lcdc_extract.weights.resolve import resolve_weights


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
    if not config.overwrite:
        check_output(config.out)
    sources = discover(config.inputs)
    check_ids(source.id for source in sources)
    choose_device(config.device)
    weights = resolve_weights(config.weights)
    sampling = config.sampling(weights.info.sampling)
    run = _Run(config, report)
    engine = Engine[str](weights, config, sampling, on_rows=run.on_rows, on_end=run.on_end)
    record = run_record(config, weights, sampling, engine)
    with _disk_errors(config), FeatureStore(config.out, record, overwrite=config.overwrite) as store:
        todo = unfinished(sources, store)
        skipped = tuple(source.id for source in sources if source not in todo)
        report(
            RunStarted(
                videos=len(todo),
                already_finished=len(skipped),
                weights=weights.name,
                trained=weights.info.trained,
                device=str(engine.device),
                precision=config.precision,
                operator=str(record.attributes["operator"]),
                frame_step=sampling.frame_step,
                fps=sampling.fps,
                stride=sampling.stride,
            )
        )
        run.work(engine, store, todo)
        held = store.publish(run.failures) if todo or store.has_parts() else len(store.finished())
    seconds = time.monotonic() - started
    summary = RunSummary(config.out, tuple(run.finished), skipped, tuple(run.failures), held, run.frames, seconds)
    report(summary)
    return summary


@contextmanager
def _disk_errors(config: ExtractConfig) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"writing {config.out} failed: {error.strerror or error}. Finished videos are kept: make room, or "
            "repair the disk, and give the same command again."
        ) from error


@dataclass
class _Video:
    """What is known of one video while it goes through."""

    source: VideoSource
    info: VideoInfo
    part: PartWriter
    modified_ns: int
    index: array[int] = field(default_factory=lambda: array("q"))  # decoded index of each sampled frame
    seconds: array[float] = field(default_factory=lambda: array("d"))
    ended: VideoEnded | None = None

    def arrays(self, rows: FeatureRows) -> dict[str, npt.NDArray[Any]]:
        """Everything of these rows but the features."""
        return {
            "frame_index": np.array([self.index[frame] for frame in rows.frames], dtype=np.int64),
            "time_seconds": np.array([self.seconds[frame] for frame in rows.frames], dtype=np.float64),
            "edge": np.array(rows.edges, dtype=np.bool_),
        }


class _Run:
    """State of one run, and the callbacks that connect decoders, engine and files."""

    def __init__(self, config: ExtractConfig, report: Reporter) -> None:
        self.config, self.report = config, report
        self.finished: list[VideoFinished] = []
        self.failures: list[Failure] = []
        self.frames = 0
        self._videos: dict[str, _Video] = {}
        self._published: SimpleQueue[VideoFinished] = SimpleQueue()  # from the writer's thread to ours

    def work(self, engine: Engine[str], store: FeatureStore, todo: list[VideoSource]) -> None:
        """Takes every video of `todo` to a finished part or a failure."""
        self._engine, self._store = engine, store
        config, sampling = self.config, engine.sampling
        pool = DecoderPool(
            todo,
            frame_step=sampling.frame_step,
            fps=sampling.fps,
            decoder=config.decoder,
            decoders=config.decoders,
            timeout_seconds=config.decode_timeout_seconds,
        )
        try:
            with BackgroundWriter() as self._writer, pool:
                for event in pool:
                    self._take(event)
                    self._report_published()
                engine.flush()
                self._writer.drain()
                self._report_published()
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"{engine.device} ran out of memory at --batch-size {engine.batch_size}. Give a smaller one; finished "
                "videos are kept."
            ) from error
        finally:
            for video in self._videos.values():
                video.part.discard()

    def on_rows(self, video_id: str, rows: FeatureRows, frames: int) -> None:
        """The engine took `frames` more frames of a video through the network."""
        self.frames += frames
        self.report(Progress(video_id, frames))
        if len(rows):
            video = self._videos[video_id]
            self._writer.submit(partial(_write, video.part, rows.features, video.arrays(rows)))

    def on_end(self, video_id: str, stream: FeatureStream) -> None:
        """The engine is through with a video."""
        video = self._videos[video_id]
        try:
            rows, padding = stream.finish()
        except VideoError as error:
            self._fail(video.source, str(error))
            return
        if len(rows):
            self._writer.submit(partial(_write, video.part, rows.features, video.arrays(rows)))
        self._writer.submit(partial(self._publish, self._videos.pop(video_id), padding))

    def _take(self, event: VideoOpened | FrameChunk | VideoEnded | DecodingFailed) -> None:
        source = event.source
        if isinstance(event, VideoOpened):
            part = self._store.writer(source.id)
            self._videos[source.id] = _Video(source, event.info, part, source.path.stat().st_mtime_ns)
            self.report(VideoStarted(source.id, sampled_frames(event.info, self._engine.sampling)))
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

    def _fail(self, source: VideoSource, reason: str) -> None:
        video = self._videos.pop(source.id, None)
        if video is not None:
            self._writer.submit(video.part.discard)  # behind the rows that are still to be written
        self.failures.append(Failure(source.id, str(source.path), reason))
        self.report(VideoFailed(source.id, reason))

    def _publish(self, video: _Video, padding: Padding) -> None:
        assert video.ended is not None
        attributes = video_attributes(video.info, video.ended, padding, video.modified_ns, self._engine)
        rows = video.part.finish(attributes, padding.rows_in_front, padding.rows_behind)
        remarks = notes(video.info, video.ended, padding)
        self._published.put(VideoFinished(video.source.id, rows, video.ended.frames_sampled, remarks))

    def _report_published(self) -> None:
        while not self._published.empty():
            self.finished.append(self._published.get())
            self.report(self.finished[-1])


def sampled_frames(info: VideoInfo, sampling: Sampling) -> int | None:
    """How many frames the network will see, if the container tells the truth; None where it says nothing."""
    if info.frames_expected is None:
        return None
    if sampling.fps is None:
        return -(-info.frames_expected // sampling.frame_step)
    return round(info.frames_expected / info.fps * sampling.fps) if info.fps else None


def _write(part: PartWriter, features: Tensor, arrays: dict[str, npt.NDArray[Any]]) -> None:
    # .cpu() waits for the GPU here, in the writer's thread, while the main thread queues the next batch.
    part.append(arrays | {"features": features.float().cpu().numpy()})


def unfinished(sources: list[VideoSource], store: FeatureStore) -> list[VideoSource]:
    """The videos the output does not hold yet.

    Raises:
        OutputError: the output holds another video, or an older version, under the same id.
    """
    finished = store.finished()
    todo = []
    for source in sources:
        held = finished.get(source.id)
        if held is None:
            todo.append(source)
        elif not _same_content(source, held):
            raise OutputError(
                f"{store.out} already holds {source.id!r}, from {held['source']}, other content than {source.path}. "
                "Choose another --out, or --overwrite to start anew."
            )
    return todo


def _same_content(source: VideoSource, held: dict[str, Any]) -> bool:
    status = source.path.stat()
    if status.st_size != held["source_size_bytes"]:
        return False
    unchanged: bool = status.st_mtime_ns == held["source_modified_ns"]
    return unchanged or sha256_of(source.path) == held["source_sha256"]
