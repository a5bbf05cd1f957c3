"""Whether a feature file is what was written: structure, digests, and the numbers themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lcdc_extract.config import FEATURE_SIZE
from lcdc_extract.features.digest import SHA256, blocks, dataset_digest, file_digest, video_digest
from lcdc_extract.features.part import ROW
from lcdc_extract.features.schema import FAILURES, INDEX, INDEX_TYPE, ROW_DATASETS, SCHEMA, VIDEOS


@dataclass(frozen=True)
class Fault:
    """Something in a feature file that is not as it was written."""

    place: str
    """"/", "/index" or "/videos/<id>"."""
    what: str


def verify(path: Path) -> list[Fault]:
    """Reads a feature file from the first byte to the last; an empty list says that nothing is wrong with it.

    Every number and text that a reader could see is covered by a digest; bytes that none can see are not looked at.
    """
    faults = _Faults()
    with faults.of("/"), h5py.File(path, "r", locking=False) as file:
        _check_root(file, faults)
        ids: list[str] = []
        with faults.of("/index"):
            ids = _check_index(file, faults)
        for name in ids:
            with faults.of(f"/videos/{name}"):
                _check_video(name, file[VIDEOS][name], faults)
        with faults.of("/"):
            faults.unless(file.attrs[SHA256] == file_digest(file, ids), "/", "the digest of the file is another one")
    return faults.found


class _Faults:
    """What was found so far."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def unless(self, right: Any, place: str, what: str) -> None:
        if not right:
            self.found.append(Fault(place, what))

    @contextmanager
    def of(self, place: str) -> Iterator[None]:
        """What HDF5 cannot read there is a fault: it raises errors of many kinds."""
        try:
            yield
        except Exception as error:
            self.found.append(Fault(place, f"cannot be read ({type(error).__name__}: {error})"))


def _check_root(file: h5py.File, faults: _Faults) -> None:
    schema = file.attrs.get("schema")
    faults.unless(schema == SCHEMA, "/", f"the schema is {schema!r}; expected {SCHEMA!r}")
    expected = {VIDEOS, INDEX, FAILURES}
    faults.unless(set(file) == expected, "/", f"it holds {', '.join(file)}; expected {', '.join(sorted(expected))}")


def _check_index(file: h5py.File, faults: _Faults) -> list[str]:
    """The ids of the index, which must be those of the groups."""
    index = file[INDEX]
    faults.unless(index.dtype == INDEX_TYPE, "/index", f"its type is {index.dtype}; expected {INDEX_TYPE}")
    rows = index[:]
    ids = [row["id"].decode() for row in rows]
    there: list[str] = []
    file[VIDEOS].visititems(lambda name, item: there.append(name) if "complete" in item.attrs else None)
    for name in sorted(set(there) ^ set(ids)):
        where = "in the index and nowhere else" if name in ids else "not in the index"
        faults.unless(False, f"/videos/{name}", f"the video is {where}")
    for row, name in zip(rows, ids, strict=True):
        if name in there:
            with faults.of(f"/videos/{name}"):
                expected = _index_row(file[VIDEOS][name])
                found = {field: row[field].item() for field in expected}
                faults.unless(found == expected, "/index", f"{name} has {found}; the video {expected}")
    return [name for name in ids if name in there]


def _index_row(group: h5py.Group) -> dict[str, Any]:
    counted = {f"{name}_rows": int(np.count_nonzero(group[name])) for name in ("edge", "damaged")}
    attributes = ("incomplete", "frames_decoded", "frames_per_second", "width", "height")
    return {"rows": len(group["features"])} | counted | {name: group.attrs[name].item() for name in attributes}


def _check_video(name: str, group: h5py.Group, faults: _Faults) -> None:
    place, rows = f"/videos/{name}", len(group["features"])
    for dataset in ROW_DATASETS:
        found, expected = group[dataset], ROW[dataset]
        shape = (rows, *expected.shape)
        faults.unless(
            (found.dtype, found.shape) == (expected.base, shape),
            place,
            f"{dataset} is {found.dtype} {found.shape}; expected {expected.base} {shape}",
        )
        right = found.attrs[SHA256] == dataset_digest(dataset, found)
        faults.unless(right, place, f"the numbers of {dataset} are others than those that were written")
    faults.unless(group["features"].shape[1:] == (FEATURE_SIZE,) and rows, place, "it has no features")
    finite = all(bool(np.isfinite(rows).all()) for rows in blocks(group["features"]))
    faults.unless(finite, place, "some features are no numbers")
    faults.unless(group.attrs[SHA256] == video_digest(group), place, "its attributes are others than were written")
