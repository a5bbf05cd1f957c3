"""Puts finished parts, and the videos of an older file, into one HDF5 file."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lcdc_extract.features.digest import SHA256, DatasetDigest, file_digest, video_digest
from lcdc_extract.features.part import ROW, Part
from lcdc_extract.features.reader import video_ids
from lcdc_extract.features.schema import (
    FAILURES,
    FAILURES_TYPE,
    INDEX,
    INDEX_TYPE,
    ROW_DATASETS,
    SCHEMA,
    VIDEOS,
    RunRecord,
    VideoFailed,
)

OVERHEAD_BYTES = 64 << 10
"""More than HDF5 needs beside the rows, per video and for the file."""


def assemble(
    path: Path, old: Path | None, parts: dict[str, Part], record: RunRecord, failures: Iterable[VideoFailed]
) -> None:
    """Writes a feature file.

    Args:
        path: written; not yet the output.
        old: a feature file whose videos are taken over, unless a part has the same id.
        parts: by video id.
        failures: of this run; those of `old` stay unless the video is finished now.

    Raises:
        OSError: there is no room for it.
    """
    failures = list(failures)
    size_bytes = _size_bytes(old, parts, record, failures)
    with h5py.File(path, "w", locking=False) as file:  # ours alone; network file systems lack locks
        file.flush()
        _reserve(path, size_bytes)
        _set_attributes(file, {"schema": SCHEMA, "identity": json.dumps(record.identity)} | record.attributes)
        videos = file.create_group(VIDEOS)
        names = _copy_videos(old, videos, without=parts) if old else []
        for name, part in parts.items():
            _write_video(videos.require_group(name), part)
        names = sorted([*names, *parts])
        file[INDEX] = _index(videos, names)
        file[FAILURES] = _failures(old, failures, set(names))
        file.attrs[SHA256] = file_digest(file, names)
        file.flush()
        used_bytes = file.id.get_filesize()
    os.truncate(path, used_bytes)


def _size_bytes(old: Path | None, parts: dict[str, Part], record: RunRecord, failures: Iterable[VideoFailed]) -> int:
    """At least what the file will take."""
    texts = sum(len(str(value)) for value in (record.identity, *record.attributes.values()))  # thousands of inputs
    texts += sum(len(text) for failure in failures for text in astuple(failure))
    videos = sum(part.size_bytes + OVERHEAD_BYTES for part in parts.values())
    return (old.stat().st_size if old else 0) + videos + 4 * texts + 2 * OVERHEAD_BYTES


def _reserve(path: Path, size_bytes: int) -> None:
    """Claims room on the disk, because HDF5 does not survive a write that fails."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    finally:
        os.close(descriptor)


def _copy_videos(path: Path, target: h5py.Group, without: Container[str]) -> list[str]:
    """Takes over the videos of another feature file; returns their ids."""
    with h5py.File(path, "r", locking=False) as source:
        names = [name for name in video_ids(source) if name not in without]
        for name in names:
            old, group = source[VIDEOS][name], target.require_group(name)
            for dataset in ROW_DATASETS:
                source.copy(old[dataset], group, name=dataset)
            group.attrs.update(old.attrs)
    return names


def _write_video(group: h5py.Group, part: Part) -> None:
    digests = {}
    for name in ROW_DATASETS:
        base, shape = ROW[name].base, (len(part), *ROW[name].shape)
        group.create_dataset(name, shape, base)
        digests[name] = DatasetDigest(name, base, shape)
    for begin, block in part.blocks():
        for name in ROW_DATASETS:
            group[name][begin : begin + len(block)] = block[name]
            digests[name].update(block[name])
    for name in ROW_DATASETS:
        group[name].attrs[SHA256] = digests[name].hexdigest()
    _set_attributes(group, {key: value for key, value in part.attributes.items() if key != "id"} | {"complete": True})
    group.attrs[SHA256] = video_digest(group)


def _index(videos: h5py.Group, names: Iterable[str]) -> npt.NDArray[Any]:
    rows = []
    for name in names:
        group = videos[name]
        fields = [group.attrs[key] for key in ("frames_decoded", "frames_per_second", "width", "height")]
        edge_rows, damaged_rows = (int(np.count_nonzero(group[dataset])) for dataset in ("edge", "damaged"))
        incomplete = bool(group.attrs["incomplete"])
        rows.append((name, len(group["features"]), edge_rows, damaged_rows, incomplete, *fields))
    return np.array(rows, dtype=INDEX_TYPE)


def _failures(old: Path | None, failures: Iterable[VideoFailed], finished: Container[str]) -> npt.NDArray[Any]:
    rows: dict[str, tuple[str, ...]] = {}
    if old:
        with h5py.File(old, "r", locking=False) as file:
            rows = {row[0].decode(): tuple(text.decode() for text in row) for row in file[FAILURES][:]}
    rows |= {failure.id: tuple(_text(field) for field in astuple(failure)) for failure in failures}
    return np.array([row for key, row in sorted(rows.items()) if key not in finished], dtype=FAILURES_TYPE)


def _set_attributes(item: h5py.Group, values: dict[str, Any]) -> None:
    item.attrs.update({key: _text(value) if isinstance(value, str) else value for key, value in values.items()})


def _text(text: str) -> str:
    r"""What HDF5 can store: bytes of a path that are not UTF-8 become \xNN, and NUL goes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "")
