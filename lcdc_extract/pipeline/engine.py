"""Frames of several videos in, rows of features out. Frames of different videos share a batch."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcdc_extract.config import SNIPPET_LENGTH
from lcdc_extract.errors import VideoError
from lcdc_extract.extractor import Extractor
from lcdc_extract.features import VideoFailed
from lcdc_extract.network.feature_stream import FeatureRows, FeatureStream, Padding
from lcdc_extract.video import DecodingFailed, FrameChunk, VideoEnded, VideoEvent, VideoOpened, VideoSource


@dataclass(frozen=True)
class VideoRows:
    """The next rows of a video, on their way to its file; entry j of each array belongs to row j."""

    video: VideoSource
    features: Tensor
    """(R, 1024), on the network's device, in its dtype."""
    frame_index: npt.NDArray[np.int64]
    """(R,): decoded frame each row stands for."""
    time_seconds: npt.NDArray[np.float64]
    """(R,): when it is shown."""
    edge: npt.NDArray[np.bool_]
    """(R,): whether the window around it would leave the video."""
    damaged: npt.NDArray[np.bool_]
    """(R,): whether the window holds a damaged frame."""
    frames: int
    """Frames that went through the network for these rows; there may be frames and no rows yet."""

    def __len__(self) -> int:
        return len(self.frame_index)


@dataclass(frozen=True)
class VideoRestarted:
    """Another decoder begins a video anew; rows that were handed out before do not count."""

    video: VideoSource


@dataclass(frozen=True)
class VideoDone:
    """Every row of a video was handed out."""

    ended: VideoEnded
    padding: Padding


EngineOutput = VideoRows | VideoRestarted | VideoDone | VideoFailed


@dataclass
class _Underway:
    """A video that is being decoded: its stream of features, and what is known of its sampled frames."""

    stream: FeatureStream
    index: array[int] = field(default_factory=lambda: array("q"))
    seconds: array[float] = field(default_factory=lambda: array("d"))
    damaged: bytearray = field(default_factory=bytearray)

    def add(self, chunk: FrameChunk) -> None:
        self.index.extend(chunk.index.tolist())
        self.seconds.extend(chunk.pts_seconds.tolist())
        self.damaged.extend(chunk.damaged.tobytes())

    def rows(self, video: VideoSource, rows: FeatureRows, frames: int) -> VideoRows:
        return VideoRows(
            video,
            rows.features,
            np.array([self.index[frame] for frame in rows.frames], np.int64),
            np.array([self.seconds[frame] for frame in rows.frames], np.float64),
            np.array(rows.edges, np.bool_),
            np.array([1 in self.damaged[max(start, 0) : start + SNIPPET_LENGTH] for start in rows.starts], np.bool_),
            frames,
        )


@dataclass(frozen=True)
class _Waiting:
    """Preprocessed frames of one video, waiting for their batch; or the end of the video, behind all its frames."""

    video: VideoSource
    frames: Tensor | None
    ended: VideoEnded | None = None


class Engine:
    """Feed it what the decoders say, in that order, and take what comes out; `flush` at the end.

    A batch runs when it is full, with frames of as many videos as it takes; outputs come in the order of the frames.
    """

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self._underway: dict[VideoSource, _Underway] = {}
        self._waiting: deque[_Waiting] = deque()
        self._waiting_frames = 0

    def feed(self, event: VideoEvent) -> Iterator[EngineOutput]:
        """Takes the beginning of a video, its next frames, its end or its failure; yields what that completes.

        Frames are handed back to their decoder at once.
        """
        if isinstance(event, VideoOpened):
            self._drop(event.source)
            yield VideoRestarted(event.source)
        elif isinstance(event, DecodingFailed):
            self._drop(event.source)
            yield VideoFailed(event.source.id, str(event.source.path), event.reason)
        elif isinstance(event, VideoEnded):
            self._waiting.append(_Waiting(event.source, None, event))
        else:
            self._add(event)
        while self._waiting_frames >= self._extractor.batch_size:
            yield from self._run_batch()

    def flush(self) -> Iterator[EngineOutput]:
        """Runs what is waiting as a last, smaller batch."""
        while self._waiting:
            yield from self._run_batch()

    def _add(self, chunk: FrameChunk) -> None:
        video = chunk.source
        if video not in self._underway:
            self._underway[video] = _Underway(self._extractor.feature_stream())
        self._underway[video].add(chunk)
        with self._extractor.running():
            frames = self._extractor.preprocess(chunk.rgb)
        chunk.release()
        self._waiting.append(_Waiting(video, frames))
        self._waiting_frames += len(frames)

    def _drop(self, video: VideoSource) -> None:
        kept = [waiting for waiting in self._waiting if waiting.video != video]
        self._waiting = deque(kept)
        self._waiting_frames = sum(len(waiting.frames) for waiting in kept if waiting.frames is not None)
        self._underway.pop(video, None)

    def _run_batch(self) -> list[EngineOutput]:
        batch = self._take(self._extractor.batch_size)
        frames = [waiting.frames for waiting in batch if waiting.frames is not None]
        found: list[EngineOutput] = []
        with self._extractor.running():
            encoded = self._extractor.encode(torch.cat(frames)) if frames else None
            begin = 0
            for waiting in batch:
                if waiting.ended is not None:
                    found += self._end(waiting.ended)
                elif waiting.frames is not None and encoded is not None:
                    end = begin + len(waiting.frames)
                    underway = self._underway[waiting.video]
                    rows = underway.stream.push(encoded[begin:end])
                    found.append(underway.rows(waiting.video, rows, end - begin))
                    begin = end
        return found

    def _end(self, ended: VideoEnded) -> list[EngineOutput]:
        video = ended.source
        underway = self._underway.pop(video, None) or _Underway(self._extractor.feature_stream())
        try:
            rows, padding = underway.stream.finish()
        except VideoError as error:
            return [VideoFailed(video.id, str(video.path), str(error))]
        return [underway.rows(video, rows, 0), VideoDone(ended, padding)]

    def _take(self, count: int) -> list[_Waiting]:
        """The first `count` waiting frames, with the ends of videos that fall among them."""
        taken: list[_Waiting] = []
        while self._waiting and (count or self._waiting[0].frames is None):
            waiting = self._waiting.popleft()
            if waiting.frames is not None:
                frames = waiting.frames[:count]
                if len(waiting.frames) > count:
                    self._waiting.appendleft(_Waiting(waiting.video, waiting.frames[count:]))
                waiting = _Waiting(waiting.video, frames)
                count -= len(frames)
                self._waiting_frames -= len(frames)
            taken.append(waiting)
        return taken
