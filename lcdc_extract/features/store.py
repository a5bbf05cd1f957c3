"""The output of a run: finished videos are kept as parts beside the output, and put together in one step at the end.

Killed at any moment, the output is either the old file or the new one, and no finished video is lost.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Container, Iterable
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lcdc_extract.errors import OutputError
from lcdc_extract.features.part import ROW, Part, PartWriter, sync, write_and_rename
from lcdc_extract.features.reader import video_ids
from lcdc_extract.features.schema import (
    FAILURES,
    FAILURES_TYPE,
    INDEX,
    INDEX_TYPE,
    ROW_DATASETS,
    SCHEMA,
    VIDEOS,
    Failure,
    RunRecord,
    differences,
)

PART_CARDS = "[0-9a-f]" * 24 + ".json"
IDENTITY = "run.json"
OVERHEAD_BYTES = 64 << 10
"""More than HDF5 needs beside the rows, per video and for the file."""


def check_output(out: Path) -> None:
    """Cheap checks before anything is loaded: the place can be written and what is there is ours.

    Raises:
        OutputError: says what is wrong with `out`.
    """
    if out.is_dir():
        raise OutputError(f"--out {out} is a directory; expected a file name, for example {out / 'feats.h5'}")
    folder = out.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"--out {out}: the directory {folder} does not exist. Create it: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"--out {out}: no permission to write in {folder}")
    if out.exists():
        _read_identity(out)


def check_ids(ids: Iterable[str]) -> None:
    """Refuses ids that HDF5 could not keep apart: videos "a" and "a/features" would need the same place.

    Raises:
        OutputError: names both videos.
    """
    known = set(ids)
    for name in known:
        parent, _, last = name.rpartition("/")
        if parent in known and last in ROW_DATASETS:
            raise OutputError(
                f"videos {parent!r} and {name!r} cannot share a file: {last!r} is a dataset of the first. Rename one."
            )


class FeatureStore:
    """Where the features of one run go. Use as a context manager; it locks the output against other runs."""

    def __init__(self, out: Path, record: RunRecord, *, overwrite: bool = False) -> None:
        """Opens the output, new or from an earlier run of the same settings.

        Raises:
            OutputError: the output cannot be written, is not ours, was made with other settings, or is in use.
        """
        self.out, self.record = out, record
        self.parts = out.with_name(out.name + ".parts")
        if not overwrite:
            check_output(out)
        self.parts.mkdir(exist_ok=True)
        self._lock = self._acquire()
        try:
            if overwrite:
                self._clear()
            self._settle_identity()
            self._drop_unfinished()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def finished(self) -> dict[str, dict[str, Any]]:
        """Videos that need no more work: id -> attributes of the video."""
        found = {}
        if self.out.exists():
            with h5py.File(self.out, "r", locking=False) as file:
                found = {name: dict(file[VIDEOS][name].attrs) for name in video_ids(file)}
        return found | {name: part.attributes for name, part in self._finished_parts().items()}

    def has_parts(self) -> bool:
        """Whether finished videos wait to be put into the output."""
        return any(self.parts.glob(PART_CARDS))

    def writer(self, video_id: str) -> PartWriter:
        """A writer for one video's rows; `finish` it with attributes that hold the id."""
        return PartWriter(self.parts / hashlib.sha256(video_id.encode()).hexdigest()[:24])

    def publish(self, failures: Iterable[Failure]) -> int:
        """Puts all finished videos, of this run and earlier ones, into the output in one step.

        Returns:
            The number of videos in the output; with 0 no output is written.

        Raises:
            OSError: there is no room for it; parts and the old output are untouched.
        """
        finished = self.finished()
        if finished:
            self._assemble(self.parts / "assembled.unfinished", failures)
        shutil.rmtree(self.parts)
        return len(finished)

    def close(self) -> None:
        """Releases the lock; finished parts stay for the next run."""
        os.close(self._lock)
        if self.parts.is_dir() and not self.has_parts():
            shutil.rmtree(self.parts)

    def _finished_parts(self) -> dict[str, Part]:
        parts = [Part(card) for card in sorted(self.parts.glob(PART_CARDS))]
        return {part.attributes["id"]: part for part in parts}

    def _assemble(self, path: Path, failures: Iterable[Failure]) -> None:
        parts = self._finished_parts()
        old_bytes = self.out.stat().st_size if self.out.exists() else 0
        rows = sum(len(part) for part in parts.values())
        with h5py.File(path, "w", locking=False) as file:  # ours alone; network file systems lack locks
            file.flush()
            _reserve(path, old_bytes + rows * ROW.itemsize + OVERHEAD_BYTES * (2 + len(parts)))
            file.attrs.update({"schema": SCHEMA, "identity": json.dumps(self.record.identity)})
            file.attrs.update(self.record.attributes)
            videos = file.create_group(VIDEOS)
            if self.out.exists():
                _copy_videos(self.out, videos, without=parts)
            for name, part in parts.items():
                _write_video(videos.require_group(name), part)
            file[INDEX] = _index(file)
            file[FAILURES] = self._failures(failures, set(video_ids(file)))
            file.flush()
            used_bytes = file.id.get_filesize()
        os.truncate(path, used_bytes)
        sync(path)
        os.replace(path, self.out)
        sync(self.out.absolute().parent)

    def _acquire(self) -> int:
        lock = os.open(self.parts / "lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise OutputError(
                f"another run is writing {self.out}. Wait for it to end, or choose another --out."
            ) from None
        except OSError as error:
            os.close(lock)
            raise OutputError(
                f"cannot lock {self.parts / 'lock'}: {error}. Choose an --out on a local disk."
            ) from error
        return lock

    def _clear(self) -> None:
        for path in (*self.parts.glob(PART_CARDS), self.parts / IDENTITY):
            path.unlink(missing_ok=True)
        if self.out.exists():
            _read_identity(self.out)  # never delete a file that is not ours
            self.out.unlink()

    def _settle_identity(self) -> None:
        wanted = json.loads(json.dumps(self.record.identity))
        stored = self.parts / IDENTITY
        for path, found in (
            (self.out, _read_identity(self.out) if self.out.exists() else wanted),
            (self.parts, json.loads(stored.read_text()) if stored.exists() else wanted),
        ):
            if found != wanted:
                raise OutputError(
                    f"{path} was made with other settings:\n  "
                    + "\n  ".join(differences(found, wanted))
                    + "\nGive the same settings to continue it, another --out, or --overwrite to start anew."
                )
        write_and_rename(stored, json.dumps(wanted))

    def _drop_unfinished(self) -> None:
        for path in (*self.parts.glob("*.unfinished"), *self.parts.glob("*.rows")):
            if not path.with_suffix(".json").exists():
                path.unlink()

    def _failures(self, failures: Iterable[Failure], finished: set[str]) -> npt.NDArray[Any]:
        rows = {}
        if self.out.exists():
            with h5py.File(self.out, "r", locking=False) as file:
                rows = {row[0].decode(): tuple(text.decode() for text in row) for row in file[FAILURES][:]}
        rows |= {failure.id: astuple(failure) for failure in failures}
        return np.array([row for key, row in sorted(rows.items()) if key not in finished], dtype=FAILURES_TYPE)


def _read_identity(path: Path) -> dict[str, Any]:
    try:
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("schema") == SCHEMA:
                identity: dict[str, Any] = json.loads(file.attrs["identity"])
                return identity
            found = f"an HDF5 file with schema {file.attrs.get('schema')!r}"
    except (OSError, KeyError, ValueError) as error:
        found = f"not a readable feature file ({error})"
    raise OutputError(
        f"{path} exists and is {found}; expected schema {SCHEMA!r}. It is left untouched: choose another --out, "
        "or remove it yourself."
    )


def _reserve(path: Path, size_bytes: int) -> None:
    """Claims room on the disk, because HDF5 does not survive a write that fails."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    finally:
        os.close(descriptor)


def _copy_videos(path: Path, target: h5py.Group, without: Container[str]) -> None:
    with h5py.File(path, "r", locking=False) as source:
        for name in video_ids(source):
            if name not in without:
                group = target.require_group(name)
                for dataset in ROW_DATASETS:
                    source.copy(source[VIDEOS][name][dataset], group, name=dataset)
                group.attrs.update(source[VIDEOS][name].attrs)


def _write_video(group: h5py.Group, part: Part) -> None:
    for name in ROW_DATASETS:
        base, shape = ROW[name].base, ROW[name].shape
        group.create_dataset(name, (len(part), *shape), base)
    for begin, block in part.blocks():
        for name in ROW_DATASETS:
            group[name][begin : begin + len(block)] = block[name]
    group.attrs.update({key: value for key, value in part.attributes.items() if key != "id"})
    group.attrs["complete"] = True


def _index(file: h5py.File) -> npt.NDArray[Any]:
    rows = []
    for name in video_ids(file):
        group = file[VIDEOS][name]
        fields = [group.attrs[key] for key in ("frames_decoded", "frames_per_second", "width", "height")]
        rows.append((name, len(group["features"]), int(np.count_nonzero(group["edge"])), *fields))
    return np.array(rows, dtype=INDEX_TYPE)
