"""What ffmpeg itself makes of a video: decoded in this process with PyAV and converted by ffmpeg's scale filter.

Independent of lcdc_extract.video.decoders on purpose.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from lcdc_extract.video import DecoderPool, DecodingFailed, FrameChunk, Reading, VideoEnded, VideoOpened, VideoSource


@dataclass
class Decoded:
    """A whole decoded video: rgb (T,H,W,3), index, times and damaged (T,), and the events around the chunks."""

    rgb: np.ndarray
    index: np.ndarray
    times: np.ndarray
    damaged: np.ndarray
    opened: VideoOpened
    ended: VideoEnded


@functools.lru_cache(maxsize=1)
def decode_with_ffmpeg(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns rgb (T,H,W,3), not rotated, and container times (T,) in seconds."""
    pictures, times = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = None
        for frame in container.decode(stream):
            graph = graph or _scale_graph(stream, frame)
            graph.push(frame)
            pictures.append(graph.pull().to_ndarray())
            times.append(float(frame.pts * stream.time_base))
    return np.stack(pictures), np.array(times)


def decode(path: Path, **options: Any) -> Decoded:
    """Decodes one video through the pool; fails the test if that fails."""
    events = list(run([source(path)], **options))
    assert not isinstance(events[-1], DecodingFailed), events[-1].reason
    begin = max(place for place, event in enumerate(events) if isinstance(event, VideoOpened))  # takes back all before
    opened, *chunks, ended = events[begin:]
    assert isinstance(ended, VideoEnded)
    rgb, index, times, damaged = (np.concatenate([chunk[part] for chunk in chunks]) for part in range(4))
    return Decoded(rgb, index, times, damaged, opened, ended)


def failure(path: Path, **options: Any) -> str:
    """The reason the pool gives for a video that must fail."""
    last = list(run([source(path)], **options))[-1]
    assert isinstance(last, DecodingFailed), last
    return last.reason


def run(sources: Iterable[VideoSource], **options: Any) -> Iterable[Any]:
    """The pool's events; chunks are copied to (rgb, index, times, damaged, source) and released at once."""
    of_pool = {name: options.pop(name) for name in ("decoders", "timeout_seconds") if name in options}
    with DecoderPool(list(sources), Reading(**options), **of_pool) as pool:
        for event in pool:
            if isinstance(event, FrameChunk):
                yield event.rgb.copy(), event.index, event.pts_seconds, event.damaged, event.source
                event.release()
            else:
                yield event


def source(path: Path) -> VideoSource:
    return VideoSource(path.stem, path)


def _scale_graph(stream: av.VideoStream, frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    parts = [graph.add_buffer(template=stream), graph.add("scale", f"{frame.width}:{frame.height}")]
    parts += [graph.add("format", "rgb24"), graph.add("buffersink")]
    for before, after in itertools.pairwise(parts):
        before.link_to(after)
    graph.configure()
    return graph
