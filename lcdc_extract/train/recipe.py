"""Recipes: what is trained, in which order, on how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lcdc_extract.config import SNIPPET_LENGTH

Task = Literal["locate", "classify"]
Frozen = Literal["nothing", "conv1..conv4x", "conv1..conv_new_1"]
BatchNorm = Literal["trained", "stored"]


@dataclass(frozen=True)
class Phase:
    """A stretch of training with the same data, layers and schedule."""

    name: str
    task: Task
    """"classify": windows of clips. "locate": the synthetic actor's parts in single frames, which teaches an encoder
    that starts from scratch to see, at a sixteenth of the cost of a snippet."""
    steps: int
    batch: int
    """Clips, or frames, a step and process."""
    size: int
    """Pixels of a side: 224, or a smaller multiple of 32 to see the scene cropped closer."""
    learning_rate: float
    """The highest; it rises over the first tenth and falls to nothing as a cosine."""
    windows: tuple[int, ...] = (0,)
    """First frames of the windows that each clip is scored at; the clip ends with the last window."""
    frozen: Frozen = "nothing"
    batch_norm: BatchNorm = "stored"
    """Of the encoder. "trained" uses each batch's own statistics and keeps their running mean for later."""

    @property
    def frames(self) -> int:
        """Length of a clip."""
        return 1 if self.task == "locate" else self.windows[-1] + SNIPPET_LENGTH
