"""What a run keeps on disk so that it can go on after any kill: one file, replaced as a whole."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lcdc_extract.errors import TrainingError
from lcdc_extract.train.config import CHECKPOINT


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
    history: list[dict[str, Any]] = field(default_factory=list)
    """One row an epoch."""


def save_state(directory: Path, state: TrainState) -> None:
    """Writes the checkpoint, all or nothing.

    Raises:
        TrainingError: the disk refuses.
    """
    path = directory / CHECKPOINT
    unfinished = path.with_suffix(".part")
    try:
        torch.save(vars(state), unfinished)
        os.replace(unfinished, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise TrainingError(
            f"cannot write {path}: {error}. The last checkpoint is kept; make room and start again."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def load_state(directory: Path, run: dict[str, Any]) -> TrainState | None:
    """The checkpoint in a directory, or None where there is none.

    Raises:
        TrainingError: it is damaged, or belongs to a run with other settings.
    """
    path = directory / CHECKPOINT
    if not path.exists():
        return None
    try:
        state = TrainState(**torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, TypeError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{path} cannot be read ({_first_line(error)}). Move it away to start anew.") from error
    differing = sorted(name for name in run if state.run.get(name) != run[name])
    if differing:
        shown = "; ".join(f"{name} was {state.run.get(name)!r}, now {run[name]!r}" for name in differing)
        raise TrainingError(f"{path} belongs to a run with other settings: {shown}. Give them again, or another OUT.")
    return state


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
