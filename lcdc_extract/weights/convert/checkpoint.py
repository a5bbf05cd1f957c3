"""A checkpoint as every family of files presents it: names and shapes at once, numbers one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """Somebody's tensors, under their own names."""

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], Array]
    """The numbers of one name."""


def in_memory(arrays: dict[str, Array]) -> Checkpoint:
    """A checkpoint that is already read."""
    return Checkpoint({name: tuple(array.shape) for name, array in arrays.items()}, arrays.__getitem__)
