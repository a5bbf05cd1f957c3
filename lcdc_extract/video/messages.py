"""What the pool and its child processes tell each other, and the memory they share. Both sides import this."""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lcdc_extract.video.decoded import Condition
from lcdc_extract.video.events import Counts, VideoInfo
from lcdc_extract.video.parts import Part
from lcdc_extract.video.reading import Reading

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
    reading: Reading
    parts: tuple[Part, ...] = ()
    """What is wanted of it; everything where there are none."""
    only_probe: bool = False
    distrust: str = ""
    """Why decord is not to be tried again, in words."""


@dataclass(frozen=True)
class Free:
    """Parent to child: this slot may be overwritten."""

    slot: int


@dataclass(frozen=True)
class Opened:
    """Child to parent. Unless it was a probe, the parent answers with `Memory`.

    It comes again where another decoder takes over, or frames outgrow that memory: what came before does not count.
    """

    info: VideoInfo
    height: int
    """Of the largest frame that is known."""
    width: int


@dataclass(frozen=True)
class Memory:
    """Parent to child: a descriptor of memory for frames follows. Slots of earlier memory are no longer freed."""


@dataclass(frozen=True)
class Filled:
    """Child to parent: a slot holds the next sampled frames that are needed."""

    slot: int
    place: int
    """Of the first of them among all sampled frames; the others follow it."""
    start_seconds: float
    height: int
    width: int
    index: npt.NDArray[np.int64]
    pts_seconds: npt.NDArray[np.float64]
    damaged: npt.NDArray[np.bool_]
    frames_decoded: int


@dataclass(frozen=True)
class Beat:
    """Child to parent: still at work."""

    frames_decoded: int


@dataclass(frozen=True)
class Ended:
    """Child to parent: every frame was decoded."""

    counts: Counts
    condition: Condition


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
        """Maps `descriptor`, which stays open and belongs to the caller; the size is that of most frames."""
        self._slot_bytes = _slot_bytes(height, width)
        self._memory = mmap.mmap(descriptor, SLOTS * self._slot_bytes)

    def room(self, height: int, width: int) -> int:
        """How many frames of a size fit into a slot."""
        return min(FRAMES_PER_SLOT, self._slot_bytes // (height * width * 3))

    def frames(self, slot: int, count: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        """The first frames of a slot: uint8 (count, H, W, 3), a view."""
        shape = (count, height, width, 3)
        return np.frombuffer(self._memory, np.uint8, math.prod(shape), slot * self._slot_bytes).reshape(shape)

    @staticmethod
    def reserve(height: int, width: int) -> int:
        """Makes the file and returns its descriptor.

        Raises:
            OSError: there is not enough memory. Reserving all of it now means no write can fail (SIGBUS) later.
        """
        descriptor = os.memfd_create("lcdc-frames")
        try:
            os.posix_fallocate(descriptor, 0, SLOTS * _slot_bytes(height, width))
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def _slot_bytes(height: int, width: int) -> int:
    frame = height * width * 3
    return frame * min(FRAMES_PER_SLOT, max(1, SLOT_BYTES // frame))
