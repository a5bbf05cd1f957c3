"""One video's rows on their way to disk: a file of its own, published by rename once it is complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lcdc_extract.config import FEATURE_SIZE

CHUNK_ROWS = 256  # 1 MiB of features


class PartWriter:
    """Appends rows to `<path>.unfinished`; `finish` renames it to `path`, and only that makes the video count."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unfinished = path.with_suffix(".unfinished")
        self._file = h5py.File(self._unfinished, "w", locking=False)  # ours alone; network file systems lack locks
        for name, dtype, tail in (
            ("features", np.float32, (FEATURE_SIZE,)),
            ("frame_index", np.int64, ()),
            ("time_seconds", np.float64, ()),
            ("edge", np.bool_, ()),
        ):
            self._file.create_dataset(
                name, shape=(0, *tail), maxshape=(None, *tail), chunks=(CHUNK_ROWS, *tail), dtype=dtype
            )

    def append(self, rows: dict[str, npt.NDArray[Any]]) -> None:
        """Adds rows to each of the four datasets of the schema."""
        for name, values in rows.items():
            dataset = self._file[name]
            before = len(dataset)
            dataset.resize(before + len(values), axis=0)
            dataset[before:] = values

    def finish(self, attributes: dict[str, Any], rows_in_front: int = 0, rows_behind: int = 0) -> int:
        """Repeats the first and last row as asked (negative: cuts rows off the end), and publishes the file.

        Returns:
            The number of rows.
        """
        for name in self._file:
            _pad_rows(self._file[name], rows_in_front, rows_behind)
        if rows_in_front or rows_behind > 0:
            total = len(self._file["edge"])
            self._file["edge"][:rows_in_front] = True
            self._file["edge"][total - max(rows_behind, 0) :] = True
        self._file.attrs.update(attributes | {"complete": True})
        rows = len(self._file["features"])
        self._file.close()
        sync(self._unfinished)
        os.replace(self._unfinished, self.path)
        sync(self.path.parent)
        return rows

    def discard(self) -> None:
        """Throws the rows away."""
        self._file.close()
        self._unfinished.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pad_rows(dataset: h5py.Dataset, front: int, behind: int) -> None:
    rows = len(dataset)
    if front:
        dataset.resize(rows + front, axis=0)
        for stop in range(rows, 0, -CHUNK_ROWS):  # from the end, so that nothing is overwritten before it moved
            start = max(stop - CHUNK_ROWS, 0)
            dataset[start + front : stop + front] = dataset[start:stop]
        dataset[:front] = dataset[front]
    if behind:
        dataset.resize(rows + front + behind, axis=0)
    if behind > 0:
        dataset[-behind:] = dataset[rows + front - 1]
