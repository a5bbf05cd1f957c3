"""What the pool and its child processes tell each other, and the memory they share. Both sides import this."""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lcdc_extract.config import Decoder
from lcdc_extract.video.events import Counts, VideoInfo

SLOTS = 3
"""Chunks that can be under way: one being decoded, one waiting, one in use."""

SLOT_BYTES = 8 << 20
"""About how large a chunk gets."""

FRAMES_PER_SLOT = 64
"""At most; small frames would otherwise make long chunks."""

BEAT_SECONDS = 0.2
"""Longest silence of a child that makes progress."""


@dataclass(frozen=True)
class Job:
    """Parent to child: decode this file, or only open it."""

    path: str
    decoder: Decoder
    frame_step: int = 1
    fps: float | None = None
    only_probe: bool = False


@dataclass(frozen=True)
class Free:
    """Parent to child: this slot may be overwritten."""

    slot: int


@dataclass(frozen=True)
class Opened:
    """Child to parent. Unless it was a probe, the parent answers with the memory's descriptor."""

    info: VideoInfo


@dataclass(frozen=True)
class Filled:
    """Child to parent: a slot holds the next sampled frames."""

    slot: int
    index: npt.NDArray[np.int64]
    pts_seconds: npt.NDArray[np.float64]
    frames_decoded: int


@dataclass(frozen=True)
class Beat:
    """Child to parent: still at work."""

    frames_decoded: int


@dataclass(frozen=True)
class Ended:
    """Child to parent: every frame was decoded."""

    counts: Counts


@dataclass(frozen=True)
class Refused:
    """Child to parent: the video cannot be decoded, or not to its end."""

    reason: str


@dataclass(frozen=True)
class Ready:
    """Child to parent: everything of the last job is freed, the next may come."""


class Ring:
    """Memory for `SLOTS` chunks of frames, in a file without a name: it ends with the last process that maps it."""

    def __init__(self, descriptor: int, height: int, width: int) -> None:
        """Maps `descriptor`, which stays open and belongs to the caller.

        Attributes:
            slots: uint8 (SLOTS, T, H, W, 3)
        """
        shape = (SLOTS, _frames_per_slot(height, width), height, width, 3)
        memory = mmap.mmap(descriptor, math.prod(shape))
        self.slots: npt.NDArray[np.uint8] = np.frombuffer(memory, np.uint8).reshape(shape)

    @staticmethod
    def reserve(height: int, width: int) -> int:
        """Makes the file and returns its descriptor.

        Raises:
            OSError: there is not enough memory. Reserving all of it now means no write can fail (SIGBUS) later.
        """
        descriptor = os.memfd_create("lcdc-frames")
        try:
            os.posix_fallocate(descriptor, 0, SLOTS * _frames_per_slot(height, width) * height * width * 3)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def _frames_per_slot(height: int, width: int) -> int:
    return min(FRAMES_PER_SLOT, max(1, SLOT_BYTES // (height * width * 3)))
