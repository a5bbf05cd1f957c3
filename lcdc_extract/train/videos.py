"""Batches from labelled videos."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lcdc_extract.errors import TrainingError
from lcdc_extract.labels import IntArray
from lcdc_extract.train.batch import Batch
from lcdc_extract.train.config import TrainConfig
from lcdc_extract.train.dataset import Dataset, frame_labels, read_dataset
from lcdc_extract.train.frames import SIDE, FrameCache, VideoFrames, resize
from lcdc_extract.train.processes import Processes
from lcdc_extract.train.recipe import Phase
from lcdc_extract.train.snippets import PURITY, Clips, find_clips
from lcdc_extract.video import VideoSource

VALIDATION_BATCHES = 64
"""At most; their clips are spread evenly over the videos."""
AHEAD = 4
"""Batches prepared while the network trains on another."""
ORDER, JITTER = 0, 1
"""What a random generator is for: first part of its seed."""


class LabelledVideos:
    """Clips of videos in a new order each epoch, with the authors' jitter: resized to a random size from 224 to 246 and
    cropped to 224 at a random place, one size and place a clip. Validation resizes to 224, as extraction does.

    Args:
        report: called while videos are decoded, see `FrameCache.fill`.

    Raises:
        LcdcError: videos or labels are missing, cannot be read or do not fit together.
    """

    def __init__(
        self, config: TrainConfig, device: torch.device, processes: Processes, report: Callable[[dict[str, Any]], None]
    ) -> None:
        self._seed, self._stride, self._device = config.seed, config.stride, device
        data = read_dataset(config)
        self.class_names = data.class_names
        cache = FrameCache(config.out / "frames", config.frame_step, config.decoder)
        cache.fill([*data.train, *data.validation][processes.rank :: processes.count], report)
        processes.wait()
        self._train = [_open(cache, video, data, config.frame_step) for video in data.train]
        self._validation = [_open(cache, video, data, config.frame_step) for video in data.validation]
        self._clips: dict[tuple[int, ...], Clips] = {}
        digest = hashlib.sha256()
        opened = [*self._train, *self._validation]
        for video, (_, labels) in zip([*data.train, *data.validation], opened, strict=True):
            digest.update(f"{video.id} {video.path.stat().st_size}".encode() + labels.tobytes())
        self.fingerprint = f"{len(self._train)} labelled videos, {digest.hexdigest()[:16]}"

    def steps_per_epoch(self, phase: Phase, processes: int) -> int:
        """Enough for every clip; the last step is filled up with clips from the epoch's beginning.

        Raises:
            TrainingError: there is no clip.
        """
        return -(-len(self._training_clips(phase)) // (phase.batch * processes))

    def batches(self, phase: Phase, steps: range, process: int, processes: int) -> Iterator[Batch]:
        """See `Source`."""
        pool = ThreadPoolExecutor(AHEAD)  # reading and resizing release Python's lock
        waiting: deque[Future[Batch]] = deque()
        try:
            for step in steps:
                waiting.append(pool.submit(self._batch, phase, step, process, processes))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def validation(self, phase: Phase) -> Iterator[Batch]:
        """See `Source`."""
        if not self._validation:
            return
        clips = self._find(self._validation, phase)
        count = min(len(clips), VALIDATION_BATCHES * phase.batch)
        numbers = np.linspace(0, len(clips) - 1, count).round().astype(int)
        for first in range(0, count, phase.batch):
            chosen = numbers[first : first + phase.batch]
            frames = [resize(self._frames(self._validation, clips, number, phase), phase.size) for number in chosen]
            yield Batch(torch.stack(frames), torch.from_numpy(clips.labels[chosen]))

    def _batch(self, phase: Phase, step: int, process: int, processes: int) -> Batch:
        clips, phase_key = self._training_clips(phase), zlib.crc32(phase.name.encode())
        epoch, place = divmod(step, self.steps_per_epoch(phase, processes))
        order = np.random.default_rng((ORDER, self._seed, phase_key, epoch)).permutation(len(clips))
        first = (place * processes + process) * phase.batch
        chosen = order[np.arange(first, first + phase.batch) % len(clips)]
        rng = np.random.default_rng((JITTER, self._seed, phase_key, step, process))
        frames = [jitter(self._frames(self._train, clips, number, phase), phase.size, rng) for number in chosen]
        return Batch(torch.stack(frames), torch.from_numpy(clips.labels[chosen]))

    def _training_clips(self, phase: Phase) -> Clips:
        if phase.windows not in self._clips:
            self._clips[phase.windows] = self._find(self._train, phase)
        return self._clips[phase.windows]

    def _find(self, videos: Sequence[tuple[VideoFrames, IntArray]], phase: Phase) -> Clips:
        clips = find_clips([labels for _, labels in videos], phase.windows, self._stride, len(self.class_names))
        if not len(clips):
            longest = max(len(labels) for _, labels in videos)
            raise TrainingError(
                f"none of {len(videos)} videos has a clip of {phase.frames} frames in which {PURITY:.0%} of a snippet "
                f"carry one label; after --frame-step the longest video has {longest} frames. Give longer videos, or a "
                "smaller --frame-step."
            )
        return clips

    def _frames(
        self, videos: Sequence[tuple[VideoFrames, IntArray]], clips: Clips, number: int, phase: Phase
    ) -> Tensor:
        """(T, 246, 246, 3) uint8 of one clip, on the device: resizing is work for a GPU where there is one."""
        start = clips.start[number]
        rgb = videos[clips.video[number]][0].rgb[start : start + phase.frames]
        return torch.from_numpy(np.array(rgb)).to(self._device)


def jitter(rgb: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    """One random crop of `size` out of frames resized to at most 246/224 of it.

    Args:
        rgb: (T, 246, 246, 3) uint8.

    Returns:
        (T, 3, size, size) uint8.
    """
    whole = int(rng.integers(size, size * SIDE // 224 + 1))
    top, left = rng.integers(0, whole - size + 1, 2)
    return resize(rgb, whole)[:, :, top : top + size, left : left + size]


def _open(cache: FrameCache, video: VideoSource, data: Dataset, frame_step: int) -> tuple[VideoFrames, IntArray]:
    frames = cache.open(video)
    return frames, frame_labels(video, frames, data.labels[video.id], frame_step)
