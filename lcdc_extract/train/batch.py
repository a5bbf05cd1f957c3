"""What one step trains on, and where such batches come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lcdc_extract.train.recipe import Phase

IGNORED = -100
"""Label of a window that nothing is to be learned of; cross_entropy's ignore_index."""


@dataclass(frozen=True)
class Batch:
    """N clips, or single frames, with what is to be learned of them."""

    frames: Tensor
    """(N, T, 3, H, W) uint8, RGB."""
    labels: Tensor
    """(N, W) int64: class of each window, or IGNORED."""
    layout: Tensor | None = None
    """(N, T, H / 4, W / 4) int64: what a synthetic clip shows where, see LAYOUT_CLASSES."""

    def to(self, device: torch.device) -> Batch:
        """A copy on a device."""
        layout = None if self.layout is None else self.layout.to(device, non_blocking=True)
        return Batch(self.frames.to(device, non_blocking=True), self.labels.to(device, non_blocking=True), layout)


class TrainingData(Protocol):
    """Batches for training and validation. Which ones depends on the seed and the step alone, so a run can go on
    wherever it was stopped."""

    class_names: tuple[str, ...]
    fingerprint: str
    """What the batches are drawn from; a run that goes on must find it unchanged."""

    def steps_per_epoch(self, phase: Phase, processes: int) -> int:
        """How many steps make an epoch."""

    def batches(self, phase: Phase, steps: range, process: int, processes: int) -> Iterator[Batch]:
        """The batches of these steps of a phase, for one process of several."""

    def validation(self, phase: Phase) -> Iterator[Batch]:
        """The same held-out batches at every call."""
