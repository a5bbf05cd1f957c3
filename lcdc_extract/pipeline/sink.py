"""Where rows go: one part of the output per video, written in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from types import TracebackType

import numpy as np

from lcdc_extract.config import Precision
from lcdc_extract.features import FeatureStore, PartWriter, VideoFailed
from lcdc_extract.pipeline.engine import EngineOutput, FramesDone, VideoRestarted
from lcdc_extract.pipeline.events import VideoFinished
from lcdc_extract.pipeline.record import notes, video_attributes
from lcdc_extract.pipeline.underway import PartDone, PartRows
from lcdc_extract.pipeline.writer import BackgroundWriter


@dataclass
class _Part:
    """A video's part while it grows; only the writer's thread touches it."""

    file: PartWriter
    finite: bool = True
    """Whether all its features are numbers."""


class Sink:
    """Takes what the engine gives, and tells which videos are finished or failed. Use it as a context manager.

    Leaving waits for the writer's thread, also after an exception; parts that are not complete are thrown away.

    Args:
        made_by: attributes of every video: what made its features.
        precision: of the network, for advice.
    """

    def __init__(self, store: FeatureStore, made_by: dict[str, str], precision: Precision) -> None:
        self._store, self._made_by, self._precision = store, made_by, precision
        self._writer = BackgroundWriter()
        self._parts: dict[str, _Part] = {}
        self._over: SimpleQueue[VideoFinished | VideoFailed] = SimpleQueue()

    def take(self, output: EngineOutput) -> None:
        """Queues rows, the end of a video or its failure.

        Raises:
            OSError: an earlier write failed.
        """
        if isinstance(output, PartRows):
            self._writer.submit(partial(self._write, self._part(output.part.id), output))
        elif isinstance(output, PartDone):
            part = self._part(output.part.id)
            self._writer.submit(partial(self._finish, part, output))
            del self._parts[output.part.id]
        elif isinstance(output, VideoRestarted):
            for wanted in output.video.wanted:
                self._writer.submit(partial(self._discard, self._parts.pop(wanted.id, None)))
        elif not isinstance(output, FramesDone):
            self._writer.submit(partial(self._discard, self._parts.pop(output.id, None), output))

    def poll(self) -> Iterator[VideoFinished | VideoFailed]:
        """Videos that ended since the last call: their features are safe on disk, or they have none."""
        while not self._over.empty():
            yield self._over.get()

    def drain(self) -> Iterator[VideoFinished | VideoFailed]:
        """Waits until everything is written; yields the videos that ended meanwhile."""
        self._writer.drain()
        yield from self.poll()

    def __enter__(self) -> Sink:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)
        for part in self._parts.values():
            part.file.discard()

    def _part(self, video_id: str) -> _Part:
        if video_id not in self._parts:
            self._parts[video_id] = _Part(self._store.writer(video_id))
        return self._parts[video_id]

    # What follows runs in the writer's thread.

    def _write(self, part: _Part, rows: PartRows) -> None:
        features = rows.features.float().cpu().numpy()  # waits for the GPU here, not in the thread that feeds it
        part.finite = part.finite and bool(np.isfinite(features).all())
        part.file.append(
            {
                "features": features,
                "frame_index": rows.frame_index,
                "time_seconds": rows.time_seconds,
                "edge": rows.edge,
                "damaged": rows.damaged,
            }
        )

    def _finish(self, part: _Part, done: PartDone) -> None:
        video, padding = done.ended.source, done.padding
        if not part.finite:
            self._discard(part, VideoFailed(done.part.id, str(video.path), self._why_not_finite()))
            return
        rows = part.file.finish(video_attributes(done) | self._made_by, padding.rows_in_front, padding.rows_behind)
        incomplete = done.ended.condition.incomplete
        self._over.put(VideoFinished(done.part.id, rows, done.frames, notes(done), incomplete, video.id))

    def _discard(self, part: _Part | None, failed: VideoFailed | None = None) -> None:
        if part is not None:
            part.file.discard()
        if failed is not None:
            self._over.put(failed)

    def _why_not_finite(self) -> str:
        hint = "Try `precision='bfloat16'` or 'float32'." if self._precision == "float16" else "Are they damaged?"
        return f"the network gave features that are not numbers, with these weights in {self._precision}. {hint}"
