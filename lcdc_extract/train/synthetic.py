"""Batches straight from the renderer: nothing is encoded, stored or seen twice."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import torch

from lcdc_extract.config import CENTRE, SNIPPET_LENGTH
from lcdc_extract.synth.actions import CLASSES, Rng, sequence
from lcdc_extract.synth.render import View, layout, render
from lcdc_extract.synth.scene import SCALES, Scene, draw_scene, stack
from lcdc_extract.train.batch import Batch
from lcdc_extract.train.network import LAYOUT_STRIDE
from lcdc_extract.train.recipe import Phase

CUTS = 0.25
"""Share of clips that hold two actions."""
OFF_CENTRE = 8.0
"""How far, in pixels, a close view may miss the actor's home."""
ROOMY = 96
"""Pixels of a view from which the largest scenes fit; closer views see the smaller ones."""
STEPS_PER_EPOCH = 50
VALIDATION_BATCHES = 8


class SyntheticActions:
    """Fresh scenes at every step; those of validation come from other seeds."""

    class_names = CLASSES
    fingerprint = "synthetic actions"

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._device = device

    def steps_per_epoch(self, phase: Phase, processes: int) -> int:
        """Always the same: there is no end of scenes."""
        return STEPS_PER_EPOCH

    def batches(self, phase: Phase, steps: range, process: int, processes: int) -> Iterator[Batch]:
        """See `TrainingData`."""
        for step in steps:
            yield draw_batch(phase, (self._seed, 0, _number(phase), step, process), self._device)

    def validation(self, phase: Phase) -> Iterator[Batch]:
        """See `TrainingData`."""
        for number in range(VALIDATION_BATCHES):
            yield draw_batch(phase, (self._seed, 1, _number(phase), number), self._device)


def _number(phase: Phase) -> int:
    return zlib.crc32(phase.name.encode())


def draw_batch(phase: Phase, key: tuple[int, ...], device: torch.device) -> Batch:
    """The batch that a key (seed, step, process ...) stands for; the same on every machine up to rounding."""
    rng = np.random.default_rng(key)
    clips = [_draw_clip(phase, rng) for _ in range(phase.batch)]
    scene = stack([scene for scene, _ in clips]).to(device)
    view = View(phase.size, phase.size)
    corner = torch.zeros(phase.batch, 2, device=device)
    if phase.size < 224:
        miss = torch.from_numpy(rng.uniform(-OFF_CENTRE, OFF_CENTRE, (phase.batch, 2))).float()
        corner = scene.home - phase.size / 2 + miss.to(device)
    frames = render(scene, view, corner)
    labels = torch.tensor([[names[start + CENTRE] for start in phase.windows] for _, names in clips], device=device)
    return Batch(frames, labels, layout(scene, View(phase.size, phase.size // LAYOUT_STRIDE), corner))


def _draw_clip(phase: Phase, rng: Rng) -> tuple[Scene, list[int]]:
    """A scene of phase.frames frames, and each frame's class."""
    low, high = SCALES
    scale = rng.uniform(low, low + (high - low) * min(phase.size / ROOMY, 1) ** 2)
    length = max(phase.frames, SNIPPET_LENGTH)
    plan = [(int(rng.integers(len(CLASSES))), length)]
    if rng.random() < CUTS:
        cut = int(rng.integers(1, length))
        other = (plan[0][0] + int(rng.integers(1, len(CLASSES)))) % len(CLASSES)
        plan = [(plan[0][0], cut), (other, length - cut)]
    poses = sequence([(CLASSES[number], frames) for number, frames in plan], scale, rng)
    names = [number for number, frames in plan for _ in range(frames)]
    return draw_scene(poses[: phase.frames], scale, rng), names
