"""Batches from labelled videos."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from lcdc_extract.errors import TrainingError
from lcdc_extract.labels import IntArray
from lcdc_extract.train.batch import Batch
from lcdc_extract.train.config import TrainConfig
from lcdc_extract.train.dataset import frame_labels, read_dataset
from lcdc_extract.train.events import Reporter
from lcdc_extract.train.frames import TRAINING_SIDE, VALIDATION_SIDE, FrameCache, VideoFrames, resize
from lcdc_extract.train.processes import Processes
from lcdc_extract.train.recipe import Phase
from lcdc_extract.train.snippets import PURITY, Clips, find_clips
from lcdc_extract.video import VideoSource, stamp_of

VALIDATION_BATCHES = 64
"""At most; their clips are spread evenly over the videos."""
AHEAD = 4
"""Batches prepared while the network trains on another."""
ORDER, JITTER = 0, 1
"""What a random generator is for: first part of its seed."""


class LabelledVideos:
    """Clips of videos in a new order each epoch, with the authors' jitter: resized to a random size from 224 to 246 and
    cropped to 224 at a random place, one size and place a clip. Validation sees frames as extraction does.

    Raises:
        LcdcError: videos or labels are missing, cannot be read or do not fit together.
    """

    def __init__(self, config: TrainConfig, device: torch.device, processes: Processes, report: Reporter) -> None:
        self._seed, self._stride, self._device = config.seed, config.stride, device
        data = read_dataset(config, report)
        self.class_names = data.class_names
        sides = dict.fromkeys(data.train, TRAINING_SIDE) | dict.fromkeys(data.validation, VALIDATION_SIDE)
        cache = FrameCache(config.out / "frames", config.frame_step, config.decoder)
        cache.fill(dict([*sides.items()][processes.rank :: processes.count]), report)
        processes.wait()

        def labelled(video: VideoSource) -> tuple[VideoFrames, IntArray]:
            frames = cache.open(video, sides[video])
            return frames, frame_labels(video, frames, data.labels[video.id], config.frame_step)

        self._train, self._validation = ([labelled(video) for video in part] for part in (data.train, data.validation))
        self._clips: dict[tuple[int, ...], Clips] = {}
        digest = _fingerprint(sides, [labels for _, labels in (*self._train, *self._validation)])
        self.fingerprint = f"{len(self._train)} labelled videos, {digest}"

    def steps_per_epoch(self, phase: Phase, processes: int) -> int:
        """Enough for every clip; the last step is filled up with clips from the epoch's beginning.

        Raises:
            TrainingError: there is no clip.
        """
        return -(-len(self._training_clips(phase)) // (phase.batch * processes))

    def batches(self, phase: Phase, steps: range, process: int, processes: int) -> Iterator[Batch]:
        """See `TrainingData`."""
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
        """See `TrainingData`."""
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
                f"carry one label; after `frame_step` the longest video has {longest} frames. Give longer videos, or a "
                "smaller `frame_step`."
            )
        return clips

    def _frames(
        self, videos: Sequence[tuple[VideoFrames, IntArray]], clips: Clips, number: int, phase: Phase
    ) -> Tensor:
        """(T, side, side, 3) uint8 of one clip, on the device: resizing is work for a GPU where there is one."""
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
    whole = int(rng.integers(size, size * TRAINING_SIDE // 224 + 1))
    top, left = rng.integers(0, whole - size + 1, 2)
    return resize(rgb, whole)[:, :, top : top + size, left : left + size]


def _fingerprint(videos: Iterable[VideoSource], labels: Iterable[IntArray]) -> str:
    digest = hashlib.sha256()
    for video, of_video in zip(videos, labels, strict=True):
        digest.update(f"{video.id} {stamp_of(video.path).size_bytes}".encode() + of_video.tobytes())
    return digest.hexdigest()[:16]
