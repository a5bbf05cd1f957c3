"""Frames of several videos in, rows of features out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

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
    """Preprocessed frames, and what is known of them."""

    frames: Tensor
    about: SampledFrames


@dataclass
class _Video:
    """One video between its decoder and its rows."""

    underway: Underway
    waiting: deque[_Waiting] = field(default_factory=deque)
    frames: int = 0
    """Waiting."""

    def add(self, frames: Tensor, about: SampledFrames) -> None:
        self.waiting.append(_Waiting(frames, about))
        self.frames += len(about)

    def take(self, count: int) -> list[_Waiting]:
        """The first `count` frames that wait, or all there are."""
        taken = []
        while self.waiting and count:
            first = self.waiting.popleft()
            if len(first.about) > count:
                self.waiting.appendleft(_Waiting(first.frames[count:], first.about[count:]))
                first = _Waiting(first.frames[:count], first.about[:count])
            count -= len(first.about)
            self.frames -= len(first.about)
            taken.append(first)
        return taken


class Engine:
    """Feed it what the decoders say, in that order, and take what comes out.

    A batch holds frames of one video, and always the same ones. So the features of a video are the same to the last
    bit, whatever is extracted beside it and whichever decoder is faster: convolutions of other batches round otherwise.
    """

    def __init__(self, extractor: Extractor, part_edges: PartEdges = "see") -> None:
        self._extractor, self._part_edges = extractor, part_edges
        self._videos: dict[VideoSource, _Video] = {}

    def feed(self, event: VideoEvent) -> Iterator[EngineOutput]:
        """Takes the beginning of a video, its next frames, its end or its failure; yields what that completes.

        Frames are handed back to their decoder at once.
        """
        source = event.source
        if isinstance(event, VideoOpened):
            self._videos[source] = _Video(Underway(source, self._part_edges, self._extractor.feature_stream))
            yield VideoRestarted(source)
        elif isinstance(event, DecodingFailed):
            self._videos.pop(source, None)
            yield from (VideoFailed(part.id, str(source.path), event.reason) for part in source.wanted)
        elif isinstance(event, VideoEnded):
            yield from self._end(self._videos.pop(source), event)
        else:
            yield from self._add(self._videos[source], event)

    def _add(self, video: _Video, chunk: FrameChunk) -> Iterator[EngineOutput]:
        about = SampledFrames.of(chunk)
        with self._extractor.running():
            frames = self._extractor.preprocess(chunk.rgb)
        chunk.release()
        video.add(frames, about)
        while video.frames >= self._extractor.batch_size:
            yield from self._run_batch(video, chunk.source)

    def _end(self, video: _Video, ended: VideoEnded) -> Iterator[EngineOutput]:
        if video.frames:
            yield from self._run_batch(video, ended.source)
        with self._extractor.running():
            last = list(video.underway.finish(ended))
        yield from last

    def _run_batch(self, video: _Video, source: VideoSource) -> list[EngineOutput]:
        batch = video.take(self._extractor.batch_size)
        found: list[EngineOutput] = []
        with self._extractor.running():
            encoded = self._extractor.encode(torch.cat([waiting.frames for waiting in batch]))
            begin = 0
            for waiting in batch:
                end = begin + len(waiting.about)
                found += video.underway.push(waiting.about, encoded[begin:end])
                begin = end
        return [FramesDone(source, begin), *found]
