"""The output of a run: finished videos are kept as parts beside the output, and put together in one step at the end.

Killed at any moment, the output is either the old file or the new one, and no finished video is lost.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from lcdc_extract.errors import OutputError
from lcdc_extract.features.part import PartWriter, sync
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
        for path in self._files():
            with h5py.File(path, "r", locking=False) as file:
                for name, group in _groups(file):
                    found[name] = dict(group.attrs)
        return found

    def writer(self, video_id: str) -> PartWriter:
        """A writer for one video's rows."""
        return PartWriter(self._part(video_id))

    def publish(self, failures: Iterable[Failure]) -> int:
        """Puts all finished videos, of this run and earlier ones, into the output in one step.

        Returns:
            The number of videos in the output; with 0 no output is written.
        """
        finished = self.finished()
        if finished:
            assembled = self.parts / "assembled.unfinished"
            with h5py.File(assembled, "w", locking=False) as file:
                file.attrs.update({"schema": SCHEMA, "identity": json.dumps(self.record.identity)})
                file.attrs.update(self.record.attributes)
                file.create_group(VIDEOS)
                for path in self._files():
                    _copy_videos(path, file)
                file[INDEX] = _index(file)
                file[FAILURES] = self._failures(failures, finished)
            sync(assembled)
            os.replace(assembled, self.out)
            sync(self.out.absolute().parent)
        shutil.rmtree(self.parts)
        return len(finished)

    def close(self) -> None:
        """Releases the lock; finished parts stay for the next run."""
        os.close(self._lock)
        if self.parts.is_dir() and not any(self.parts.glob("*.h5")):
            shutil.rmtree(self.parts)

    def _files(self) -> list[Path]:
        """Files with finished videos; later ones win."""
        return ([self.out] if self.out.exists() else []) + sorted(self.parts.glob("*.h5"))

    def _part(self, video_id: str) -> Path:
        return self.parts / (hashlib.sha256(video_id.encode()).hexdigest()[:24] + ".h5")

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
        for path in (*self.parts.glob("*.h5"), self.parts / "identity.json"):
            path.unlink(missing_ok=True)
        if self.out.exists():
            _read_identity(self.out)  # never delete a file that is not ours
            self.out.unlink()

    def _settle_identity(self) -> None:
        wanted = json.loads(json.dumps(self.record.identity))
        stored = self.parts / "identity.json"
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
        stored.write_text(json.dumps(wanted))

    def _drop_unfinished(self) -> None:
        for path in self.parts.glob("*.unfinished"):
            path.unlink()

    def _failures(self, failures: Iterable[Failure], finished: dict[str, Any]) -> np.ndarray[Any, Any]:
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


def _groups(file: h5py.File) -> list[tuple[str, h5py.Group]]:
    """Videos of a part (the file itself, its id an attribute) or of a whole feature file."""
    if "id" in file.attrs:
        return [(str(file.attrs["id"]), file)]
    return [(name, file[VIDEOS][name]) for name in video_ids(file)]


def _copy_videos(path: Path, target: h5py.File) -> None:
    with h5py.File(path, "r", locking=False) as source:
        for name, group in _groups(source):
            new = target[VIDEOS].require_group(name)
            for dataset in ROW_DATASETS:
                if dataset in new:  # an older result of the same video
                    del new[dataset]
                source.copy(group[dataset], new, name=dataset)
            new.attrs.update({key: value for key, value in group.attrs.items() if key != "id"})


def _index(file: h5py.File) -> np.ndarray[Any, Any]:
    rows = []
    for name in video_ids(file):
        group = file[VIDEOS][name]
        fields = [group.attrs[key] for key in ("frames_decoded", "frames_per_second", "width", "height")]
        rows.append((name, len(group["features"]), int(np.count_nonzero(group["edge"])), *fields))
    return np.array(rows, dtype=INDEX_TYPE)
