"""SHA-256 of all that a reader can see of a feature file: of each dataset, chained into its video's, and the file's.

Every digest is an attribute `sha256` of what it is of, in hexadecimal. A digest is over text lines:

    dataset     a line "name dtype shape", and then the raw numbers, little-endian, in C order
    video       "dataset digest" for each dataset, and "name value" for each attribute, the value as JSON
    file        "id digest" for each video, "id, path, reason" of each failure, and "name value" for each attribute

The index repeats what the videos say, so that it needs none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from lcdc_extract.features.part import BLOCK_ROWS
from lcdc_extract.features.schema import FAILURES, ROW_DATASETS, VIDEOS

SHA256 = "sha256"


class DatasetDigest:
    """Of a dataset whose rows pass by in blocks."""

    def __init__(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._hash = hashlib.sha256(f"{name} {dtype.newbyteorder('<').str} {shape}\n".encode())

    def update(self, rows: np.ndarray[Any, Any]) -> None:
        """Takes the next rows."""
        self._hash.update(np.ascontiguousarray(rows, rows.dtype.newbyteorder("<")).tobytes())

    def hexdigest(self) -> str:
        """Of the rows so far."""
        return self._hash.hexdigest()


def dataset_digest(name: str, dataset: h5py.Dataset) -> str:
    """Of a dataset, read from the file."""
    digest = DatasetDigest(name, dataset.dtype, dataset.shape)
    for rows in blocks(dataset):
        digest.update(rows)
    return digest.hexdigest()


def blocks(dataset: h5py.Dataset) -> Iterator[np.ndarray[Any, Any]]:
    """A dataset's rows, not too many at once."""
    for begin in range(0, len(dataset), BLOCK_ROWS):
        yield dataset[begin : begin + BLOCK_ROWS]


def video_digest(group: h5py.Group) -> str:
    """Of a video, from the digests that its datasets have as attributes."""
    datasets = (f"{name} {group[name].attrs[SHA256]}" for name in ROW_DATASETS)
    return _of_lines([*datasets, *_attribute_lines(group)])


def file_digest(file: h5py.File, ids: list[str]) -> str:
    """Of a file, from the digests that its videos have as attributes."""
    videos = (f"{name} {file[VIDEOS][name].attrs[SHA256]}" for name in sorted(ids))
    failures = (json.dumps([text.decode() for text in row]) for row in file[FAILURES][:])
    return _of_lines([*videos, *failures, *_attribute_lines(file)])


def _attribute_lines(item: h5py.Group) -> Iterator[str]:
    for name, value in sorted(item.attrs.items()):
        if name != SHA256:
            plain = value.item() if isinstance(value, np.generic) else value
            yield f"{name} {json.dumps(plain)}"


def _of_lines(lines: list[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")).hexdigest()
