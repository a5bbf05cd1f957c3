"""Reading a feature file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lcdc_extract.errors import OutputError
from lcdc_extract.features.schema import FAILURES, INDEX, ROW_DATASETS, SCHEMA, VIDEOS, VideoFailed


def video_ids(file: h5py.File) -> list[str]:
    """Ids of all videos in an open feature file, sorted: those of its index that are there."""
    videos = file[VIDEOS]
    return sorted(name for name in (row.decode() for row in file[INDEX]["id"]) if name in videos)


@dataclass(frozen=True)
class VideoFeatures:
    """One video of a feature file, read into memory. Row i of each array belongs to the same frame."""

    features: npt.NDArray[np.float32]
    """(T, 1024): fc_new_2."""
    frame_index: npt.NDArray[np.int64]
    """(T,): decoded frame, from 0."""
    time_seconds: npt.NDArray[np.float64]
    """(T,): its presentation time, since the first decoded frame."""
    edge: npt.NDArray[np.bool_]
    """(T,): true where the window would have left the video."""
    damaged: npt.NDArray[np.bool_]
    """(T,): true where the window holds a damaged frame."""
    attributes: dict[str, Any]
    """Source, size, digest, decoder and so on."""

    @property
    def player_seconds(self) -> npt.NDArray[np.float64]:
        """(T,): `time_seconds` on the clock that players and label tools show, which start earlier in some files."""
        return self.time_seconds + float(self.attributes["start_seconds"])


class FeatureFile(Mapping[str, VideoFeatures]):
    """A feature file as a mapping from video id to `VideoFeatures`; videos are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = h5py.File(path, "r", locking=False)  # it is only ever replaced as a whole
        except OSError as error:
            raise OutputError(f"{path} cannot be read as HDF5 ({error})") from error
        schema = self._file.attrs.get("schema")
        if schema != SCHEMA:
            self._file.close()
            raise OutputError(f"{path} has the schema {schema!r}; expected {SCHEMA!r}, as lcdc-extract writes it")
        self._ids = video_ids(self._file)
        self._known = set(self._ids)

    @property
    def attributes(self) -> dict[str, Any]:
        """What made the file: weights, settings, versions."""
        return dict(self._file.attrs)

    @property
    def failures(self) -> list[VideoFailed]:
        """Videos that could not be read, with the reason."""
        return [VideoFailed(*(text.decode() for text in row)) for row in self._file[FAILURES][:]]

    def summary(self) -> list[dict[str, Any]]:
        """One dict per video, from `/index`, without reading features."""
        rows = self._file[INDEX][:]
        return [{name: _plain(row[name]) for name in rows.dtype.names} for row in rows]

    def __getitem__(self, video_id: str) -> VideoFeatures:
        group = self._group(video_id)
        features, frame_index, time_seconds, edge, damaged = (group[name][:] for name in ROW_DATASETS)
        return VideoFeatures(features, frame_index, time_seconds, edge, damaged, dict(group.attrs))

    def attributes_of(self, video_id: str) -> dict[str, Any]:
        """A video's `VideoFeatures.attributes`, without reading its arrays.

        Raises:
            KeyError: there is no such video.
        """
        return dict(self._group(video_id).attrs)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> FeatureFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _group(self, video_id: str) -> h5py.Group:
        if video_id not in self._known:
            raise KeyError(f"no video {video_id!r}; the file holds {', '.join(self._ids) or 'none'}")
        return self._file[VIDEOS][video_id]


def open_features(path: str | Path) -> FeatureFile:
    """Opens a feature file: `open_features("feats.h5")["clip"].features` is a (T, 1024) array.

    Raises:
        OutputError: not a feature file.
    """
    return FeatureFile(Path(path))


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value.item()
