"""Recipes: what is trained, in which order, on how much, and how fast."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from lcdc_extract.config import SNIPPET_LENGTH

Task = Literal["layout", "classify"]
Frozen = Literal["nothing", "encoder"]
BatchNorm = Literal["stored", "trained", "trained, then stored"]
TRAINED_SHARE = 2 / 3
"""Of the epochs, where batch norm is trained first."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training with the same data, layers and schedule."""

    name: str
    task: Task
    """"classify": windows of clips. "layout": what is where in single synthetic frames, which teaches an encoder that
    starts from scratch to see, at a sixteenth of the cost of a snippet; no frame tells its class."""
    epochs: int
    batch: int
    """Clips, or frames, a step and process."""
    learning_rate: float
    """The highest."""
    size: int = 224
    """Pixels of a side; a smaller multiple of 32 sees the synthetic scene cropped closer."""
    windows: tuple[int, ...] = (0,)
    """First frames of the windows that each clip is scored at; the clip ends with the last window."""
    frozen: Frozen = "nothing"
    """"encoder": conv1 to conv_new_1, whose gradients a processor cannot afford at 224x224."""
    batch_norm: BatchNorm = "stored"
    """Of the encoder. "trained" uses each batch's own statistics and keeps their running mean for later; "trained, then
    stored" does so for the first two thirds of the epochs."""

    @property
    def frames(self) -> int:
        """Length of a clip."""
        return 1 if self.task == "layout" else self.windows[-1] + SNIPPET_LENGTH

    def trains_batch_norm(self, step: int, steps: int) -> bool:
        """Whether step `step` out of `steps` uses its batch's own statistics."""
        if self.batch_norm == "trained, then stored":
            return step * self.epochs // steps < round(TRAINED_SHARE * self.epochs)
        return self.batch_norm == "trained"


@dataclass(frozen=True)
class Recipe:
    """Everything about the optimisation that is not the data."""

    phases: tuple[Phase, ...]
    optimizer: Literal["momentum", "adamw"]
    schedule: Literal["staircase", "cosine"]
    """staircase: 0.96 times the rate every ten epochs. cosine: up over the first tenth of a phase, then down to 0."""
    weight_decay: float
    """L2 with momentum, decoupled with AdamW; of weights, not of biases and batch norm."""
    encoder_rate: float = 1.0
    """Learning rate of the encoder, relative to the others, once a phase classifies."""
    offset_rate: float = 1.0
    """Learning rate of the offset layers, relative to the others, in every phase."""
    motion_gain: float = 1.0
    """How much larger training sees the offset differences; see `network.divide_motion`."""
    motion_loss: float = 0.0
    """Weight of the helper that sees offset differences alone."""
    layout_loss: float = 0.0
    """Weight of the layouts of a synthetic clip's frames while its windows are classified."""
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    """Largest norm of the gradient."""

    def rate(self, phase: Phase, step: int, steps: int) -> float:
        """Learning rate of one step out of `steps` of a phase."""
        if self.schedule == "staircase":
            epoch = step * phase.epochs // steps
            return float(phase.learning_rate * 0.96 ** (epoch // 10))
        rise = max(steps // 10, 1)
        if step < rise:
            return phase.learning_rate * (step + 1) / rise
        return phase.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))

    def from_scratch(self) -> Recipe:
        """For an encoder without pretrained weights, which learns as fast as the rest and trains batch norm first."""
        phases = tuple(dataclasses.replace(phase, batch_norm="trained, then stored") for phase in self.phases)
        return dataclasses.replace(self, phases=phases, encoder_rate=1.0)


AUTHORS = Recipe(
    phases=(Phase("snippets", "classify", epochs=30, batch=3, learning_rate=1e-4),),
    optimizer="momentum",
    schedule="staircase",
    weight_decay=1e-4 * 0.0005,  # the released loss adds 1e-4 times the sum over layers of 0.0005 w^2 / 2
)
"""The paper's and the released code's: momentum 0.9, batches of 3, rate 1e-4 times 0.96 every 10 of 30 epochs."""

MODERN = Recipe(
    phases=(Phase("snippets", "classify", epochs=30, batch=16, learning_rate=5e-4, windows=(0, 4, 8)),),
    optimizer="adamw",
    schedule="cosine",
    weight_decay=0.02,
    encoder_rate=0.2,
    offset_rate=0.02,
    motion_gain=100.0,
    motion_loss=0.4,
    label_smoothing=0.05,
    clip_norm=5.0,
)
"""AdamW with warm-up and cosine, clipped gradients, three overlapping windows a clip."""

_WINDOWS = (0, 4, 8)

SYNTHETIC_CPU = dataclasses.replace(
    MODERN,
    phases=(
        Phase("frames", "layout", epochs=20, batch=20, learning_rate=1e-3, size=64, batch_norm="trained"),
        Phase("close", "classify", epochs=7, batch=8, learning_rate=3e-4, size=64, windows=_WINDOWS),
        Phase("wider", "classify", epochs=5, batch=4, learning_rate=1.5e-4, size=128, windows=_WINDOWS),
        Phase("full", "classify", epochs=2, batch=4, learning_rate=3e-4, windows=_WINDOWS, frozen="encoder"),
    ),
    encoder_rate=0.5,
    layout_loss=0.3,
)
"""What two CPU cores can do in some hours: close views of the scene, and the head alone at full size."""

SYNTHETIC_GPU = dataclasses.replace(
    MODERN,
    phases=(
        Phase("frames", "layout", epochs=10, batch=256, learning_rate=2e-3, size=96, batch_norm="trained"),
        Phase("close", "classify", epochs=15, batch=48, learning_rate=5e-4, size=96, windows=_WINDOWS),
        Phase("full", "classify", epochs=8, batch=32, learning_rate=2e-4, windows=_WINDOWS),
    ),
    encoder_rate=0.5,
    layout_loss=0.3,
)
"""The same with the batches of one large GPU, and gradients of the encoder at full size; not tried on one yet."""

RECIPES = {"authors": AUTHORS, "modern": MODERN, "synthetic-cpu": SYNTHETIC_CPU, "synthetic-gpu": SYNTHETIC_GPU}
