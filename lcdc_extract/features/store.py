"""The output of a run: finished videos are kept as parts beside the output, and put together in one step at the end.

Killed at any moment, the output is either the old file or the new one, and no finished video is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py

from lcdc_extract.errors import OutputError
from lcdc_extract.features.assemble import assemble
from lcdc_extract.features.part import DamagedPartError, Part, PartWriter
from lcdc_extract.features.reader import video_ids
from lcdc_extract.features.schema import ROW_DATASETS, SCHEMA, VIDEOS, RunRecord, VideoFailed, differences
from lcdc_extract.files import UNFINISHED, InUseError, Lock, acquire, publish, write_text

PART_CARDS = "[0-9a-f]" * 24 + ".json"
PUBLISHED = "published"
"""Says that the output holds what the parts hold, while they are being removed."""
DAMAGED = ".damaged"
"""Behind the names of what was put aside."""


def check_output(out: Path) -> None:
    """Cheap checks before anything is loaded: the place can be written and what is there is ours.

    Raises:
        OutputError: says what is wrong with `out`.
    """
    if out.is_dir():
        raise OutputError(f"`out={out}` is a directory; expected a file name, for example {out / 'feats.h5'}")
    folder = out.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"`out={out}`: the directory {folder} does not exist. Create it: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"`out={out}`: no permission to write in {folder}")
    if out.exists():
        _read_identity(out)


def check_ids(ids: Iterable[str]) -> None:
    """Refuses ids that HDF5 could not keep apart: videos "a" and "a/features/b" would need the same place.

    Raises:
        OutputError: names both videos.
    """
    known = set(ids)
    for name in sorted(known):
        parts = name.split("/")
        for length in range(1, len(parts)):
            above = "/".join(parts[:length])
            if above in known and parts[length] in ROW_DATASETS:
                raise OutputError(
                    f"videos {above!r} and {name!r} cannot share a file: {parts[length]!r} is a dataset of the first. "
                    "Rename one, or choose another `out` for it."
                )


def parts_folder(out: Path) -> Path:
    """Where the finished videos of an unfinished run wait."""
    return out.with_name(out.name + ".parts")


def peek(out: Path, record: RunRecord, *, overwrite: bool = False) -> dict[str, dict[str, Any]]:
    """What a run would find finished, id -> attributes, without touching anything.

    Raises:
        OutputError: the output is not ours or was made with other settings.
    """
    return _State(out, record, overwrite).finished()


class FeatureStore:
    """Where the features of one run go. Use as a context manager; it locks the output against other runs."""

    def __init__(self, out: Path, record: RunRecord, *, overwrite: bool = False) -> None:
        """Opens the output, new or from an earlier run of the same settings.

        Args:
            overwrite: start anew. The old file stays until the new one is complete; interrupted, the same call
                continues.

        Raises:
            OutputError: the output cannot be written, is not ours, was made with other settings, or is in use.
        """
        check_output(out)
        self.out, self.record, self.parts = out, record, parts_folder(out)
        self._lock = self._acquire()
        try:
            if (self.parts / PUBLISHED).exists():  # the run before was killed while it removed them
                self._remove_parts()
            self.damaged = self._set_aside_damaged()
            """Parts of an earlier run that are made again, in words."""
            self._state = _State(out, record, overwrite)
            for card in self._state.replaced:
                card.unlink()
            self._clean()
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
        return self._state.finished()

    def has_parts(self) -> bool:
        """Whether finished videos wait to be put into the output."""
        return any(self.parts.glob(PART_CARDS))

    def writer(self, video_id: str) -> PartWriter:
        """A writer for one video's rows; `finish` it with attributes that hold the id."""
        path = self.parts / hashlib.sha256(video_id.encode()).hexdigest()[:24]
        return PartWriter(path, self.record.identity, anew=self._state.anew)

    def publish(self, failures: Iterable[VideoFailed]) -> int:
        """Puts all finished videos, of this run and earlier ones, into the output in one step.

        Returns:
            The number of videos in the output; with 0 no output is written.

        Raises:
            OSError: there is no room for it; parts and the old output are untouched.
            OutputError: parts were damaged meanwhile; they are put aside, nothing else is touched.
        """
        if damaged := self._set_aside_damaged():
            raise OutputError(
                f"{len(damaged)} finished videos were damaged on the disk before they could be put into {self.out}: "
                f"{'; '.join(damaged[:3])}. The same command makes them again."
            )
        finished = self.finished()
        if finished:
            unfinished = self.parts / f"assembled{UNFINISHED}"
            assemble(unfinished, self._state.old, self._state.parts(), self.record, failures)
            publish(unfinished, self.out)
        self._remove_parts()
        return len(finished)

    def close(self) -> None:
        """Releases the lock; finished parts stay for the next run."""
        if not self.has_parts():
            for path in self.parts.glob("*" + DAMAGED):
                path.unlink()
            (self.parts / "lock").unlink(missing_ok=True)  # while we hold it; `_acquire` notices
            with contextlib.suppress(OSError):  # a network file system may keep a trace of the open lock
                self.parts.rmdir()
        self._lock.release()

    def _set_aside_damaged(self) -> list[str]:
        """Renames what is not as it was written, so that it counts no more; returns which, in words."""
        found = []
        for card in sorted(self.parts.glob(PART_CARDS)):
            try:
                Part(card).check()
            except DamagedPartError as error:
                found.append(str(error))
                for path in (card, card.with_suffix(".rows")):
                    if path.exists():
                        path.rename(path.with_name(path.name + DAMAGED))
        return found

    def _remove_parts(self) -> None:
        """The output holds them; killed on the way, the next run goes on with it."""
        write_text(self.parts / PUBLISHED, "")
        for card in list(self.parts.glob(PART_CARDS)):
            card.unlink()  # before their rows: a card promises rows
        self._clean()
        (self.parts / PUBLISHED).unlink()

    def _acquire(self) -> Lock:
        path = self.parts / "lock"
        try:
            self.parts.mkdir(exist_ok=True)
            return acquire(path)
        except InUseError:
            raise OutputError(
                f"another run is writing {self.out}. Wait for it to end, or choose another `out`."
            ) from None
        except OSError as error:
            raise OutputError(f"cannot lock {path}: {error}. Choose an `out` on a local disk.") from error

    def _clean(self) -> None:
        """Removes what no card vouches for."""
        for path in (*self.parts.glob("*" + UNFINISHED), *self.parts.glob("*.rows")):
            if not path.with_suffix(".json").exists() or path.suffix == UNFINISHED:
                path.unlink()


class _State:
    """What an output and its parts hold, and whether a run may go on with them. Only reads."""

    def __init__(self, out: Path, record: RunRecord, overwrite: bool) -> None:
        self._folder, self._wanted = parts_folder(out), json.loads(json.dumps(record.identity))
        cards = self._cards()
        self.replaced = [card for card, part in cards.items() if overwrite and not self._goes_on(part)]
        """Cards of an earlier run that this one replaces; one that was itself a fresh start is continued."""
        self.anew: bool = overwrite or any(part.anew for part in cards.values())
        self.old = out if out.exists() and not self.anew else None
        """The file whose videos go into the new one."""
        for part in (part for card, part in cards.items() if card not in self.replaced):
            _check_same(self._folder, part.identity, self._wanted)
        if self.old:
            _check_same(self.old, _read_identity(self.old), self._wanted)

    def parts(self) -> dict[str, Part]:
        """Finished parts by video id."""
        return {part.id: part for card, part in self._cards().items() if card not in self.replaced}

    def _goes_on(self, part: Part) -> bool:
        return part.anew and part.identity == self._wanted

    def _cards(self) -> dict[Path, Part]:
        """All parts that are whole, by card."""
        found: dict[Path, Part] = {}
        if (self._folder / PUBLISHED).exists():
            return found
        for card in sorted(self._folder.glob(PART_CARDS)):
            with contextlib.suppress(DamagedPartError):
                found[card] = Part(card)
        return found

    def finished(self) -> dict[str, dict[str, Any]]:
        """Finished videos, id -> attributes."""
        found = {}
        if self.old:
            with h5py.File(self.old, "r", locking=False) as file:
                found = {name: dict(file[VIDEOS][name].attrs) for name in video_ids(file)}
        return found | {name: part.attributes for name, part in self.parts().items()}


def _check_same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    if found != wanted:
        raise OutputError(
            f"{path} was made with other settings:\n  "
            + "\n  ".join(differences(found, wanted))
            + "\nGive the same settings to continue it, another `out`, or `overwrite=True` to start anew."
        )


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
        f"{path} exists and is {found}; expected schema {SCHEMA!r}. It is left untouched: choose another `out`, "
        "or remove it yourself."
    )
