"""Whole videos: segments of random classes, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcdc_extract.synth.actions import CLASSES, FRAMES_PER_SECOND, Rng, sequence
from lcdc_extract.synth.render import View, render
from lcdc_extract.synth.scene import SCALES, SCENE_SIZE, Scene, draw_scene, stack

SECONDS = (60.0, 180.0)
"""Shortest and longest video; four in five are shorter than 100 s."""
SEGMENT_FRAMES = (20, 90)
"""Shortest and longest segment."""
CHUNK = 32
"""Frames rendered together, at most."""


@dataclass(frozen=True)
class SyntheticVideo:
    """A video of T frames that is not drawn yet."""

    name: str
    scene: Scene
    labels: npt.NDArray[np.int64]
    """(T,): the number of each frame's class in CLASSES."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def segments(self) -> int:
        """Runs of one class."""
        return 1 + int(np.count_nonzero(np.diff(self.labels)))


def video_name(index: int) -> str:
    """The name of video `index` of any set."""
    return f"synth-{index:04d}"


def draw_video(seed: int, index: int) -> SyntheticVideo:
    """Video `index` of the set `seed`; how many others there are makes no difference."""
    rng = np.random.default_rng([seed, index])
    shortest, longest = SECONDS
    seconds = shortest + (longest - shortest) * rng.beta(1, 4)
    plan = _draw_plan(round(seconds * FRAMES_PER_SECOND), rng)
    scale = rng.uniform(*SCALES)
    poses = sequence([(CLASSES[label], frames) for label, frames in plan], scale, rng)
    labels, frames = np.array(plan, dtype=np.int64).T
    return SyntheticVideo(video_name(index), draw_scene(poses, scale, rng), np.repeat(labels, frames))


def render_video(video: SyntheticVideo, device: torch.device, pixels: int = SCENE_SIZE) -> Iterator[Tensor]:
    """Draws the whole scene in order, (n, 3, pixels, pixels) uint8 RGB on the device, n at most CHUNK."""
    for start in range(0, len(video), CHUNK):
        scene = stack([video.scene.frames(slice(start, start + CHUNK))])
        yield render(scene.to(device), View(pixels=pixels))[0]


def _draw_plan(num_frames: int, rng: Rng) -> list[tuple[int, int]]:
    """Segments (class, frames) of the length given; none has the class of the one before."""
    shortest, longest = SEGMENT_FRAMES
    plan: list[tuple[int, int]] = []
    left = num_frames
    while left:
        others = [label for label in range(len(CLASSES)) if not plan or label != plan[-1][0]]
        frames = left
        if left > longest:
            frames = int(rng.integers(shortest, min(longest, left - shortest), endpoint=True))
        plan.append((int(rng.choice(others)), frames))
        left -= frames
    return plan
