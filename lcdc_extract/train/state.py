"""What a run keeps on disk so that it can go on after any kill: one file, replaced as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lcdc_extract.errors import TrainingError
from lcdc_extract.files import replacing
from lcdc_extract.train.config import CHECKPOINT
from lcdc_extract.train.events import EpochDone


@dataclass
class TrainState:
    """How far a run has come."""

    run: dict[str, Any]
    """What must be the same when it goes on."""
    phase: int = 0
    step: int = 0
    """Steps of this phase that are done."""
    seconds: float = 0.0
    """Spent so far, over all starts."""
    clips: int = 0
    """Clips or frames seen, over all processes and phases."""
    loss: float = 0.0
    """Sum over this epoch's steps."""
    network: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    """Of this phase; empty at its beginning."""
    history: list[EpochDone] = field(default_factory=list)


def save_state(directory: Path, state: TrainState) -> None:
    """Writes the checkpoint, all or nothing.

    Raises:
        TrainingError: the disk refuses.
    """
    path = directory / CHECKPOINT
    plain = vars(state) | {"history": [dataclasses.asdict(row) for row in state.history]}
    try:
        with replacing(path) as unfinished:
            torch.save(plain, unfinished)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise TrainingError(
            f"cannot write {path}: {error}. The last checkpoint is kept; make room and start again."
        ) from error


def load_state(directory: Path, run: dict[str, Any]) -> TrainState | None:
    """The checkpoint in a directory, or None where there is none.

    Raises:
        TrainingError: it is damaged, or belongs to a run with other settings.
    """
    path = directory / CHECKPOINT
    if not path.exists():
        return None
    with readable(directory):
        plain = torch.load(path, map_location="cpu", weights_only=True)
        state = TrainState(**plain | {"history": [EpochDone(**row) for row in plain["history"]]})
        differing = sorted(name for name in run if state.run.get(name) != run[name])
    if differing:
        shown = "; ".join(f"{name} was {state.run.get(name)!r}, now {run[name]!r}" for name in differing)
        raise TrainingError(
            f"{path} belongs to a run with other settings: {shown}. Give them again, or another directory."
        )
    return state


@contextmanager
def readable(directory: Path) -> Iterator[None]:
    """Around whatever takes a checkpoint apart: one that is damaged, or of another version, can go wrong in any way.

    Raises:
        TrainingError: it does.
    """
    try:
        yield
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise TrainingError(
            f"{directory / CHECKPOINT} cannot be read ({reason}): it is damaged, or another version of lcdc-extract "
            "wrote it. Move it away to start anew."
        ) from error
