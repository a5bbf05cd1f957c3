"""The network at work: frames of several videos in, batches through the encoder, rows of features out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcdc_extract.config import ExtractConfig, Sampling
from lcdc_extract.errors import DeviceError
from lcdc_extract.network.feature_stream import FeatureRows, FeatureStream
from lcdc_extract.network.preprocess import preprocess
from lcdc_extract.network.streaming import StreamingHead
from lcdc_extract.weights.file import Weights

Key = TypeVar("Key")
CPU_BATCH, GPU_BATCH = 16, 256


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU, or the CPU where there is none; anything else is taken at its word.

    Raises:
        DeviceError: the device is unknown, or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"--device {name}; expected auto, cpu, cuda or cuda:N")
    found = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        built = (
            f"torch {torch.__version__} is built for CUDA {torch.version.cuda}"
            if torch.version.cuda
            else (f"torch {torch.__version__} is a build without CUDA")
        )
        raise DeviceError(
            f"--device {name}: found {found} CUDA devices ({built}). Use --device cpu, or see `lcdc doctor`."
        )
    return device


@dataclass(frozen=True)
class _Segment(Generic[Key]):
    """Frames of one video waiting for their batch; None marks the video's end."""

    key: Key
    frames: Tensor | None


class Engine(Generic[Key]):
    """Batches frames of several videos, in the order they come, and keeps one feature stream per video.

    Args:
        on_rows: called with each video's next rows, possibly none, and the number of frames behind them.
        on_end: called once per video, after all `on_rows`, with the stream to be finished.
    """

    def __init__(
        self,
        weights: Weights,
        config: ExtractConfig,
        sampling: Sampling,
        *,
        on_rows: Callable[[Key, FeatureRows, int], None],
        on_end: Callable[[Key, FeatureStream], None],
    ) -> None:
        self.device = choose_device(config.device)
        self.dtype: torch.dtype = getattr(torch, config.precision)
        self.batch_size = config.batch_size or (GPU_BATCH if self.device.type == "cuda" else CPU_BATCH)
        self.sampling = sampling
        self._preprocess = weights.info.preprocess
        network = weights.network.for_extraction(self.device, self.dtype)
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
