"""One video on its way through the temporal head: encoded frames in, rows out, for the whole or for parts of it."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lcdc_extract.config import SNIPPET_LENGTH, PartEdges
from lcdc_extract.errors import VideoError
from lcdc_extract.features import VideoFailed
from lcdc_extract.network.encoder import EncodedFrames
from lcdc_extract.network.feature_stream import FeatureRows, FeatureStream, Padding
from lcdc_extract.video import FrameChunk, Part, VideoEnded, VideoSource


@dataclass(frozen=True)
class SampledFrames:
    """What is known of consecutive sampled frames beside their pixels; entry j of each array belongs to frame j."""

    place: int
    """Of the first among the video's sampled frames."""
    index: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    damaged: npt.NDArray[np.bool_]
    start_seconds: float

    @classmethod
    def of(cls, chunk: FrameChunk) -> SampledFrames:
        """Copies what a chunk says."""
        return cls(chunk.place, chunk.index, chunk.pts_seconds, chunk.damaged, chunk.start_seconds)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, part: slice) -> SampledFrames:
        begin = part.indices(len(self))[0]
        return SampledFrames(
            self.place + begin, self.index[part], self.seconds[part], self.damaged[part], self.start_seconds
        )

    def of_part(self, part: Part) -> npt.NDArray[np.bool_]:
        """Which of the frames belong to a part: (T,)."""
        return part.holds(self.index, self.seconds + self.start_seconds)


@dataclass(frozen=True)
class PartRows:
    """The next rows of a video, or of a part of one, on their way to its file; entry j belongs to row j."""

    part: Part
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


@dataclass(frozen=True)
class PartDone:
    """Every row of a part was handed out."""

    part: Part
    ended: VideoEnded
    padding: Padding
    frames: int
    """Sampled frames that belong to it."""


class NewStream(Protocol):
    """Features of one more stretch of frames: `Extractor.feature_stream`."""

    def __call__(self, first: int = 0, *, goes_on_before: bool = False) -> FeatureStream: ...


class Underway:
    """Push the sampled frames of one video that its parts need, in order; `finish` at its end."""

    def __init__(self, video: VideoSource, part_edges: PartEdges, new_stream: NewStream) -> None:
        if part_edges == "clamp" and video.parts:
            self._lanes = [_Lane((part,), new_stream, clamp=True) for part in video.parts]
        else:
            self._lanes = [_Lane(video.wanted, new_stream)]

    def push(self, frames: SampledFrames, encoded: EncodedFrames) -> Iterator[PartRows]:
        """Takes the next frames; yields the rows that are now certain."""
        for lane in self._lanes:
            yield from lane.push(frames, encoded)

    def finish(self, ended: VideoEnded) -> Iterator[PartRows | PartDone | VideoFailed]:
        """Yields the remaining rows, and then the end of each part, or why there are no features of it."""
        for lane in self._lanes:
            yield from lane.finish(ended)


class _Lane:
    """Parts that share their windows: all of a video, or only one where windows end with it."""

    def __init__(self, parts: Sequence[Part], new_stream: NewStream, *, clamp: bool = False) -> None:
        self._parts, self._new_stream, self._clamp = parts, new_stream, clamp
        self._stretch: _Stretch | None = None
        self._padding = Padding(0, 0, 0)
        self._frames: Counter[Part] = Counter()
        self._rows: Counter[Part] = Counter()

    def push(self, frames: SampledFrames, encoded: EncodedFrames) -> Iterator[PartRows]:
        held = [frames.of_part(part) for part in self._parts]
        self._frames.update({part: int(mask.sum()) for part, mask in zip(self._parts, held, strict=True)})
        if self._clamp:
            inside = np.flatnonzero(held[0])
            begin, end = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
            if end > begin:
                yield from self._push(frames[begin:end], encoded[begin:end])
            if self._stretch and end < len(frames):
                yield from self._end_stretch()
        else:
            yield from self._push(frames, encoded)

    def finish(self, ended: VideoEnded) -> Iterator[PartRows | PartDone | VideoFailed]:
        try:
            if self._stretch and (self._clamp or self._stretch.end == ended.counts.frames_sampled):
                yield from self._end_stretch()
        except VideoError as error:
            yield from (VideoFailed(part.id, str(ended.source.path), str(error)) for part in self._parts)
            return
        for part in self._parts:
            if self._rows[part]:
                yield PartDone(part, ended, self._padding, self._frames[part])
            else:
                yield VideoFailed(part.id, str(ended.source.path), _why_no_rows(part, self._frames[part], ended))

    def _push(self, frames: SampledFrames, encoded: EncodedFrames) -> Iterator[PartRows]:
        if self._stretch is None or frames.place != self._stretch.end:
            goes_on_before = frames.place > 0 and not self._clamp
            stream = self._new_stream(frames.place, goes_on_before=goes_on_before)
            self._stretch = _Stretch(frames, stream)
        yield from self._deal(self._stretch.push(frames, encoded))

    def _end_stretch(self) -> Iterator[PartRows]:
        assert self._stretch is not None
        rows, self._padding = self._stretch.finish()
        self._stretch = None
        yield from self._deal(rows)

    def _deal(self, rows: _Rows) -> Iterator[PartRows]:
        """Gives each part the rows whose frame belongs to it."""
        for part in self._parts:
            mine = np.flatnonzero(rows.frames.of_part(part))
            if len(mine):
                self._rows[part] += len(mine)
                yield rows.of_part(part, mine)


@dataclass(frozen=True)
class _Rows:
    """Rows of a stretch, whichever parts they belong to; `frames` are those the rows stand for."""

    features: Tensor
    frames: SampledFrames
    edge: npt.NDArray[np.bool_]
    damaged: npt.NDArray[np.bool_]

    def of_part(self, part: Part, rows: npt.NDArray[np.intp]) -> PartRows:
        features = self.features if len(rows) == len(self.features) else self.features[rows]
        index, seconds = self.frames.index[rows], self.frames.seconds[rows]
        return PartRows(part, features, index, seconds, self.edge[rows], self.damaged[rows])


class _Stretch:
    """Consecutive sampled frames, all of a video or some that parts need, and the stream of their features."""

    def __init__(self, frames: SampledFrames, stream: FeatureStream) -> None:
        self._stream = stream
        self._first, self._start_seconds = frames.place, frames.start_seconds
        self._index, self._seconds, self._damaged = array("q"), array("d"), bytearray()

    @property
    def end(self) -> int:
        """Place behind the last frame."""
        return self._first + len(self._index)

    def push(self, frames: SampledFrames, encoded: EncodedFrames) -> _Rows:
        self._index.frombytes(frames.index.tobytes())
        self._seconds.frombytes(frames.seconds.tobytes())
        self._damaged.extend(frames.damaged.tobytes())
        return self._described(self._stream.push(encoded))

    def finish(self) -> tuple[_Rows, Padding]:
        rows, padding = self._stream.finish()
        return self._described(rows), padding

    def _described(self, rows: FeatureRows) -> _Rows:
        index, seconds = np.frombuffer(self._index, np.int64), np.frombuffer(self._seconds, np.float64)
        places = np.array(rows.frames, np.int64) - self._first
        starts = [max(start - self._first, 0) for start in rows.starts]  # repeated edge frames lie before the first
        behind = [max(start - self._first + SNIPPET_LENGTH, 0) for start in rows.starts]
        spoilt = [1 in self._damaged[begin:end] for begin, end in zip(starts, behind, strict=True)]
        damaged = np.array(spoilt, np.bool_)
        frames = SampledFrames(0, index[places], seconds[places], damaged, self._start_seconds)
        return _Rows(rows.features, frames, np.array(rows.edges, np.bool_), damaged)


def _why_no_rows(part: Part, frames: int, ended: VideoEnded) -> str:
    if part.is_whole:
        return "no frame was sampled"
    if frames:
        return (
            f"none of the rows falls into the part {part}, which holds {frames} sampled frames. Give a smaller "
            "`stride`, or a longer part"
        )
    counts = ended.counts
    last_seconds = ended.condition.start_seconds + counts.last_seconds
    return (
        f"the part {part} holds no sampled frame: the video has {counts.frames_decoded} frames, the last of which "
        f"players show at {last_seconds:.3f} s"
    )
