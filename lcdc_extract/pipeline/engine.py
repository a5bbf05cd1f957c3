"""The network at work: frames of several videos in, batches through the encoder, rows of features out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcdc_extract.config import ExtractConfig
from lcdc_extract.errors import DeviceError
from lcdc_extract.network.feature_stream import FeatureRows, FeatureStream
from lcdc_extract.network.preprocess import preprocess
from lcdc_extract.network.streaming import StreamingHead
from lcdc_extract.pipeline.setup import Setup

Key = TypeVar("Key")
CPU_BATCH, GPU_BATCH = 16, 256


@contextmanager
def memory_errors(config: ExtractConfig) -> Iterator[None]:
    """Running out of GPU memory becomes an error that says what to do.

    Raises:
        DeviceError: instead of torch's own.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        size = config.batch_size or GPU_BATCH
        raise DeviceError(
            f"the GPU ran out of memory at --batch-size {size}. Give a smaller one, or free the GPU; "
            "finished videos are kept."
        ) from error


@dataclass(frozen=True)
class _Segment(Generic[Key]):
    """Frames of one video waiting for their batch; None marks the video's end."""

    key: Key
    frames: Tensor | None


class Engine(Generic[Key]):
    """Batches frames of several videos, in the order they come, and keeps one feature stream per video.

    Arithmetic is float32 to the last bit or what `config.precision` says: on a GPU this turns the short float32 of its
    tensor cores (TF32) off, for this process.

    Args:
        on_rows: called with each video's next rows, possibly none, and the number of frames behind them.
        on_end: called once per video, after all `on_rows`, with the stream to be finished.
    """

    def __init__(
        self,
        config: ExtractConfig,
        setup: Setup,
        *,
        on_rows: Callable[[Key, FeatureRows, int], None],
        on_end: Callable[[Key, FeatureStream], None],
    ) -> None:
        self.device = device = setup.device
        self.dtype: torch.dtype = getattr(torch, config.precision)
        self.batch_size = config.batch_size or (GPU_BATCH if self.device.type == "cuda" else CPU_BATCH)
        self.sampling = setup.sampling
        self._preprocess = setup.weights.info.preprocess
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
        network = setup.weights.network.for_extraction(device, self.dtype)
        self._encoder, self._head = network.encoder, StreamingHead(network.head)
        self._on_rows, self._on_end = on_rows, on_end
        self._streams: dict[Key, FeatureStream] = {}
        self._waiting: deque[_Segment[Key]] = deque()
        self._waiting_frames = 0

    @torch.inference_mode()
    def add(self, key: Key, rgb: npt.NDArray[np.uint8]) -> None:
        """Takes the next frames of a video, (T, H, W, 3) uint8; the array may be reused afterwards."""
        frames = preprocess(torch.from_numpy(rgb).to(self.device), self._preprocess, self.dtype)
        self._waiting.append(_Segment(key, frames))
        self._waiting_frames += len(frames)
        while self._waiting_frames >= self.batch_size:
            self._run_batch()

    def end(self, key: Key) -> None:
        """No more frames of this video."""
        self._waiting.append(_Segment(key, None))

    def drop(self, key: Key) -> None:
        """Forgets a video that failed."""
        kept = [segment for segment in self._waiting if segment.key != key]
        self._waiting = deque(kept)
        self._waiting_frames = sum(len(segment.frames) for segment in kept if segment.frames is not None)
        self._streams.pop(key, None)

    @torch.inference_mode()
    def flush(self) -> None:
        """Runs what is waiting as a last, smaller batch."""
        while self._waiting:
            self._run_batch()

    def synchronize(self) -> None:
        """Waits until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _run_batch(self) -> None:
        batch = self._take(self.batch_size)
        frames = [segment.frames for segment in batch if segment.frames is not None]
        encoded = self._encoder(torch.cat(frames)) if frames else None
        begin = 0
        for segment in batch:
            stream = self._streams.setdefault(segment.key, FeatureStream(self._head, self.sampling))
            if segment.frames is None:
                self._on_end(segment.key, self._streams.pop(segment.key))
                continue
            end = begin + len(segment.frames)
            assert encoded is not None
            self._on_rows(segment.key, stream.push(encoded[begin:end]), end - begin)
            begin = end

    def _take(self, count: int) -> list[_Segment[Key]]:
        """The first `count` waiting frames, with the ends of videos that fall among them."""
        taken: list[_Segment[Key]] = []
        while self._waiting and (count or self._waiting[0].frames is None):
            segment = self._waiting.popleft()
            if segment.frames is not None:
                if len(segment.frames) > count:
                    self._waiting.appendleft(_Segment(segment.key, segment.frames[count:]))
                    segment = _Segment(segment.key, segment.frames[:count])
                assert segment.frames is not None
                count -= len(segment.frames)
                self._waiting_frames -= len(segment.frames)
            taken.append(segment)
        return taken
