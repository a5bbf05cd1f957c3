"""What training tells the outside while it goes, in the first process only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainingNote:
    """Something that is worth knowing and stops nothing."""

    text: str


@dataclass(frozen=True)
class VideoDecoded:
    """A video's frames are kept on disk."""

    id: str
    number: int
    """How many videos are done, this one included."""
    of: int
    """How many this process has to decode."""


@dataclass(frozen=True)
class PhaseStarted:
    """A phase of the recipe begins, or goes on where an earlier run stopped."""

    phase: str
    done: int
    """Steps that an earlier run has taken already."""
    steps: int
    """Of the whole phase."""


@dataclass(frozen=True)
class StepDone:
    """One step of a phase."""

    phase: str
    step: int
    """From 1 to `steps`."""
    steps: int
    loss: float
    """Mean over all processes."""
    learning_rate: float


@dataclass(frozen=True)
class EpochDone:
    """One epoch, as a row of history.csv shows it; what a phase does not measure is None."""

    phase: str
    epoch: int
    """From 1."""
    clips: int
    """Clips or frames seen, over all processes and phases."""
    seconds: float
    """Spent so far, over all starts."""
    learning_rate: float
    """Of the last step."""
    loss: float
    """Mean over the epoch's steps."""
    validation_iou: float | None = None
    validation_accuracy: float | None = None
    validation_motion_accuracy: float | None = None


@dataclass(frozen=True)
class WeightsWritten:
    """The end: the trained network is in a weights file."""

    path: Path


Event = TrainingNote | VideoDecoded | PhaseStarted | StepDone | EpochDone | WeightsWritten
Reporter = Callable[[Event], None]


def silent(event: Event) -> None:
    """Reports nothing."""
