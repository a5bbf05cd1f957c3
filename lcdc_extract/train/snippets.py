"""Which stretches of labelled videos are trained on, and as what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lcdc_extract.config import SNIPPET_LENGTH
from lcdc_extract.labels import IntArray
from lcdc_extract.train.batch import IGNORED

PURITY = 0.7
"""Share of a window's frames that must carry its label."""


@dataclass(frozen=True)
class Clips:
    """N clips of labelled videos, in order of video and time."""

    video: IntArray
    """(N,): place in the list of videos."""
    start: IntArray
    """(N,): first of the clip's sampled frames."""
    labels: IntArray
    """(N, W): class of each window, or IGNORED; at least one of a clip is a class."""

    def __len__(self) -> int:
        return len(self.start)


def window_labels(labels: IntArray, starts: IntArray, classes: int) -> IntArray:
    """The class that at least 70 % of a window's frames carry, or IGNORED where there is none.

    Args:
        labels: (n,) in 0 .. classes - 1, or IGNORED, one per sampled frame.
        starts: first frames of windows, of any shape; each at most n - 16.

    Returns:
        An int64 array of the shape of `starts`.
    """
    seen = np.zeros((len(labels) + 1, classes), np.int32)
    seen[1:] = (labels[:, None] == np.arange(classes)).cumsum(axis=0)
    counts = seen[starts + SNIPPET_LENGTH] - seen[starts]
    return np.where(counts.max(axis=-1) >= PURITY * SNIPPET_LENGTH, counts.argmax(axis=-1), IGNORED)


def find_clips(videos: Sequence[IntArray], windows: Sequence[int], stride: int, classes: int) -> Clips:
    """Clips every `stride` frames that lie wholly inside their video and have a window with a class.

    Args:
        videos: labels of each video's sampled frames, (n,).
        windows: first frames of the windows, counted from the clip's; the clip ends with the last.
    """
    length = windows[-1] + SNIPPET_LENGTH
    parts = []
    for number, labels in enumerate(videos):
        starts = np.arange(0, len(labels) - length + 1, stride)
        found = window_labels(labels, starts[:, None] + np.array(windows), classes)
        usable = (found != IGNORED).any(axis=1)
        parts.append(Clips(np.full(usable.sum(), number), starts[usable], found[usable]))
    return Clips(*(np.concatenate([vars(part)[name] for part in parts]) for name in ("video", "start", "labels")))
