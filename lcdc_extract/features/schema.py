"""The feature file, schema `lcdc-features/1`: names, types and the records that go into it.

/                     attributes: schema, what made the file, the settings as JSON; here and at every video and dataset
                      `sha256`, see `digest`
/videos/<id>          attributes of the video, and five datasets with one row per feature
    features          float32 (T, 1024)
    frame_index       int64   (T,)   decoded frame the row stands for, from 0
    time_seconds      float64 (T,)   presentation time of that frame, since the first decoded frame
    edge              bool    (T,)   true where the window would have left the video
    damaged           bool    (T,)   true where the window holds a damaged frame
/index                one row per video
/failures             one row per video that could not be read, with the reason
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

SCHEMA = "lcdc-features/1"
VIDEOS, INDEX, FAILURES = "videos", "index", "failures"
ROW_DATASETS = ("features", "frame_index", "time_seconds", "edge", "damaged")

TEXT = h5py.string_dtype()
INDEX_TYPE = np.dtype(
    [
        ("id", TEXT),
        ("rows", np.int64),
        ("edge_rows", np.int64),
        ("damaged_rows", np.int64),
        ("incomplete", np.bool_),
        ("frames_decoded", np.int64),
        ("frames_per_second", np.float64),
        ("width", np.int64),
        ("height", np.int64),
    ]
)
FAILURES_TYPE = np.dtype([("id", TEXT), ("path", TEXT), ("reason", TEXT)])


@dataclass(frozen=True)
class RunRecord:
    """What produced a feature file."""

    identity: dict[str, Any]
    """Settings that change the features. Videos share a file only where all of these agree."""
    attributes: dict[str, Any]
    """Everything else worth knowing, stored as attributes of the file."""


@dataclass(frozen=True)
class VideoFailed:
    """A video has no features; the others go on."""

    id: str
    path: str
    """As it was given."""
    reason: str


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Settings two runs disagree in, as text: `stride: the file has 1, this run 2`."""
    return [
        f"{name}: the file has {found.get(name)}, this run {wanted.get(name)}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
