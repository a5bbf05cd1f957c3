"""The network ready to run, for frames that are in memory: no files, no decoders. `extract` is built on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcdc_extract.config import (
    CENTRE,
    FEATURE_SIZE,
    Align,
    Edges,
    Precision,
    Sampling,
    SamplingChoice,
    check_choice,
    check_whole,
)
from lcdc_extract.devices import choose_device
from lcdc_extract.errors import ConfigError, DeviceError, FrameError
from lcdc_extract.network.encoder import EncodedFrames
from lcdc_extract.network.feature_stream import FeatureRows, FeatureStream, Padding
from lcdc_extract.network.preprocess import preprocess
from lcdc_extract.network.streaming import HeadTaps
from lcdc_extract.weights.file import Weights
from lcdc_extract.weights.resolve import resolve_weights

Frames = npt.NDArray[np.uint8]
CPU_BATCH, GPU_BATCH = 16, 256


def default_batch_size(device: torch.device) -> int:
    """Frames the network takes at once where nobody says."""
    return GPU_BATCH if device.type == "cuda" else CPU_BATCH


@dataclass(frozen=True)
class FrameFeatures:
    """Rows of features of frames that were handed over; entry j of each array belongs to row j."""

    features: npt.NDArray[np.float32]
    """(R, 1024): fc_new_2."""
    frame_index: npt.NDArray[np.int64]
    """(R,): which of the frames, counted from 0, the row stands for."""
    edge: npt.NDArray[np.bool_]
    """(R,): true where the window would have left the video."""

    def __len__(self) -> int:
        return len(self.features)


class Extractor:
    """Features of frames: `Extractor().features(frames)` is an array of one row per frame.

    Args:
        weights: a weights file, a name from `lcdc weights list`, "untrained", or weights that are loaded; None is
            `lcdc-synth`, which comes with the package.
        device: auto (the first GPU, or the CPU where there is none), cpu, cuda or cuda:N.
        precision: arithmetic of the network, "float32", "bfloat16" or "float16"; offsets are float32 whatever it is.
        batch_size: frames the network takes at once; None takes 16 on a CPU and 256 on a GPU.
        preset, frame_step, stride, edges, align: see `SamplingChoice`. Frame step and stride left out are what the
            weights were trained for; `frame_step` is counted in the frames that are handed over.

    Raises:
        ConfigError: a setting is out of range.
        DeviceError: the device is not there.
        WeightsError: the weights cannot be used.
    """

    def __init__(
        self,
        weights: str | Path | Weights | None = None,
        *,
        device: str = "auto",
        precision: Precision = "float32",
        batch_size: int | None = None,
        preset: str | None = None,
        frame_step: int | None = None,
        stride: int | None = None,
        edges: Edges = "clamp",
        align: Align = "exact",
    ) -> None:
        choice = SamplingChoice(preset, frame_step, None, stride, edges, align)
        check_choice("precision", precision, Precision)
        if batch_size is not None:
            check_whole("batch_size", batch_size, 1)
        self.device = choose_device(device)
        self.dtype: torch.dtype = getattr(torch, precision)
        self.batch_size = batch_size or default_batch_size(self.device)
        self.weights = weights if isinstance(weights, Weights) else resolve_weights(_name(weights))
        self.sampling: Sampling = choice.resolve(self.weights.info.sampling)
        network = self.weights.network.for_extraction(self.device, self.dtype)
        self._encoder, self._taps = network.encoder, HeadTaps(network.head)

    def features(self, frames: Iterable[Any]) -> npt.NDArray[np.float32]:
        """fc_new_2 of a whole video that is in memory, or comes frame by frame.

        Args:
            frames: uint8 RGB, an array (T, H, W, 3) or an iterable of (H, W, 3), all of one size.

        Returns:
            (R, 1024) float32. R is ceil(T / stride) after every `frame_step`-th frame was taken; row j stands for frame
            j * stride * frame_step (`align="released"`: as the authors' script has it).

        Raises:
            FrameError: a frame is of another kind or size, or there is none.
            VideoError: too few frames for `align="released"`.
            DeviceError: the GPU has too little memory.
        """
        stream = FrameStream(self)
        parts = [stream.push(batch).features for batch in _batches(frames, self.batch_size * self.sampling.frame_step)]
        rest, padding = stream.end()
        rows = np.concatenate([*parts, rest.features])
        return rows[padding.stored_rows(len(rows))]

    def stream(self) -> FrameStream:
        """For a live source: push frames as they come, rows come out as soon as they are certain.

        Raises:
            ConfigError: `align="released"`, whose first rows depend on the length of the whole video.
        """
        if self.sampling.align == "released":
            raise ConfigError(
                "`align='released'` cannot be streamed: how often the authors' script repeats the first row depends on "
                "the length of the whole video. Use `align='exact'`, or features() for a whole video."
            )
        return FrameStream(self)

    def preprocess(self, rgb: Frames) -> Tensor:
        """Frames (T, H, W, 3) uint8 as the network takes them: (T, 3, 224, 224) on its device."""
        return preprocess(torch.from_numpy(rgb).to(self.device), self.weights.info.preprocess, self.dtype)

    def encode(self, frames: Tensor) -> EncodedFrames:
        """What the temporal head needs of preprocessed frames (T, 3, 224, 224), of any number of videos."""
        encoded: EncodedFrames = self._encoder(frames)
        return encoded

    def feature_stream(self, first: int = 0, *, goes_on_before: bool = False) -> FeatureStream:
        """Rows of one video, or of a stretch of it (see `FeatureStream`), from its encoded frames."""
        return FeatureStream(self._taps, self.sampling, first, goes_on_before=goes_on_before)

    def synchronize(self) -> None:
        """Waits until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around all the network computes: no gradients, and on a GPU float32 to the last bit, without TF32.

        Raises:
            DeviceError: the GPU has too little memory.
        """
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        before = cudnn.allow_tf32, matmul.allow_tf32
        cudnn.allow_tf32 = matmul.allow_tf32 = False
        try:
            with torch.inference_mode():
                yield
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"the GPU ran out of memory at `batch_size={self.batch_size}`. Give a smaller one, or free the GPU."
            ) from error
        finally:
            cudnn.allow_tf32, matmul.allow_tf32 = before


class FrameStream:
    """Features of one source of frames; made by `Extractor.stream`."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self._stream = extractor.feature_stream()
        self._size: tuple[int, ...] | None = None
        self._received = 0
        self._ended = False

    @property
    def lag_frames(self) -> int:
        """Frames that must follow a frame before its row is certain: the window of row f ends at sampled frame f + 7.

        The first rows of a stream wait longer, for its first whole window of 16 sampled frames, unless edge frames are
        repeated.
        """
        return (CENTRE - 1) * self._extractor.sampling.frame_step

    def push(self, frames: Any) -> FrameFeatures:
        """Takes the next frames, one (H, W, 3) or several (T, H, W, 3), uint8 RGB; returns the rows now certain.

        Raises:
            FrameError: a frame is of another kind, or another size than those before; or the stream has ended.
        """
        self._check_open()
        rgb = self._checked(frames)
        step, size = self._extractor.sampling.frame_step, self._extractor.batch_size
        sampled = rgb[-self._received % step :: step]
        self._received += len(rgb)
        found = []
        with self._extractor.running():
            for first in range(0, len(sampled), size):
                batch = np.require(sampled[first : first + size], requirements=["C", "W"])
                found.append(self._stream.push(self._extractor.encode(self._extractor.preprocess(batch))))
        return self._join(found)

    def finish(self) -> FrameFeatures:
        """The source has ended: returns the rows that were waiting for more frames.

        Raises:
            FrameError: no frame was pushed, or the stream has ended before.
        """
        return self.end()[0]

    def end(self) -> tuple[FrameFeatures, Padding]:
        """As `finish`, and what was repeated to give the frames their rows."""
        self._check_open()
        if not self._received:
            raise FrameError("there were no frames; expected at least one")
        self._ended = True
        with self._extractor.running():
            rows, padding = self._stream.finish()
        return self._join([rows]), padding

    def _check_open(self) -> None:
        if self._ended:
            raise FrameError("the stream has ended; make another one for further frames")

    def _checked(self, frames: Any) -> Frames:
        rgb = np.asarray(frames)
        if rgb.ndim == 3:
            rgb = rgb[None]
        if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[3] != 3 or 0 in rgb.shape[1:]:
            raise FrameError(f"found {rgb.dtype} of shape {np.shape(frames)}; expected uint8 (H, W, 3) or (T, H, W, 3)")
        self._size = self._size or rgb.shape[1:]
        if rgb.shape[1:] != self._size:
            raise FrameError(
                f"frame {self._received} has the shape {rgb.shape[1:]}, those before it {self._size}; "
                "a stream has frames of one size"
            )
        return rgb

    def _join(self, found: list[FeatureRows]) -> FrameFeatures:
        features = [rows.features.float().cpu().numpy() for rows in found]
        frames = [frame for rows in found for frame in rows.frames]
        return FrameFeatures(
            np.concatenate([np.empty((0, FEATURE_SIZE), np.float32), *features]),
            np.array(frames, np.int64) * self._extractor.sampling.frame_step,
            np.array([edge for rows in found for edge in rows.edges], np.bool_),
        )


def _name(weights: str | Path | None) -> str | None:
    return None if weights is None else str(weights)


def _batches(frames: Iterable[Any], size: int) -> Iterator[Any]:
    """Up to `size` frames at a time. Single frames are copied, for sources that fill the same memory again."""
    shape: Any = getattr(frames, "shape", None)
    if shape is not None:
        if len(shape) != 4:
            raise FrameError(f"found an array of shape {tuple(shape)}; expected (T, H, W, 3)")
        array: Any = frames
        yield from (array[first : first + size] for first in range(0, shape[0], size))
        return
    left = iter(frames)
    while batch := [np.array(frame) for frame in islice(left, size)]:
        if len({frame.shape for frame in batch}) > 1:
            shapes = ", ".join(sorted({str(frame.shape) for frame in batch}))
            raise FrameError(f"found frames of the shapes {shapes}; expected one size")
        yield np.stack(batch)
