"""Frames of several videos in, rows of features out. Frames of different videos share a batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lcdc_extract.config import PartEdges
from lcdc_extract.extractor import Extractor
from lcdc_extract.features import VideoFailed
from lcdc_extract.pipeline.underway import PartDone, PartRows, SampledFrames, Underway
from lcdc_extract.video import DecodingFailed, FrameChunk, VideoEnded, VideoEvent, VideoOpened, VideoSource


@dataclass(frozen=True)
class VideoRestarted:
    """A decoder begins a video, perhaps anew; rows that were handed out before do not count."""

    video: VideoSource


@dataclass(frozen=True)
class FramesDone:
    """More frames of a video went through the network."""

    video: VideoSource
    frames: int


EngineOutput = FramesDone | PartRows | VideoRestarted | PartDone | VideoFailed


@dataclass(frozen=True)
class _Waiting:
    """Preprocessed frames of one video, waiting for their batch; or the end of the video, behind all its frames."""

    video: VideoSource
    frames: Tensor | None = None
    about: SampledFrames | None = None
    ended: VideoEnded | None = None

    def __len__(self) -> int:
        """Frames; 0 for the end of a video."""
        return len(self.about) if self.about else 0

    def __getitem__(self, part: slice) -> _Waiting:
        """Some of the frames."""
        assert self.frames is not None
        assert self.about is not None
        return _Waiting(self.video, self.frames[part], self.about[part])


class Engine:
    """Feed it what the decoders say, in that order, and take what comes out; `flush` at the end.

    A batch runs when it is full, with frames of as many videos as it takes; outputs come in the order of the frames.
    """

    def __init__(self, extractor: Extractor, part_edges: PartEdges = "see") -> None:
        self._extractor, self._part_edges = extractor, part_edges
        self._underway: dict[VideoSource, Underway] = {}
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
            path = str(event.source.path)
            yield from (VideoFailed(part.id, path, event.reason) for part in event.source.wanted)
        elif isinstance(event, VideoEnded):
            self._waiting.append(_Waiting(event.source, ended=event))
        else:
            self._add(event)
        while self._waiting_frames >= self._extractor.batch_size:
            yield from self._run_batch()

    def flush(self) -> Iterator[EngineOutput]:
        """Runs what is waiting as a last, smaller batch."""
        while self._waiting:
            yield from self._run_batch()

    def _add(self, chunk: FrameChunk) -> None:
        about = SampledFrames.of(chunk)
        with self._extractor.running():
            frames = self._extractor.preprocess(chunk.rgb)
        chunk.release()
        self._waiting.append(_Waiting(chunk.source, frames, about))
        self._waiting_frames += len(frames)

    def _drop(self, video: VideoSource) -> None:
        kept = [waiting for waiting in self._waiting if waiting.video != video]
        self._waiting = deque(kept)
        self._waiting_frames = sum(len(waiting) for waiting in kept)
        self._underway.pop(video, None)

    def _run_batch(self) -> list[EngineOutput]:
        batch = self._take(self._extractor.batch_size)
        frames = [waiting.frames for waiting in batch if waiting.frames is not None]
        found: list[EngineOutput] = []
        with self._extractor.running():
            encoded = self._extractor.encode(torch.cat(frames)) if frames else None
            begin = 0
            for waiting in batch:
                underway = self._of(waiting.video)
                if waiting.ended is not None:
                    found += underway.finish(waiting.ended)
                    del self._underway[waiting.video]
                elif waiting.about is not None and encoded is not None:
                    end = begin + len(waiting.about)
                    found.append(FramesDone(waiting.video, end - begin))
                    found += underway.push(waiting.about, encoded[begin:end])
                    begin = end
        return found

    def _of(self, video: VideoSource) -> Underway:
        if video not in self._underway:
            self._underway[video] = Underway(video, self._part_edges, self._extractor.feature_stream)
        return self._underway[video]

    def _take(self, count: int) -> list[_Waiting]:
        """The first `count` waiting frames, with the ends of videos that fall among them."""
        taken: list[_Waiting] = []
        while self._waiting and (count or not len(self._waiting[0])):
            waiting = self._waiting.popleft()
            if len(waiting) > count:
                self._waiting.appendleft(waiting[count:])
                waiting = waiting[:count]
            count -= len(waiting)
            self._waiting_frames -= len(waiting)
            taken.append(waiting)
        return taken
