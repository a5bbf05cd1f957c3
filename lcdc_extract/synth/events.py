"""What happens while a set is written, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class FramesEncoded:
    """More frames of a video are encoded; all of them at once where it was there already."""

    video: str
    frames: int
    """How many more."""
    length: int
    """Of the whole video."""


Reporter = Callable[[FramesEncoded], None]
